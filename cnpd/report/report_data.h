// What the report of one run shows, as plain values: nothing here knows tensors, models or files.
//
// Every part may be left empty; the page then leaves it out. Rates are fractions in [0,1]; a value
// that was not measured is NaN and is drawn as a dash. Strings are plain UTF-8 text; render_html()
// escapes them, whatever they hold.
// Every member has an initialiser, so that designated initialisers may leave any of them out.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace cnpd::report {

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();
inline bool is_measured(double value) {
    return value == value;
}

// One line of the run's description: "Poison ratio", "10 %".
struct Fact {
    std::string key = {};
    std::string value = {};
};

// One row of the table of results: the victim, the run's own defense, or one to compare it with.
struct ResultRow {
    std::string name = {};
    double acc = not_measured;    // accuracy on the clean test images
    double asr = not_measured;    // share of the poisoned images predicted as their backdoor label
    double r_acc = not_measured;  // share of them predicted as their original label
    // Share of the same images predicted as their backdoor label without the trigger.
    double asr_untriggered = not_measured;
    std::optional<double> der = {};
    std::optional<double> seconds = {};  // wall-clock time of the defense
    std::optional<std::int64_t> parameters_trained = {};
    // An undefended model; the defenses below it are its own. The first one is "before" in the
    // verdict.
    bool is_victim = false;
    bool highlight = false;  // the row that the run is about: "after" in the verdict
};

// A loss term is a part of the loss, before it is weighted.
enum class Quantity { loss, loss_term, acc, asr, r_acc, learning_rate };

// One quantity over the epochs of a training. `epoch` and `value` have the same length.
struct Series {
    Quantity quantity = Quantity::loss;
    std::string name = {};  // what the line is labelled with; the quantity's own name where empty
    std::vector<double> epoch = {};
    std::vector<double> value = {};
};

struct Image {
    int height = 0;
    int width = 0;
    int channels = 3;                       // 3 (RGB) or 1 (grey)
    std::vector<std::uint8_t> pixels = {};  // [H,W,C]
};

struct Guess {
    std::string class_name = {};
    double probability = not_measured;
};

// One test image with and without the trigger, and what the models predict for the poisoned one.
// Without a poisoned image the predictions are for the clean one.
struct Example {
    Image clean = {};
    Image poisoned = {};
    std::string original_class = {};
    std::string backdoor_class = {};
    // The most likely classes, best first, of the victim and of the defended model; three are
    // shown. Empty for a model that is not there.
    std::vector<Guess> before = {};
    std::vector<Guess> after = {};
    bool defended_right = false;  // the defended model predicts the original label
    bool flagged = false;         // the two models predict different classes: detected
};

// Activations of one image at one place, [H,W,C].
struct FeatureMap {
    int height = 0;
    int width = 0;
    int channels = 0;
    std::vector<float> values = {};
};

// The features of one image at the insertion point, before and after the polarizer.
struct PolarizedFeatures {
    Image image = {};
    std::string polarizer_class = {};  // the victim's prediction, which chose the polarizer
    FeatureMap before = {};
    FeatureMap after = {};
};

struct InsertionPoint {
    std::string name = {};  // "layer4.1.conv1"
    // An image with the trigger and the same image without it; either may be empty.
    PolarizedFeatures poisoned = {};
    PolarizedFeatures clean = {};
};

// Numbers of test images by true and by predicted class, [true,predicted]. A matrix may be empty.
struct Confusion {
    std::vector<std::int64_t> before = {};  // of the victim
    std::vector<std::int64_t> after = {};   // of the defended model
};

struct RocPoint {
    double false_positive_rate = not_measured;
    double true_positive_rate = not_measured;
};

// An image is flagged if the victim and the purified model predict different classes.
struct Detection {
    double true_positive_rate = not_measured;                  // over all poisoned images
    double false_positive_rate = not_measured;                 // over the clean ones
    std::optional<double> true_positive_rate_successful = {};  // over those whose attack succeeded
    // The score of the curve is the drop in the probability of the victim's class.
    std::optional<double> auroc = {};
    std::vector<RocPoint> roc = {};  // in the order of a falling threshold
};

struct ReportData {
    std::string title = {};
    std::string subtitle = {};
    bool benign = false;                 // no training image of the victim was poisoned
    std::vector<Fact> facts = {};        // data set, model, attack, seed, ... in the order shown
    std::vector<Fact> environment = {};  // date, commit, hardware, versions
    std::vector<std::string> commands = {};  // what to type to get this run again

    std::vector<ResultRow> results = {};
    std::int64_t n_clean = 0;     // test images behind ACC
    std::int64_t n_poisoned = 0;  // poisoned test images behind ASR and R-ACC

    std::vector<Series> victim_training = {};
    std::vector<Series> defense_training = {};

    std::vector<Example> examples = {};
    std::optional<InsertionPoint> features = {};
    // The classes' names, and the predictions of all test images; the poisoned ones stand in the
    // row of their original class.
    std::vector<std::string> classes = {};
    Confusion clean_predictions = {};
    Confusion poisoned_predictions = {};
    std::optional<std::size_t> target = {};  // class of an all-to-one attack
    std::optional<Detection> detection = {};
};

}  // namespace cnpd::report
