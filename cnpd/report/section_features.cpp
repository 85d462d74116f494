#include <algorithm>
#include <cmath>
#include <numeric>

#include "cnpd/report/picture.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

constexpr std::size_t channels_shown = 12;

bool is_drawn(const PolarizedFeatures& features) {
    const FeatureMap &a = features.before, &b = features.after;
    return is_valid(a) && is_valid(b) && a.height == b.height && a.width == b.width &&
           a.channels == b.channels;
}

FeatureMap absolute_change(const PolarizedFeatures& features) {
    FeatureMap change = features.after;
    for (std::size_t i = 0; i < change.values.size(); ++i)
        change.values[i] = std::abs(change.values[i] - features.before.values[i]);
    return change;
}

// Mean over space of each channel; NaN where a value is not finite.
std::vector<double> channel_means(const FeatureMap& map) {
    std::vector<double> means(map.channels);
    for (std::size_t i = 0; i < map.values.size(); ++i) means[i % means.size()] += map.values[i];
    for (double& mean : means) mean /= static_cast<double>(map.height) * map.width;
    return means;
}

std::vector<int> most_changed(const FeatureMap& change) {
    std::vector<double> means = channel_means(change);
    for (double& mean : means)
        if (!is_drawable(mean)) mean = -1;
    std::vector<int> order(change.channels);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return means[a] > means[b]; });
    order.resize(std::min(order.size(), channels_shown));
    return order;
}

void include(ColourScale& scale, const FeatureMap& map, const std::vector<int>& channels) {
    for (int channel : channels)
        for (std::size_t at = channel; at < map.values.size(); at += map.channels) {
            if (!is_drawable(map.values[at])) continue;
            scale.low = std::min<double>(scale.low, map.values[at]);
            scale.high = std::max<double>(scale.high, map.values[at]);
        }
}

struct Drawing {
    std::vector<int> channels;
    ColourScale activation{.low = 1e300, .high = -1e300, .colour = activation_colour};
    ColourScale change{.low = 0, .high = 0, .colour = change_colour};
};

Markup map_row(const char* name, const FeatureMap& map, const Drawing& drawing,
               const ColourScale& scale) {
    Markup out = markup("<tr><th scope=\"row\">{}</th>", name);
    const std::vector<double> means = channel_means(map);
    for (int channel : drawing.channels)
        out += markup("<td>{}</td>", picture(channel_image(map, channel, scale),
                                             fmt::format("channel {}, {}: mean {}", channel, name,
                                                         number(means[channel], 3))));
    out.html += "</tr>\n";
    return out;
}

Markup map_group(const PolarizedFeatures& features, const std::string& name,
                 const Drawing& drawing) {
    const Markup image = is_valid(features.image) ? picture(features.image, name) : Markup{};
    const Markup chosen = features.polarizer_class.empty()
                              ? Markup{}
                              : markup(" through polarizer <b>{}</b>", features.polarizer_class);
    Markup out = markup(
        "<tbody>\n<tr class=\"group\"><th colspan=\"{}\" "
        "scope=\"rowgroup\">{}<span>{}{}</span></th>"
        "</tr>\n",
        drawing.channels.size() + 1, image, name, chosen);
    out += map_row("before", features.before, drawing, drawing.activation);
    out += map_row("after", features.after, drawing, drawing.activation);
    out += map_row("change", absolute_change(features), drawing, drawing.change);
    out.html += "</tbody>\n";
    return out;
}

double mean(const FeatureMap& map) {
    double sum = 0;
    for (float value : map.values) sum += value;
    return sum / static_cast<double>(map.values.size());
}

Markup mean_change(const PolarizedFeatures& poisoned, const PolarizedFeatures* clean) {
    const double changed = mean(absolute_change(poisoned));
    if (!is_drawable(changed)) return {};
    Markup out = markup(
        "Over all {} channels the features of the image with the trigger change by "
        "<b>{}</b> on average",
        poisoned.before.channels, number(changed, 3));
    const double twin = clean ? mean(absolute_change(*clean)) : not_measured;
    if (is_drawable(twin)) out += markup(", those of its clean twin by <b>{}</b>", number(twin, 3));
    return markup("<p class=\"fact\">{}.</p>\n", out);
}

Markup box(const char* kind, const char* name, const std::string& note) {
    return markup("<span class=\"{}\"><b>{}</b><small>{}</small></span>", kind, name, note);
}

Markup pipeline(const InsertionPoint& point) {
    std::string polarizer = point.name.empty() ? "trained" : "trained, at " + point.name;
    if (!point.poisoned.polarizer_class.empty()) polarizer += ", chosen by the victim's prediction";
    Markup boxes = box("box", "Image", "may carry a trigger");
    boxes += box("box", "Prefix", "victim's layers, frozen");
    boxes += box("box polarizer", "Polarizer", polarizer);
    boxes += box("box", "Suffix", "victim's layers, frozen");
    boxes += box("box", "Class", "purified");
    return markup("<div class=\"pipeline\">{}</div>\n", boxes);
}

Markup grid(const InsertionPoint& point, bool with_clean) {
    Drawing drawing;
    const FeatureMap change = absolute_change(point.poisoned);
    drawing.channels = most_changed(change);
    include(drawing.change, change, drawing.channels);
    for (const PolarizedFeatures* features : {&point.poisoned, &point.clean}) {
        if (features == &point.clean && !with_clean) continue;
        include(drawing.activation, features->before, drawing.channels);
        include(drawing.activation, features->after, drawing.channels);
        include(drawing.change, absolute_change(*features), drawing.channels);
    }
    if (drawing.activation.low > drawing.activation.high) return {};

    Markup table = markup(
        "<div class=\"scroll\"><table class=\"maps\">\n<thead><tr><th "
        "scope=\"col\">channel</th>");
    for (int channel : drawing.channels) table += markup("<th scope=\"col\">{}</th>", channel);
    table.html += "</tr></thead>\n";
    table += map_group(point.poisoned, "With trigger", drawing);
    if (with_clean) table += map_group(point.clean, "Clean twin", drawing);
    table.html += "</table></div>\n";
    return markup("{}<p class=\"legends\">{} {}</p>\n", table,
                  legend(drawing.activation, "before and after"),
                  legend(drawing.change, "absolute change"));
}

}  // namespace

Markup features_section(const ReportData& data) {
    if (!data.features || !is_drawn(data.features->poisoned)) return {};
    const InsertionPoint& point = *data.features;
    const bool with_clean =
        is_drawn(point.clean) && point.clean.before.channels == point.poisoned.before.channels;
    const Markup maps = grid(point, with_clean);
    if (maps.empty()) return {};
    Markup content = pipeline(point);
    content += maps;
    content += mean_change(point.poisoned, with_clean ? &point.clean : nullptr);
    Markup seen = markup(
        "The channels that the polarizer changes most, each a small map over the image, before and "
        "after it.");
    if (!point.poisoned.polarizer_class.empty())
        seen += markup(
            " The victim's own prediction chooses the polarizer: a trigger that works selects the "
            "one that has learned to undo it.");
    return section("features", "Inside the network", seen, content);
}

}  // namespace cnpd::report
