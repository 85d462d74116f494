// Line charts as inline SVG: axes, ticks, labels at the lines' ends. Hovering over or touching a
// point shows its values; a collapsed table below the chart lists them for keyboards and screen
// readers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cnpd/report/markup.h"

namespace cnpd::report {

struct Line {
    std::string label;
    // CSS classes: "attack", "defense", "plain" or "faint"; and "dash-1" to "dash-3".
    std::string colour;
    std::vector<double> x;
    std::vector<double> y;  // as long as x; values that are not finite are gaps
};

struct Range {
    double low = 0;
    double high = 1;
};

struct Chart {
    std::string title;
    std::string x_name;      // below the axis, and before x in the tooltips
    bool x_percent = false;  // values are fractions, written as percentages
    bool y_percent = false;
    std::optional<Range> x_range;  // computed from the values if absent; if given, a line of one
                                   // point is labelled beside it
    std::optional<Range> y_range;
    std::vector<Line> lines;
};

// Empty if no line has a finite point.
Markup line_chart(const Chart& chart);

// Steps of 1, 2 or 5 times a power of ten inside the range, about `wanted` of them.
std::vector<double> ticks(Range range, int wanted);

}  // namespace cnpd::report
