#include "cnpd/settings/fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <type_traits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::settings {

using nlohmann::ordered_json;

namespace {

std::string with_hyphens(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

// Parses the whole text as a number of this type.
template <class T>
T number(std::string_view text, std::string_view called) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range)
        throw InputError(fmt::format("{} {} is out of range", called, text));
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
        throw InputError(fmt::format("{} {} is not {}", called, engine::in_quotes(text),
                                     std::is_integral_v<T> ? "an integer" : "a number"));
    return value;
}

bool truth(std::string_view text, std::string_view called) {
    if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
    if (text == "false" || text == "no" || text == "off" || text == "0") return false;
    throw InputError(fmt::format("{} {} is not true or false", called, engine::in_quotes(text)));
}

template <class T>
T json_number(const ordered_json& json, std::string_view called) {
    if constexpr (std::is_integral_v<T>) {
        if (!json.is_number_integer())
            throw InputError(fmt::format("{} is not an integer", called));
        const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                                    : std::in_range<T>(json.get<std::int64_t>());
        if (!fits) throw InputError(fmt::format("{} {} is out of range", called, json.dump()));
    } else if (!json.is_number()) {
        throw InputError(fmt::format("{} is not a number", called));
    }
    return json.get<T>();
}

}  // namespace

Field::Field(std::string name, std::string section, std::string heading, Member member,
             std::string help)
    : name_(std::move(name)),
      section_(std::move(section)),
      heading_(std::move(heading)),
      help_(std::move(help)),
      member_(std::move(member)) {
    if (is_switch()) off_ = "no-" + with_hyphens(name_);
}

Field& Field::range(double low, double high) {
    low_ = low;
    high_ = high;
    bounded_ = true;
    return *this;
}

Field& Field::above(double low, double high) {
    low_included_ = false;
    return range(low, high);
}

Field& Field::unit(std::string unit) {
    unit_ = std::move(unit);
    return *this;
}

Field& Field::known(std::vector<std::string> values) {
    known_ = std::move(values);
    return *this;
}

Field& Field::otherwise(std::string text) {
    otherwise_ = std::move(text);
    return *this;
}

Field& Field::off(std::string option) {
    off_ = std::move(option);
    return *this;
}

Field& Field::formerly(std::string name) {
    former_.push_back(std::move(name));
    return *this;
}

Field& Field::since(std::string version) {
    since_ = std::move(version);
    return *this;
}

Field& Field::class_index() {
    class_index_ = true;
    return *this;
}

Field& Field::details(std::vector<std::string> lines) {
    details_ = std::move(lines);
    return *this;
}

std::string Field::option() const {
    return "--" + with_hyphens(name_);
}

std::string Field::text() const {
    return std::visit(
        [](const auto& member) -> std::string {
            using M = std::decay_t<decltype(member)>;
            if constexpr (std::is_same_v<M, Choice>)
                return member.get();
            else if constexpr (std::is_same_v<M, std::string*>)
                return *member;
            else
                return fmt::format("{}", *member);
        },
        member_);
}

std::string Field::default_text() const {
    if (is_unset()) return otherwise_;
    const std::string value = text();
    if (is_switch()) return value == "true" ? "yes" : "no";
    return value;
}

bool Field::is_unset() const {
    const std::string value = text();
    return !otherwise_.empty() && (value.empty() || value == "0" || value == "-1");
}

std::string Field::type_text() const {
    if (!unit_.empty()) return unit_;
    return std::visit(
        [](const auto& member) -> std::string {
            using M = std::decay_t<decltype(member)>;
            if constexpr (std::is_same_v<M, float*> || std::is_same_v<M, double*>)
                return "NUMBER";
            else if constexpr (std::is_same_v<M, Choice> || std::is_same_v<M, std::string*>)
                return "NAME";
            else
                return "COUNT";
        },
        member_);
}

void Field::set(std::string_view text, std::string_view called) {
    std::visit(
        [&](auto& member) {
            using M = std::decay_t<decltype(member)>;
            if constexpr (std::is_same_v<M, Choice>)
                member.set(called, text);
            else if constexpr (std::is_same_v<M, std::string*>)
                *member = std::string(text);
            else if constexpr (std::is_same_v<M, bool*>)
                *member = truth(text, called);
            else
                *member = number<std::remove_pointer_t<M>>(text, called);
        },
        member_);
    check(called);
}

void Field::set_json(const ordered_json& value, std::string_view called) {
    std::visit(
        [&](auto& member) {
            using M = std::decay_t<decltype(member)>;
            if constexpr (std::is_same_v<M, std::string*>)
                if (class_index_ && value.is_number_integer()) {
                    *member = value.dump();
                    return;
                }
            if constexpr (std::is_same_v<M, Choice> || std::is_same_v<M, std::string*>) {
                if (!value.is_string()) throw InputError(fmt::format("{} is not a string", called));
                if constexpr (std::is_same_v<M, Choice>)
                    member.set(called, value.get<std::string>());
                else
                    *member = value.get<std::string>();
            } else if constexpr (std::is_same_v<M, bool*>) {
                if (!value.is_boolean())
                    throw InputError(fmt::format("{} is not true or false", called));
                *member = value.get<bool>();
            } else {
                *member = json_number<std::remove_pointer_t<M>>(value, called);
            }
        },
        member_);
    check(called);
}

