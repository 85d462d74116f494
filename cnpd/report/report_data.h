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
    std::optional<double> der = {};
    std::optional<double> seconds = {};  // wall-clock time of the defense
    std::optional<std::int64_t> parameters_trained = {};
    bool is_victim = false;  // the undefended model: "before" in the verdict
    bool highlight = false;  // the row that the run is about: "after" in the verdict
};

enum class Quantity { loss, acc, asr, r_acc, learning_rate };

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

// One test image with and without the trigger, and what the models say of the poisoned one.
struct Example {
    Image clean = {};
    Image poisoned = {};
    std::string original_class = {};
    std::string backdoor_class = {};
    // The most likely classes, best first, as the victim and the purified model see them; three are
    // shown.
    std::vector<Guess> before = {};
    std::vector<Guess> after = {};
    bool purified_right = false;  // the purified model predicts the original label
    bool flagged = false;         // victim and purified model disagree: detected
};

// Activations of one image at one place, [H,W,C].
struct FeatureMap {
    int height = 0;
    int width = 0;
    int channels = 0;
    std::vector<float> values = {};
};

// What the polarizer does to one image at the insertion point.
struct PolarizedFeatures {
    Image image = {};
    std::string polarizer_class = {};  // the victim's prediction, which chose the polarizer
    FeatureMap before = {};
    FeatureMap after = {};
};

struct InsertionPoint {
    std::string name = {};  // "layer4.1.conv1"
    PolarizedFeatures poisoned = {};
    PolarizedFeatures clean = {};  // the same image without the trigger; may be empty
};

// How many poisoned images are predicted as one class.
struct PredictionCount {
    std::string class_name = {};
    std::int64_t before = 0;  // by the victim
    std::int64_t after = 0;   // by the purified model
    bool is_target = false;   // drawn in the attack's colour; none for all-to-all attacks
};

struct RocPoint {
    double false_positive_rate = not_measured;
    double true_positive_rate = not_measured;
};

// An image is flagged where the purified model disagrees with the victim.
struct Detection {
    double true_positive_rate = not_measured;                  // over all poisoned images
    double false_positive_rate = not_measured;                 // over the clean ones
    std::optional<double> true_positive_rate_successful = {};  // over those whose attack succeeded
    // The score of the curve is the drop of the probability of the victim's prediction.
    std::optional<double> auroc = {};
    std::vector<RocPoint> roc = {};  // in the order of a falling threshold
};

struct ReportData {
    std::string title = {};
    std::string subtitle = {};
    std::vector<Fact> facts = {};  // data set, model, attack, seed, ... in the order shown
    std::vector<std::string> commands = {};  // what to type to get this run again

    std::vector<ResultRow> results = {};
    std::int64_t n_clean = 0;     // test images behind ACC
    std::int64_t n_poisoned = 0;  // poisoned test images behind ASR and R-ACC

    std::vector<Series> victim_training = {};
    std::vector<Series> defense_training = {};

    std::vector<Example> examples = {};
    std::optional<InsertionPoint> features = {};
    std::vector<PredictionCount> poisoned_predictions = {};
    std::optional<Detection> detection = {};
};

}  // namespace cnpd::report
