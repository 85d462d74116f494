#include "cnpd/report/chart.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace cnpd::report {
namespace {

// One unit is about one CSS pixel: three charts fit side by side on a desktop, one on a phone.
constexpr double width = 344, height = 220;
constexpr double left = 46, right = width - 58, top = 34, bottom = height - 36;
constexpr double label_height = 14;
constexpr double smallest_span = 1e-90;    // of a range, so that divisions by it are finite
constexpr std::size_t most_points = 400;   // of a polyline: more than a screen can show
constexpr std::size_t most_tooltips = 60;  // of a line
constexpr std::size_t most_rows = 120;     // of the table of values, for each line

struct Axis {
    Range range;
    double from = 0, to = 1;  // in the drawing

    // Clamps values far outside the range to coordinates that all viewers can parse.
    double position(double value) const {
        const double share = (value - range.low) / (range.high - range.low);
        return from + (to - from) * std::clamp(share, -10.0, 10.0);
    }
};

bool has_point(const Line& line, std::size_t i) {
    return is_drawable(line.x[i]) && is_drawable(line.y[i]);
}

std::size_t length(const Line& line) {
    return std::min(line.x.size(), line.y.size());
}

Range widened(Range range) {
    if (range.high - range.low > smallest_span) return range;
    const double margin = std::abs(range.low) > smallest_span ? std::abs(range.low) * 0.1 : 1;
    return {range.low - margin, range.high + margin};
}

std::optional<Range> extent(const Chart& chart, std::vector<double> Line::*values) {
    std::optional<Range> range;
    for (const Line& line : chart.lines)
        for (std::size_t i = 0; i < length(line); ++i) {
            if (!has_point(line, i)) continue;
            const double value = (line.*values)[i];
            if (!range) range = Range{value, value};
            range = Range{std::min(range->low, value), std::max(range->high, value)};
        }
    return range;
}

// A range computed from values starts at 0 if it nearly does, and has a margin at the top.
Range y_range_of(const Chart& chart) {
    if (chart.y_range) return *chart.y_range;
    Range range = *extent(chart, &Line::y);
    if (range.low >= 0 && range.low < range.high / 2) range.low = 0;
    range = widened(range);
    range.high += 0.06 * (range.high - range.low);
    return range;
}

std::string tick_text(double value, bool as_percent) {
    if (as_percent) return fmt::format("{:.3g}\xC2\xA0%", 100 * value);
    return number(value);
}

std::string point_text(const Chart& chart, const Line& line, std::size_t i) {
    return fmt::format("{}, {} {}: {}", line.label, chart.x_name,
                       chart.x_percent ? percent(line.x[i]) : number(line.x[i]),
                       chart.y_percent ? percent(line.y[i]) : number(line.y[i]));
}

Markup axes(const Chart& chart, const Axis& x, const Axis& y) {
    Markup out;
    for (double value : ticks(y.range, 4)) {
        const double at = y.position(value);
        out +=
            markup("<line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                   left, at, right, at);
        out +=
            markup("<text class=\"tick\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                   left - 7, at + 3.5, tick_text(value, chart.y_percent));
    }
    out += markup("<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                  left, bottom, right, bottom);
    for (double value : ticks(x.range, 5)) {
        const double at = x.position(value);
        out +=
            markup("<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                   at, bottom, at, bottom + 4);
        out += markup(
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", at,
            bottom + 16, tick_text(value, chart.x_percent));
    }
    out += markup("<text class=\"tick\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                  right, bottom + 31, chart.x_name);
    return out;
}

// A polyline for each run of finite points; a dot for a run of one point.
Markup path(const Line& line, const Axis& x, const Axis& y) {
    Markup out;
    std::string points;
    int run = 0;
    const std::size_t step = length(line) / most_points + 1;
    const auto finish = [&] {
        if (run > 1) {
            out += markup("<polyline class=\"line {}\" points=\"{}\"/>", line.colour, points);
        } else if (run == 1) {
            const auto comma = points.find(',');
            out += markup("<circle class=\"dot {}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>", line.colour,
                          points.substr(0, comma), points.substr(comma + 1));
        }
        points.clear();
        run = 0;
    };
    for (std::size_t i = 0; i < length(line); ++i) {
        if (i % step != 0 && i + 1 != length(line)) continue;
        if (!has_point(line, i)) {
            finish();
            continue;
        }
        points += fmt::format("{}{:.1f},{:.1f}", run++ ? " " : "", x.position(line.x[i]),
                              y.position(line.y[i]));
    }
    finish();
    return out;
}

// An invisible target for one point; hovering, touching or focusing it shows the values above the
// chart. Missing values are a dash on the axis.
Markup point(const Chart& chart, const Line& line, std::size_t i, const Axis& x, const Axis& y) {
    Markup mark;
    if (has_point(line, i))
        mark = markup("<circle class=\"target {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"/>",
                      line.colour, x.position(line.x[i]), y.position(line.y[i]));
    else if (is_drawable(line.x[i]))
        mark = markup(
            "<text class=\"missing {}\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">"
            "\xE2\x80\x93</text>",
            line.colour, x.position(line.x[i]), bottom - 3);
    else
        return {};
    return markup(
        "<g class=\"point\" tabindex=\"-1\">{}<text class=\"tip\" text-anchor=\"end\" x=\"{:.1f}\" "
        "y=\"28\">{}</text></g>",
        mark, width, point_text(chart, line, i));
}

Markup points(const Chart& chart, const Line& line, const Axis& x, const Axis& y) {
    Markup out;
    const std::size_t step = length(line) / most_tooltips + 1;
    for (std::size_t i = 0; i < length(line); i += step) out += point(chart, line, i, x, y);
    return out;
}

// The values as a table, for keyboards and screen readers.
Markup value_table(const Chart& chart) {
    std::map<double, std::vector<double>> rows;
    for (std::size_t k = 0; k < chart.lines.size(); ++k) {
        const Line& line = chart.lines[k];
        const std::size_t step = length(line) / most_rows + 1;
        for (std::size_t i = 0; i < length(line); ++i) {
            if (!is_drawable(line.x[i]) || (i % step != 0 && i + 1 != length(line))) continue;
            const auto [row, added] = rows.try_emplace(line.x[i]);
            row->second.resize(chart.lines.size(), std::nan(""));
            row->second[k] = line.y[i];
        }
    }
    Markup table = markup("<tr><th scope=\"col\">{}</th>", chart.x_name);
    for (const Line& line : chart.lines) table += markup("<th scope=\"col\">{}</th>", line.label);
    table.html += "</tr>\n";
    for (const auto& [x, values] : rows) {
        table += markup("<tr><th scope=\"row\">{}</th>", chart.x_percent ? percent(x) : number(x));
        for (const double value : values)
            table += markup("<td>{}</td>", chart.y_percent ? percent(value) : number(value));
        table.html += "</tr>\n";
    }
    return markup(
        "<details class=\"values\"><summary>Values</summary><div class=\"scroll\" "
        "tabindex=\"0\"><table>\n{}</table></div></details>\n",
        table);
}

struct Label {
    const Line* line;
    double at;  // y
};

// A line of one point has its label beside the point, on the side with more room.
Markup point_label(const Line& line, std::size_t i, const Axis& x, const Axis& y) {
    const bool on_the_right = x.position(line.x[i]) < (left + right) / 2;
    return markup("<text class=\"label {}\" text-anchor=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                  line.colour, on_the_right ? "start" : "end",
                  x.position(line.x[i]) + (on_the_right ? 8 : -8), y.position(line.y[i]) + 15,
                  shortened(line.label, 16));
}

void push_apart(std::vector<Label>& labels) {
    std::stable_sort(labels.begin(), labels.end(),
                     [](const Label& a, const Label& b) { return a.at < b.at; });
    for (std::size_t i = 1; i < labels.size(); ++i)
        labels[i].at = std::max(labels[i].at, labels[i - 1].at + label_height);
    double limit = bottom;
    for (std::size_t i = labels.size(); i-- > 0; limit = labels[i].at - label_height)
        labels[i].at = std::min(labels[i].at, limit);
}

// Labels are placed at the height of their line's last point. A single line has none.
Markup labels(const Chart& chart, const Axis& x, const Axis& y) {
    Markup out;
    if (chart.lines.size() < 2) return out;
    std::vector<Label> placed;
    for (const Line& line : chart.lines) {
        std::size_t last = length(line);
        while (last > 0 && !has_point(line, last - 1)) --last;
        if (last == 0 || line.label.empty()) continue;
        if (length(line) == 1 && chart.x_range)
            out += point_label(line, 0, x, y);
        else
            placed.push_back({&line, std::clamp(y.position(line.y[last - 1]), top, bottom)});
    }
    push_apart(placed);
    for (const Label& label : placed)
        out += markup("<text class=\"label {}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>",
                      label.line->colour, right + 8, label.at + 4, shortened(label.line->label, 9));
    return out;
}

}  // namespace

std::vector<double> ticks(Range range, int wanted) {
    const double span = range.high - range.low;
    if (!is_drawable(span) || span < smallest_span || wanted < 1) return {};
    const double rough = span / wanted;
    const double magnitude = std::pow(10, std::floor(std::log10(rough)));
    const double multiple = rough / magnitude;
    const double step = magnitude * (multiple < 1.5   ? 1
                                     : multiple < 3.5 ? 2
                                     : multiple < 7.5 ? 5
                                                      : 10);
    std::vector<double> result;
    const double first = std::ceil(range.low / step - 1e-9);
    for (int i = 0; i <= 4 * wanted; ++i) {  // bounded despite rounding
        const double value = (first + i) * step;
        if (value > range.high + 1e-9 * span) break;
        result.push_back(value == 0 ? 0 : value);
    }
    return result;
}

Markup line_chart(const Chart& chart) {
    const std::optional<Range> found = extent(chart, &Line::x);
    if (!found) return {};
    const Axis x{widened(chart.x_range.value_or(*found)), left, right};
    const Axis y{y_range_of(chart), bottom, top};
    Markup out = markup(
        "<svg class=\"chart\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">"
        "<text class=\"heading\" x=\"0\" y=\"14\">{}</text>",
        width, height, chart.title, chart.title);
    out += axes(chart, x, y);
    for (const Line& line : chart.lines) out += path(line, x, y);
    for (const Line& line : chart.lines) out += points(chart, line, x, y);
    out += labels(chart, x, y);
    out.html += "</svg>\n";
    return markup("<div class=\"plot\">{}{}</div>\n", out, value_table(chart));
}

}  // namespace cnpd::report
