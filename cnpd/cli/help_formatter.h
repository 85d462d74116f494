// --help, wrapped to the terminal's width.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace cnpd::cli {

class HelpFormatter : public CLI::Formatter {
  public:
    HelpFormatter();
    std::string make_option(const CLI::Option* option, bool is_positional) const override;
    std::string make_option_opts(const CLI::Option* option) const override;
    std::string make_subcommand(const CLI::App* subcommand) const override;
    std::string make_description(const CLI::App* app) const override;
    std::string make_footer(const CLI::App* app) const override;

  private:
    int columns_;
};

// Wraps text between words to at most `columns` columns. Lines after the first are indented by
// `indent` spaces; lines that have their own indentation keep it.
std::string wrapped(const std::string& text, int columns, int indent);

}  // namespace cnpd::cli
