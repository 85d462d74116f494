// Backdoor attacks: choice and labels of the poisoned training images, stamping of the trigger, and
// the backdoor labels. A new attack is one file that defines make_<name>, and one line in
// registry.cpp (docs/adding-an-attack.md).
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

// The backdoor label of class y: the target, or class y + 1 (mod classes).
enum class LabelMode { all_to_one, all_to_all };

// The attacked data set; its images are uint8 [H,W,C].
struct AttackedData {
    std::int64_t h = 0, w = 0, c = 0;
    std::int32_t classes = 0;
    std::vector<std::string> class_names{};  // of each class; empty if they have no names
};

// A file that an attack stores in the run directory, so that the run is self-contained.
struct KeptFile {
    std::string name;  // "pattern.png"
    std::vector<std::uint8_t> bytes;
};
// Returns the bytes of a file stored with the run; empty function for a new run. Throws FileError
// for a missing file.
using ReadKept = std::function<std::vector<std::byte>(std::string_view name)>;

// The training images to poison.
struct Plan {
    std::vector<std::int32_t> indices;  // ascending
    std::vector<std::int32_t> labels;   // of each, in the poisoned training set
    std::int64_t wanted = 0;            // poison ratio times the size of the training set
    std::string notice{};               // one line for the user if there were fewer
};

// Images to stamp, [count,H,W,C], in place.
struct ToStamp {
    std::uint8_t* pixels = nullptr;
    std::span<const std::int32_t> indices;  // of each image in the original set
    bool training = false;                  // training or test set
};

// A batch of the victim's training, before the update.
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
    // Declares the settings. Common to all attacks: target, attack_mode, poison_ratio.
    virtual void fields(settings::Fields& f);
    // Checks the settings against the data and makes the trigger. Call once, before the functions
    // below. Throws InputError and FileError.
    void prepare(const AttackedData& data, const ReadKept& kept = {});

    // Draws the training images to poison, determined by the seed. The default draws poison_ratio
    // of all images (rounded) from all classes including the target. A clean-label attack draws the
    // same number from the target class, or the whole class if it is smaller. Throws InputError if
    // a ratio above 0 poisons no image.
    virtual Plan plan(std::span<const std::int32_t> labels, std::uint64_t seed) const;
    virtual void stamp(const ToStamp& images) const = 0;

    // True if poisoned training images keep their labels; they are then images of the target class.
    virtual bool clean_label() const { return false; }
    // False if nothing is poisoned, as for `none`.
    virtual bool plants_backdoor() const { return poison_ratio_ > 0; }
    // True if change() must be called for every batch of the victim's training.
    virtual bool takes_part_in_training() const { return false; }
    virtual void change(const TrainingBatch&) const {}
    // Files to store with the run; empty if the settings are sufficient.
    virtual std::vector<KeptFile> kept_files() const { return {}; }

    // The backdoor label of images of this class.
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
    // The number of a class or its name, as given.
    std::string target_name_ = "0";
    std::int32_t target_ = 0;
    LabelMode mode_ = LabelMode::all_to_one;
    double poison_ratio_ = 0.1;
    AttackedData data_;
};

// A trigger as a lookup: each value becomes levels[value] + added[position], clamped to 0 to 255
// and truncated (kernels/stamping).
struct Trigger {
    std::vector<double> levels;  // [256], the new value of each grey level
    std::vector<double> added;   // [H,W,C], in grey levels
};
// The identity for Trigger::levels: 0 to 255.
std::vector<double> all_levels();

// An attack with such a trigger, the same for all images.
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
