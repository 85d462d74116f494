// Command-line options for settings::Fields.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cnpd/runs/settings.h"
#include "cnpd/settings/fields.h"

namespace cnpd::cli {

class FieldOptions {
  public:
    // Adds an option for each field; existing options are kept. If not `shown`, the options are
    // accepted but omitted from --help.
    void add_to(CLI::App& app, const settings::Fields& fields, bool shown);

    // Options given on the command line or in a file; the command line takes precedence.
    runs::Given given() const;
    // Their names, without dashes.
    std::vector<std::string> given_names() const;

    // Sets a value from a file. `name` is an option without dashes, or the option that switches it
    // off. False if there is no such option.
    bool set_from_file(const std::string& name, const std::string& text);

  private:
    struct Known {
        std::string name, off_name;
        bool is_switch = false;
    };
    const Known* find(const std::string& name) const;

    std::deque<Known> known_;
    std::map<std::string, std::string> from_line_, from_file_;
};

}  // namespace cnpd::cli
