// Settings. Each is declared once, in the struct that uses it, by a function that lists its
// members.
//
//     struct PatchSettings {
//         std::int64_t size = 3;
//         void fields(settings::Fields& f) {
//             f.add("patch_size", size, "Side of the patch").unit("pixels").range(0, 4096);
//         }
//     };
//
// The declaration defines the option (--patch-size), its line of --help, its name in config files
// and in config.json ("patch_size"), the check of its range, and its part of the command that
// repeats a run. Fields refers to the struct's members, which must outlive it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cnpd/settings/names.h"

namespace cnpd::settings {

// The first version whose config.json has a setting, unless since() gives another.
inline constexpr const char* kFirstVersion = "0.1.0";

class Field {
  public:
    // A member whose values are written as names from a list.
    struct Choice {
        std::function<std::string()> get;
        std::function<void(std::string_view what, std::string_view name)> set;
    };
    using Member = std::variant<bool*, std::int32_t*, std::int64_t*, std::uint64_t*, float*,
                                double*, std::string*, Choice>;

    Field(std::string name, std::string section, std::string heading, Member member,
          std::string help);

    // Valid values, both ends included. NaN is invalid.
    Field& range(double low, double high);
    // The same without the lower end.
    Field& above(double low, double high);
    Field& unit(std::string unit);
    // Valid texts; any text if the list is empty.
    Field& known(std::vector<std::string> values);
    // Text shown by --help for a default that is derived from other settings (0, -1 or "").
    Field& otherwise(std::string text);
    // The option that switches a bool off, if it is not --no-NAME: "constant-lr".
    Field& off(std::string option);
    // A former name in config.json: "name" or "section/name".
    Field& formerly(std::string name);
    // The version that introduced it. It may be missing in config.json of older versions.
    Field& since(std::string version);
    // The text is a class, given by number or name; config.json has the number.
    Field& class_index();
    // Lines below the help, one for each known value: "badnets: white patch ...".
    Field& details(std::vector<std::string> lines);

    const std::string& name() const { return name_; }        // "patch_size"
    const std::string& section() const { return section_; }  // of config.json: "attack"
    const std::string& heading() const { return heading_; }  // in --help
    const std::string& off_name() const { return off_; }     // "no-augment"
    const std::vector<std::string>& former_names() const { return former_; }
    const std::vector<std::string>& known_values() const { return known_; }
    const std::string& first_version() const { return since_; }
    bool is_switch() const { return std::holds_alternative<bool*>(member_); }
    bool is_text() const { return std::holds_alternative<std::string*>(member_); }
    std::string option() const;  // "--patch-size"
    std::string help() const { return help_; }
    bool is_unset() const;             // the value ("", 0, -1) for which otherwise() has the text
    std::string default_text() const;  // of the current value: "3", "the recipe's"
    std::string type_text() const;     // of the value, in --help: "INT", or its unit
    const std::vector<std::string>& detail_lines() const { return details_; }

    // The value as the text of an option.
    std::string text() const;
    // Set the value from an option's text or from JSON. Throw InputError, with `called` as the
    // name, for a wrong type or a value out of range.
    void set(std::string_view text, std::string_view called);
    void set_json(const nlohmann::ordered_json& value, std::string_view called);
    nlohmann::ordered_json json() const;
    void check(std::string_view called) const;

  private:
    std::string name_, section_, heading_, help_, unit_, otherwise_, off_, since_ = kFirstVersion;
    std::vector<std::string> former_, known_, details_;
    Member member_;
    double low_ = -std::numeric_limits<double>::infinity();
    double high_ = std::numeric_limits<double>::infinity();
    bool low_included_ = true, bounded_ = false, class_index_ = false;
};

class Fields {
  public:
    // Object in config.json and heading in --help for the fields added next.
    void section(std::string name, std::string heading = "");

    template <class T>
    Field& add(std::string name, T& member, std::string help) {
        if constexpr (std::is_enum_v<T>) {
            Field& field = add_member(std::move(name), choice(member), std::move(help));
            return field.known(names_of<T>());
        } else {
            return add_member(std::move(name), &member, std::move(help));
        }
    }

    std::deque<Field>& all() { return fields_; }
    const std::deque<Field>& all() const { return fields_; }
    // All fields except these.
    Fields except(std::initializer_list<std::string_view> names) const;
    // Finds a field by the spelling of its option or of the file, without leading dashes; null if
    // there is none.
    Field* find(std::string_view name);
    std::vector<std::string> names() const;  // options, without dashes

    // Throws InputError for the first value out of range: "--lr 5000 is out of range: 0 to 1000".
    void check() const;

  private:
    template <class Enum>
    static Field::Choice choice(Enum& member) {
        return {
            .get = [&member] { return std::string(name_of(member)); },
            .set = [&member](std::string_view what,
                             std::string_view name) { member = value_named<Enum>(what, name); }};
    }
    Field& add_member(std::string name, Field::Member member, std::string help);

    std::deque<Field> fields_;  // add() returns references
    std::string section_, heading_;
};

// The fields that `settings` declares.
template <class Settings>
Fields fields_of(Settings& settings) {
    Fields fields;
    settings.fields(fields);
    return fields;
}

// Lines of --help for entries with a name and a description: "badnets: white patch ...".
template <class Infos>
std::vector<std::string> described(const Infos& infos) {
    std::vector<std::string> lines;
    for (const auto& info : infos)
        lines.push_back(std::string(info.name) + ": " + std::string(info.description));
    return lines;
}

// One object for each section, in the order of declaration.
nlohmann::ordered_json to_json(const Fields& fields);
// Reads an object written by cnpd `version`. Throws FileError with the file's name for a missing
// value, a wrong type or a value out of range. Other sections and keys are ignored.
void from_json(Fields& fields, const nlohmann::ordered_json& json, std::string_view path,
               std::string_view version);

// The options that change `usual` into `other`: "--patch-size", "5"; none for equal values. Both
// must declare the same fields.
std::vector<std::string> arguments(const Fields& usual, const Fields& other);

// "0.10.0" is newer than "0.9.1".
bool older(std::string_view version, std::string_view than);

}  // namespace cnpd::settings
