#include "cnpd/cli/help_formatter.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "cnpd/terminal/terminal.h"

namespace cnpd::cli {
namespace {

constexpr int kNameColumns = 28;

// Wraps one line of text and keeps its indentation.
void wrap_line(const std::string& line, int columns, int indent, std::string& out) {
    const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
    const std::string own(first, ' ');
    int used = indent + static_cast<int>(first);
    out += own;
    std::istringstream words(line);
    bool fresh = true;
    for (std::string word; words >> word; fresh = false) {
        const int width = width_of(word);
        if (!fresh && used + 1 + width > columns) {
            // Continuation lines of a list entry are indented to its text.
            const std::size_t deeper = first > 0 ? first + 2 : 0;
            out += "\n" + std::string(static_cast<std::size_t>(indent) + deeper, ' ');
            used = indent + static_cast<int>(deeper);
            fresh = true;
        }
        out += (fresh ? "" : " ") + word;
        used += width + (fresh ? 0 : 1);
    }
}

}  // namespace

std::string wrapped(const std::string& text, int columns, int indent) {
    std::string out;
    std::istringstream lines(text);
    bool first = true;
    for (std::string line; std::getline(lines, line); first = false) {
        if (!first) out += "\n" + std::string(static_cast<std::size_t>(indent), ' ');
        wrap_line(line, columns, indent, out);
    }
    return out;
}

HelpFormatter::HelpFormatter()
    : columns_(std::clamp(describe_terminal(STDOUT_FILENO).columns, 50, 100)) {
    column_width(kNameColumns);
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
    std::string name = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    // CLI11 appends "{false}" to the second name of a flag.
    if (const std::size_t brace = name.find("{false}"); brace != name.npos) name.erase(brace, 7);
    const int width = width_of(name);
    const bool beside = width + 2 <= kNameColumns;
    name += beside ? std::string(static_cast<std::size_t>(kNameColumns - width), ' ')
                   : "\n" + std::string(kNameColumns, ' ');
    return name + wrapped(make_option_desc(option), columns_, kNameColumns) + "\n";
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
    const bool takes_value =
        option->get_items_expected_max() > 0 && !option->get_type_name().empty();
    // A validator's range stands behind a colon: "INT:INT in [0 - 4096]".
    const std::string type = option->get_type_name();
    std::string text = takes_value ? " " + type.substr(0, type.find(':')) : "";
    if (option->get_required()) text += " (required)";
    return text;
}

std::string HelpFormatter::make_subcommand(const CLI::App* subcommand) const {
    std::string name = "  " + subcommand->get_name();
    name.resize(std::max<std::size_t>(name.size() + 1, 14), ' ');
    return name + wrapped(subcommand->get_description(), columns_, 14) + "\n";
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
    return wrapped(app->get_description(), columns_, 0) + "\n";
}

std::string HelpFormatter::make_footer(const CLI::App* app) const {
    const std::string text = app->get_footer();
    return text.empty() ? "" : "\n" + wrapped(text, columns_, 0) + "\n";
}

}  // namespace cnpd::cli
