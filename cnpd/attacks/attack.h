// Backdoor attacks: how a trigger is stamped on an image and what label it is meant to cause. Which
// images are stamped is poisoning.h's business. A new attack is one file that defines a make_<name>
// and one line in registry.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cnpd::attacks {

// What a triggered image of class y is to be taken for: the target, or class y + 1 (mod classes).
enum class LabelMode { all_to_one, all_to_all };

struct AttackOptions {
    std::int32_t target = 0;  // of all-to-one
    LabelMode mode = LabelMode::all_to_one;
    double poison_ratio = 0.1;  // share of the training set, in [0,1]

    std::int64_t badnets_patch = 0;       // pixels a side; 0: 3 at 32x32, in proportion elsewhere
    double blend_alpha = 0.2;             // share of the pattern, in [0,1]
    std::string blend_pattern = "noise";  // noise, smooth, or an image file
    std::uint64_t blend_seed = 0;         // of noise and smooth
    double sig_amplitude = 40;            // in grey levels of 255
    double sig_frequency = 6;             // periods in an image's width
};

// The data set that is attacked: its images are uint8 [H,W,C].
struct AttackedData {
    std::int64_t h = 0, w = 0, c = 0;
    std::int32_t classes = 0;
};

// What a trigger makes of an image: each value becomes levels[value] + added[its place], between 0
// and 255 and without its fraction (kernels/stamping).
struct Trigger {
    std::vector<double> levels;  // [256], what is left of each grey level
    std::vector<double> added;   // [H,W,C], in grey levels
};
// The grey levels as they are.
std::vector<double> all_levels();

class Attack {
  public:
    // Without a trigger, images stay as they are.
    Attack(const AttackOptions& options, const AttackedData& data, Trigger trigger = {})
        : options_(options), data_(data), trigger_(std::move(trigger)) {}
    virtual ~Attack() = default;
    Attack(const Attack&) = delete;
    Attack& operator=(const Attack&) = delete;

    virtual std::string_view name() const = 0;
    // Puts the trigger on images [count,H,W,C] in place.
    void stamp(std::uint8_t* images, std::int64_t count = 1) const;
    // True if poisoned training images keep their label; they are then the target's own.
    virtual bool clean_label() const { return false; }
    // A picture that the trigger was made of and that the options only name, [H,W,C]; empty if they
    // tell all.
    virtual std::span<const std::uint8_t> picture() const { return {}; }
    // False for `none` alone, which poisons and tests nothing.
    virtual bool plants_backdoor() const { return true; }

    // What a triggered image of this class is meant to be taken for.
    std::int32_t backdoor_label(std::int32_t label) const {
        return options_.mode == LabelMode::all_to_one ? options_.target
                                                      : (label + 1) % data_.classes;
    }
    const AttackOptions& options() const { return options_; }
    const AttackedData& data() const { return data_; }

  private:
    AttackOptions options_;
    AttackedData data_;
    Trigger trigger_;
};

struct AttackInfo {
    std::string_view name, description;  // the description is one line for --help
};

// What make_attack() knows, in the order --help shows it.
std::vector<AttackInfo> registry();
std::vector<std::string_view> attack_names();

// Throws InputError for an unknown name, an option out of range, or options that do not go together
// or with the data.
std::unique_ptr<Attack> make_attack(std::string_view name, const AttackOptions& options,
                                    const AttackedData& data);

}  // namespace cnpd::attacks
