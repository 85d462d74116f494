// The options that follow from declared settings.
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
    // Adds an option for each field. Those that are not shown are accepted, and --help leaves them
    // out. Options that are there already stay as they are.
    void add_to(CLI::App& app, const settings::Fields& fields, bool shown);

    // What the command line gave, and beneath that a file.
    runs::Given given() const;
    // Names only, without dashes.
    std::vector<std::string> given_names() const;

    // A value from a file, for an option of ours: its name without dashes, or that which switches
    // it off. False if there is none of that name.
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
