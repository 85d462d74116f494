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

struct Group {
    const char* name;
    const PolarizedFeatures* features;
};

FeatureMap absolute_change(const PolarizedFeatures& features) {
    FeatureMap change = features.after;
    for (std::size_t i = 0; i < change.values.size(); ++i)
        change.values[i] = std::abs(change.values[i] - features.before.values[i]);
    return change;
}

// Spatial mean of each channel; NaN if a value is not finite.
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

// Rows with the means of the drawn channels.
void add_means(Markup& rows, const std::string& name, const FeatureMap& map,
               const Drawing& drawing) {
    const std::vector<double> means = channel_means(map);
    rows += markup("<tr><th scope=\"row\">{}</th>", name);
    for (int channel : drawing.channels) rows += markup("<td>{}</td>", number(means[channel], 3));
    rows.html += "</tr>\n";
}

Markup mean_table(const std::vector<Group>& groups, const Drawing& drawing) {
    Markup rows = markup("<tr><th scope=\"col\">channel</th>");
    for (int channel : drawing.channels) rows += markup("<th scope=\"col\">{}</th>", channel);
    rows.html += "</tr>\n";
    for (const Group& group : groups) {
        add_means(rows, fmt::format("{}, before", group.name), group.features->before, drawing);
        add_means(rows, fmt::format("{}, after", group.name), group.features->after, drawing);
        add_means(rows, fmt::format("{}, change", group.name), absolute_change(*group.features),
                  drawing);
    }
    return markup(
        "<details class=\"values\"><summary>Mean of each map</summary><div class=\"scroll\" "
        "tabindex=\"0\"><table>\n{}</table></div></details>\n",
        rows);
}

Markup mean_change(const std::vector<Group>& groups) {
    Markup out;
    for (const Group& group : groups) {
        const double changed = mean(absolute_change(*group.features));
        if (!is_drawable(changed)) continue;
        out += markup("{}{}: <b>{}</b>", out.empty() ? "" : "; ", group.name, number(changed, 3));
    }
    if (out.empty()) return out;
    return markup("<p class=\"fact\">Mean absolute change over all {} channels. {}.</p>\n",
                  groups.front().features->before.channels, out);
}

Markup box(const char* kind, const char* name, const std::string& note) {
    return markup("<span class=\"{}\"><b>{}</b><small>{}</small></span>", kind, name, note);
}

Markup pipeline(const InsertionPoint& point, bool chosen_by_class) {
    std::string polarizer = point.name.empty() ? "trained" : "trained, at " + point.name;
    if (chosen_by_class) polarizer += ", chosen by the victim's prediction";
    Markup boxes = box("box", "Image", "with or without a trigger");
    boxes += box("box", "Prefix", "victim's layers, frozen");
    boxes += box("box polarizer", "Polarizer", polarizer);
    boxes += box("box", "Suffix", "victim's layers, frozen");
    boxes += box("box", "Class", "purified");
    return markup("<div class=\"pipeline\">{}</div>\n", boxes);
}

Markup grid(const std::vector<Group>& groups) {
    Drawing drawing;
    drawing.channels = most_changed(absolute_change(*groups.front().features));
    for (const Group& group : groups) {
        include(drawing.activation, group.features->before, drawing.channels);
        include(drawing.activation, group.features->after, drawing.channels);
        include(drawing.change, absolute_change(*group.features), drawing.channels);
    }
    if (drawing.activation.low > drawing.activation.high) return {};

    Markup table = markup(
        "<div class=\"scroll\"><table class=\"maps\">\n<thead><tr><th "
        "scope=\"col\">channel</th>");
    for (int channel : drawing.channels) table += markup("<th scope=\"col\">{}</th>", channel);
    table.html += "</tr></thead>\n";
    for (const Group& group : groups) table += map_group(*group.features, group.name, drawing);
    table.html += "</table></div>\n";
    return markup("{}<p class=\"legends\">{} {}</p>\n{}", table,
                  legend(drawing.activation, "before and after"),
                  legend(drawing.change, "absolute change"), mean_table(groups, drawing));
}

}  // namespace

Markup features_section(const ReportData& data) {
    if (!data.features) return {};
    const InsertionPoint& point = *data.features;
    std::vector<Group> groups;
    const auto add = [&](const char* name, const PolarizedFeatures& features) {
        const bool fits =
            groups.empty() || groups.front().features->before.channels == features.before.channels;
        if (is_drawn(features) && fits) groups.push_back({name, &features});
    };
    add("With trigger", point.poisoned);
    add(groups.empty() ? "Clean image" : "Without trigger", point.clean);
    const Markup maps = groups.empty() ? Markup{} : grid(groups);
    if (maps.empty()) return {};
    const bool chosen_by_class = !groups.front().features->polarizer_class.empty();
    Markup content = pipeline(point, chosen_by_class);
    content += maps;
    content += mean_change(groups);
    Markup seen = markup(
        "Feature maps before and after the polarizer, for the channels that it changes most.");
    if (chosen_by_class) seen += markup(" The polarizer is chosen by the victim's prediction.");
    return section("features", "Inside the network", seen, content);
}

}  // namespace cnpd::report
