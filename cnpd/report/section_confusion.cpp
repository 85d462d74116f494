#include <algorithm>

#include "cnpd/report/picture.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

constexpr std::size_t most_in_table = 12;     // classes; with more, a picture is drawn
constexpr std::size_t most_in_picture = 256;  // pixels per side; more classes share pixels
constexpr std::size_t pairs_shown = 5;

struct Matrix {
    const std::vector<std::int64_t>& counts;  // [true,predicted]
    const std::vector<std::string>& classes;
    std::optional<std::size_t> target;
};

std::int64_t row_sum(const Matrix& matrix, std::size_t row) {
    const std::size_t n = matrix.classes.size();
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += matrix.counts[row * n + i];
    return sum;
}

double share(std::int64_t part, std::int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

bool is_target(const Matrix& matrix, std::size_t row, std::size_t column) {
    return matrix.target == column && row != column;
}

Markup table(const Matrix& matrix) {
    const std::size_t n = matrix.classes.size();
    Markup out = markup(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"confusion\">\n<thead><tr>"
        "<th scope=\"col\">class</th>");
    for (std::size_t j = 0; j < n; ++j)
        out +=
            markup("<th scope=\"col\" class=\"{}\">{}</th>", matrix.target == j ? "attack" : "", j);
    out.html += "</tr></thead>\n<tbody>\n";
    for (std::size_t i = 0; i < n; ++i) {
        out += markup("<tr><th scope=\"row\" class=\"name\" tabindex=\"0\">{} {}</th>", i,
                      matrix.classes[i]);
        const std::int64_t sum = row_sum(matrix, i);
        for (std::size_t j = 0; j < n; ++j) {
            const std::int64_t value = matrix.counts[i * n + j];
            out += markup("<td class=\"{}{}\" style=\"--s:{:.3f}\">{}</td>",
                          is_target(matrix, i, j) ? "attack" : "", i == j ? "diagonal" : "",
                          share(value, sum), value == 0 ? std::string() : count(value));
        }
        out.html += "</tr>\n";
    }
    out.html += "</tbody></table></div>\n";
    return out;
}

// One pixel for each pair of classes, or for a block of pairs.
Image heat_map(const Matrix& matrix) {
    const std::size_t n = matrix.classes.size();
    const std::size_t block = (n + most_in_picture - 1) / most_in_picture;
    const std::size_t side = (n + block - 1) / block;
    std::vector<double> shares(side * side);
    std::vector<std::int64_t> sums(side);
    for (std::size_t i = 0; i < n; ++i) {
        sums[i / block] += row_sum(matrix, i);
        for (std::size_t j = 0; j < n; ++j)
            shares[i / block * side + j / block] += static_cast<double>(matrix.counts[i * n + j]);
    }
    Image image{.height = static_cast<int>(side), .width = static_cast<int>(side), .pixels = {}};
    for (std::size_t at = 0; at < shares.size(); ++at) {
        const auto sum = static_cast<double>(sums[at / side]);
        for (const std::uint8_t part : activation_colour(sum > 0 ? shares[at] / sum : 0))
            image.pixels.push_back(part);
    }
    return image;
}

// The most frequent confusions as text, because the picture shows no numbers.
Markup frequent_pairs(const Matrix& matrix) {
    const std::size_t n = matrix.classes.size();
    std::vector<std::size_t> order;
    for (std::size_t at = 0; at < matrix.counts.size(); ++at)
        if (at / n != at % n && matrix.counts[at] > 0) order.push_back(at);
    const auto shown = std::min(order.size(), pairs_shown);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(shown),
                      order.end(), [&](std::size_t a, std::size_t b) {
                          return matrix.counts[a] != matrix.counts[b]
                                     ? matrix.counts[a] > matrix.counts[b]
                                     : a < b;
                      });
    order.resize(shown);
    Markup out;
    for (const std::size_t at : order)
        out += markup(
            "<li>{} <span class=\"arrow\">\xE2\x86\x92</span> <span class=\"{}\">{}</span>: "
            "{}</li>",
            matrix.classes[at / n], is_target(matrix, at / n, at % n) ? "attack" : "",
            matrix.classes[at % n], count(matrix.counts[at]));
    return out.empty() ? out : markup("<ul class=\"confused\">{}</ul>\n", out);
}

Markup picture_of(const Matrix& matrix, const std::string& description) {
    Markup out = markup("<div class=\"heat\">{}</div>\n", picture(heat_map(matrix), description));
    out +=
        markup("<p class=\"legends\">{}</p>\n", legend({.low = 0, .high = 1}, "share of the row"));
    return markup("{}{}", out, frequent_pairs(matrix));
}

Markup matrix_of(const ReportData& data, const std::vector<std::int64_t>& counts,
                 const std::string& name) {
    const std::size_t n = data.classes.size();
    if (n == 0 || counts.size() != n * n) return {};
    if (std::none_of(counts.begin(), counts.end(), [](std::int64_t c) { return c > 0; })) return {};
    const Matrix matrix{counts, data.classes, data.target};
    return markup("<div class=\"matrix\"><h3>{}</h3>\n{}</div>\n", name,
                  n <= most_in_table ? table(matrix) : picture_of(matrix, name));
}

}  // namespace

Markup confusion_part(const ReportData& data) {
    Markup out = matrix_of(data, data.clean_predictions.before, "Clean images, victim");
    out += matrix_of(data, data.clean_predictions.after, "Clean images, defended model");
    out += matrix_of(data, data.poisoned_predictions.before, "Images with the trigger, victim");
    out +=
        matrix_of(data, data.poisoned_predictions.after, "Images with the trigger, defended model");
    return out.empty() ? out : markup("<div class=\"matrices\">{}</div>\n", out);
}

}  // namespace cnpd::report
