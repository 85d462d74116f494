// HTML fragments with a type of their own: everything that is not Markup is escaped.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace cnpd::report {

struct Markup {
    std::string html;

    Markup& operator+=(const Markup& other) {
        html += other.html;
        return *this;
    }
    bool empty() const { return html.empty(); }
};

// Escapes text for element content and quoted attributes. Invalid UTF-8, control characters and
// characters that change the writing direction become U+FFFD.
std::string escape(std::string_view text);

// At most `most` characters, with an ellipsis if some were cut. Not escaped.
std::string shortened(std::string_view text, int most);

namespace detail {
template <class T>
auto argument(const T& value) {
    if constexpr (std::is_same_v<T, Markup>) {
        return std::string_view(value.html);
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
        return escape(value);
    } else {
        static_assert(std::is_arithmetic_v<T>, "text, Markup or a number");
        return value;
    }
}
template <class T>
using Argument = decltype(argument(std::declval<const T&>()));
}  // namespace detail

// fmt::format for HTML: text among the arguments is escaped, Markup is not.
template <class... Args>
Markup markup(fmt::format_string<detail::Argument<Args>&...> format, const Args&... args) {
    auto values = std::tuple<detail::Argument<Args>...>(detail::argument(args)...);
    return std::apply(
        [&](auto&... value) {
            return Markup{fmt::vformat(fmt::string_view(format), fmt::make_format_args(value...))};
        },
        values);
}

// Number formats of the page. Values that are not finite become "–"; spaces before units are
// non-breaking.
bool is_drawable(double value);                    // finite, and small enough for arithmetic
double clamped_rate(double rate);                  // clamped to [0,1]; 0 if not drawable
std::string percent(double rate, int digits = 1);  // 0.9912 -> "99.1 %"
std::string number(double value, int digits = 4);  // significant digits
std::string count(std::int64_t value);             // "2,362,368"
std::string duration(double seconds);              // "8.3 s", "12 min 5 s", "3 h 20 min"

}  // namespace cnpd::report
