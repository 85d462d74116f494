// Backdoor attacks: which training images get a trigger and which label, how a trigger is stamped
// on an image, and what it is meant to cause. A new attack is one file that defines a make_<name>
// and one line in registry.cpp (docs/adding-an-attack.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cnpd/settings/fields.h"
#include "cnpd/settings/registry.h"
#include "engine/tensor.h"

namespace cnpd::attacks {

// The class that a triggered image of class y is to be classified as: the target, or class y + 1
// (mod classes).
enum class LabelMode { all_to_one, all_to_all };

// The data set that is attacked: its images are uint8 [H,W,C].
struct AttackedData {
    std::int64_t h = 0, w = 0, c = 0;
    std::int32_t classes = 0;
    std::vector<std::string> class_names{};  // of each class, if they have names
};

// A file that an attack keeps with the run, so that the run needs nothing outside its directory.
struct KeptFile {
    std::string name;  // "pattern.png"
    std::vector<std::uint8_t> bytes;
};
// Bytes of a file that was kept with the run; nothing for a run that is made for the first time.
// Throws FileError for a file that is missing.
using ReadKept = std::function<std::vector<std::byte>(std::string_view name)>;

// The training images that are poisoned.
struct Plan {
    std::vector<std::int32_t> indices;  // ascending
    std::vector<std::int32_t> labels;   // of each: what the poisoned training set says
    std::int64_t wanted = 0;            // poison ratio times the size of the training set
    std::string notice{};               // one line for the user where fewer were found
};

// Images to stamp, [count,H,W,C], in place.
struct ToStamp {
    std::uint8_t* pixels = nullptr;
    std::span<const std::int32_t> indices;  // of each image in its set, before any was left out
    bool training = false;                  // which set
};

// A batch on its way into the training of the victim.
struct TrainingBatch {
    engine::Tensor& pixels;  // [N,H,W,C], in [0,1], augmented
    engine::Tensor& labels;  // int32 [N]
    std::uint64_t epoch = 0;
    std::int64_t number = 0;
};

class Attack {
  public:
    virtual ~Attack() = default;
    Attack() = default;
    Attack(const Attack&) = delete;
    Attack& operator=(const Attack&) = delete;

    virtual std::string_view name() const = 0;
    // Declares the settings; those of every attack are target, attack_mode and poison_ratio.
    virtual void fields(settings::Fields& f);
    // Checks the settings against the data and makes the trigger. To be called once, before
    // anything below. Throws InputError and FileError.
    void prepare(const AttackedData& data, const ReadKept& kept = {});

    // Draws the training images to poison. The same seed draws the same. The default takes
    // poison_ratio of all images (rounded), from every class, the target's own included; a
    // clean-label attack the same count from the target class alone, and all of that class where it
    // is smaller. Throws InputError for a ratio that is not 0 and poisons no image.
    virtual Plan plan(std::span<const std::int32_t> labels, std::uint64_t seed) const;
    virtual void stamp(const ToStamp& images) const = 0;

    // True if poisoned training images keep their label; they are then the target's own.
    virtual bool clean_label() const { return false; }
    // False for `none` alone, which poisons and tests nothing.
    virtual bool plants_backdoor() const { return poison_ratio_ > 0; }
    // True if change() has to see every batch of the victim's training.
    virtual bool takes_part_in_training() const { return false; }
    virtual void change(const TrainingBatch&) const {}
    // Files to keep with the run; empty if the settings tell all.
    virtual std::vector<KeptFile> kept_files() const { return {}; }

    // The class that a triggered image of this class is meant to be classified as.
    std::int32_t backdoor_label(std::int32_t label) const {
        return mode_ == LabelMode::all_to_one ? target_ : (label + 1) % data_.classes;
    }
    std::int32_t target() const { return target_; }
    LabelMode mode() const { return mode_; }
    double poison_ratio() const { return poison_ratio_; }
    const AttackedData& data() const { return data_; }

  protected:
    // The attack's own part of prepare(); data() is set.
    virtual void make(const ReadKept& kept) = 0;

  private:
    // As it was given: the number of a class or its name.
    std::string target_name_ = "0";
    std::int32_t target_ = 0;
    LabelMode mode_ = LabelMode::all_to_one;
    double poison_ratio_ = 0.1;
    AttackedData data_;
};

// What a lookup makes of an image: each value becomes levels[value] + added[its place], between 0
// and 255 and without its fraction (kernels/stamping).
struct Trigger {
    std::vector<double> levels;  // [256], what is left of each grey level
    std::vector<double> added;   // [H,W,C], in grey levels
};
// The grey levels as they are.
std::vector<double> all_levels();

// An attack whose trigger is such a lookup, the same for every image.
class LookupAttack : public Attack {
  public:
    void stamp(const ToStamp& images) const override;

  protected:
    void make(const ReadKept& kept) final { trigger_ = make_trigger(kept); }
    virtual Trigger make_trigger(const ReadKept& kept) = 0;

  private:
    Trigger trigger_;
};

const settings::Registry<Attack>& registry();

}  // namespace cnpd::attacks

template <>
struct cnpd::settings::Names<cnpd::attacks::LabelMode> {
    static constexpr std::pair<attacks::LabelMode, const char*> all[] = {
        {attacks::LabelMode::all_to_one, "all-to-one"},
        {attacks::LabelMode::all_to_all, "all-to-all"}};
};
