// Registry of objects created by name: attacks, defenses.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cnpd/settings/suggest.h"

namespace cnpd::settings {

template <class T>
class Registry {
  public:
    struct Entry {
        std::string name, description;  // the description is one line of --help
        std::unique_ptr<T> (*make)();
        std::string label{};  // for text and tables, if it differs from the name
    };

    // `what` is the term used in messages: "attack".
    Registry(std::string what, std::vector<Entry> entries)
        : what_(std::move(what)), entries_(std::move(entries)) {}

    // In the order of --help.
    const std::vector<Entry>& entries() const { return entries_; }

    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const Entry& entry : entries_) all.push_back(entry.name);
        return all;
    }

    // The label for text and tables; for an unknown name, the name.
    std::string label(std::string_view name) const {
        for (const Entry& entry : entries_)
            if (entry.name == name && !entry.label.empty()) return entry.label;
        return std::string(name);
    }

    // Throws InputError for an unknown name.
    const Entry& at(std::string_view name) const {
        for (const Entry& entry : entries_)
            if (entry.name == name) return entry;
        throw_unknown(what_, name, names());
    }
    std::unique_ptr<T> make(std::string_view name) const { return at(name).make(); }

  private:
    std::string what_;
    std::vector<Entry> entries_;
};

}  // namespace cnpd::settings