ordered_json Field::json() const {
    if (class_index_) return number<std::int32_t>(std::string_view(text()), option());
    return std::visit(
        [](const auto& member) -> ordered_json {
            using M = std::decay_t<decltype(member)>;
            if constexpr (std::is_same_v<M, Choice>)
                return member.get();
            else if constexpr (std::is_same_v<M, float*>)
                // The double of the shortest decimal that gives this float: 0.1 instead of
                // 0.10000000149.
                return std::stod(fmt::format("{}", *member));
            else
                return *member;
        },
        member_);
}

void Field::check(std::string_view called) const {
    if (is_text() && !known_.empty()) {
        const std::string value = text();
        if (!value.empty() && std::find(known_.begin(), known_.end(), value) == known_.end())
            throw_unknown(called, value, known_);
    }
    if (!bounded_) return;
    const double value = std::visit(
        [](const auto& member) -> double {
            using M = std::decay_t<decltype(member)>;
            if constexpr (std::is_same_v<M, Choice> || std::is_same_v<M, std::string*>)
                return 0;
            else
                return static_cast<double>(*member);
        },
        member_);
    // Written so that NaN fails.
    const bool above = low_included_ ? value >= low_ : value > low_;
    if (above && value <= high_) return;
    throw InputError(
        low_included_ ? fmt::format("{} {} is out of range: {} to {}", called, text(), low_, high_)
                      : fmt::format("{} {} is out of range: above {}, at most {}", called, text(),
                                    low_, high_));
}

void Fields::section(std::string name, std::string heading) {
    section_ = std::move(name);
    heading_ = std::move(heading);
}

Field& Fields::add_member(std::string name, Field::Member member, std::string help) {
    return fields_.emplace_back(std::move(name), section_, heading_, std::move(member),
                                std::move(help));
}

Fields Fields::except(std::initializer_list<std::string_view> names) const {
    Fields rest;
    for (const Field& field : fields_)
        if (std::find(names.begin(), names.end(), field.name()) == names.end())
            rest.fields_.push_back(field);
    return rest;
}

Field* Fields::find(std::string_view name) {
    const std::string wanted = with_hyphens(std::string(name));
    for (Field& field : fields_)
        if (with_hyphens(field.name()) == wanted) return &field;
    return nullptr;
}

std::vector<std::string> Fields::names() const {
    std::vector<std::string> names;
    for (const Field& field : fields_) names.push_back(with_hyphens(field.name()));
    return names;
}

void Fields::check() const {
    for (const Field& field : fields_) field.check(field.option());
}

ordered_json to_json(const Fields& fields) {
    ordered_json json = ordered_json::object();
    for (const Field& field : fields.all()) json[field.section()][field.name()] = field.json();
    return json;
}

namespace {

// The value under the field's name or a former one; null if there is none.
const ordered_json* find_value(const Field& field, const ordered_json& json) {
    const auto in = [&](const std::string& section,
                        const std::string& name) -> const ordered_json* {
        const auto object = json.find(section);
        if (object == json.end() || !object->is_object()) return nullptr;
        const auto value = object->find(name);
        return value == object->end() ? nullptr : &*value;
    };
    if (const ordered_json* value = in(field.section(), field.name())) return value;
    for (const std::string& former : field.former_names()) {
        const std::size_t slash = former.find('/');
        const ordered_json* value = slash == former.npos
                                        ? in(field.section(), former)
                                        : in(former.substr(0, slash), former.substr(slash + 1));
        if (value) return value;
    }
    return nullptr;
}

}  // namespace

void from_json(Fields& fields, const ordered_json& json, std::string_view path,
               std::string_view version) {
    for (Field& field : fields.all()) {
        const std::string called = fmt::format("\"{}\"", field.name());
        try {
            if (const ordered_json* value = find_value(field, json))
                field.set_json(*value, called);
            else if (!older(version, field.first_version()))
                throw InputError(fmt::format("{} is missing in \"{}\"", called, field.section()));
        } catch (const InputError& error) {
            throw FileError(path, error.what(), "a config.json written by cnpd");
        }
    }
}

std::vector<std::string> arguments(const Fields& usual, const Fields& other) {
    CNPD_CHECK(usual.all().size() == other.all().size(), "the same fields");
    std::vector<std::string> words;
    for (std::size_t i = 0; i < other.all().size(); ++i) {
        const Field& field = other.all()[i];
        const std::string text = field.text();
        if (text == usual.all()[i].text()) continue;
        if (field.is_switch()) {
            words.push_back(text == "true" ? field.option() : "--" + field.off_name());
        } else {
            words.push_back(field.option());
            words.push_back(text);
        }
    }
    return words;
}

bool older(std::string_view version, std::string_view than) {
    const auto numbers = [](std::string_view text) {
        std::vector<int> parts;
        for (std::size_t begin = 0; begin <= text.size();) {
            const std::size_t end = std::min(text.find('.', begin), text.size());
            int part = 0;
            std::from_chars(text.data() + begin, text.data() + end, part);
            parts.push_back(part);
            begin = end + 1;
        }
        return parts;
    };
    return numbers(version) < numbers(than);
}

}  // namespace cnpd::settings
