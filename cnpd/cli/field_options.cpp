#include "cnpd/cli/field_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace cnpd::cli {
namespace {

std::string described(const settings::Field& field) {
    std::string text = field.help();
    const std::string usual = field.default_text();
    if (!usual.empty()) text += fmt::format(" (default: {})", usual);
    for (const std::string& line : field.detail_lines()) text += "\n  " + line;
    return text;
}

}  // namespace

void FieldOptions::add_to(CLI::App& app, const settings::Fields& fields, bool shown) {
    for (const settings::Field& field : fields.all()) {
        const std::string name = field.option().substr(2);
        if (find(name)) continue;
        known_.push_back({name, field.off_name(), field.is_switch()});
        CLI::Option* option = nullptr;
        if (field.is_switch()) {
            option = app.add_flag_function(
                fmt::format("--{},!--{}", name, field.off_name()),
                [this, name](std::int64_t count) {
                    from_line_[name] = count > 0 ? "true" : "false";
                },
                described(field));
        } else {
            option = app.add_option_function<std::string>(
                "--" + name, [this, name](const std::string& text) { from_line_[name] = text; },
                described(field));
            option->type_name(field.type_text());
        }
        option->group(!shown ? "" : field.heading().empty() ? "Options" : field.heading());
    }
}

runs::Given FieldOptions::given() const {
    runs::Given all;
    // In the order of declaration, so that error messages do not depend on the order of the
    // options.
    for (const Known& known : known_) {
        if (const auto found = from_line_.find(known.name); found != from_line_.end())
            all.emplace_back(*found);
        else if (const auto other = from_file_.find(known.name); other != from_file_.end())
            all.emplace_back(*other);
    }
    return all;
}

std::vector<std::string> FieldOptions::given_names() const {
    std::vector<std::string> names;
    for (const auto& [name, text] : given()) names.push_back(name);
    return names;
}

const FieldOptions::Known* FieldOptions::find(const std::string& name) const {
    for (const Known& known : known_)
        if (known.name == name || (known.is_switch && known.off_name == name)) return &known;
    return nullptr;
}

bool FieldOptions::set_from_file(const std::string& name, const std::string& text) {
    const Known* known = find(name);
    if (!known) return false;
    const bool off = known->is_switch && name == known->off_name;
    from_file_[known->name] = !off ? text : text == "true" ? "false" : "true";
    return true;
}

}  // namespace cnpd::cli
