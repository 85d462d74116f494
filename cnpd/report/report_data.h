// The content of a run's report as plain values, independent of tensors, models and files.
//
// The page omits empty parts. Rates are fractions in [0,1]; a value that was not measured is NaN
// and drawn as a dash. Strings are plain UTF-8 text; render_html() escapes them. All members have
// initialisers, so that designated initialisers may omit any of them.
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

// One row of the results table: a victim, the run's defense, or a defense for comparison.
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
    // An undefended model, followed by its defenses. The first victim is "before" in the verdict.
    bool is_victim = false;
    bool highlight = false;  // the run's own row: "after" in the verdict
};

// loss_term: an unweighted term of the loss.
enum class Quantity { loss, loss_term, acc, asr, r_acc, learning_rate };

// One quantity by epoch. `epoch` and `value` have the same length.
struct Series {
    Quantity quantity = Quantity::loss;
    std::string name = {};  // label of the line; the quantity's name if empty
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

// One test image with and without the trigger, and the models' predictions for the poisoned image,
// or for the clean image if there is no poisoned one.
struct Example {
    Image clean = {};
    Image poisoned = {};
    std::string original_class = {};
    std::string backdoor_class = {};
    // The most likely classes in falling order of probability, of the victim and of the defended
    // model; three are shown. Empty if there is no such model.
    std::vector<Guess> before = {};
    std::vector<Guess> after = {};
    bool defended_right = false;  // the defended model predicts the original label
    bool flagged = false;         // the two models predict different classes: detected
};

// Activations of one image at one layer, [H,W,C].
struct FeatureMap {
    int height = 0;
    int width = 0;
    int channels = 0;
    std::vector<float> values = {};
};

// The features of one image at the insertion point, before and after the polarizer.
struct PolarizedFeatures {
    Image image = {};
    std::string polarizer_class = {};  // the victim's prediction, which selected the polarizer
    FeatureMap before = {};
    FeatureMap after = {};
};

struct InsertionPoint {
    std::string name = {};  // "layer4.1.conv1"
    // The same image with and without the trigger; either may be empty.
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
    std::optional<double> true_positive_rate_successful = {};  // over those that fool the victim
    // The score of the curve is the drop in the probability of the victim's class.
    std::optional<double> auroc = {};
    std::vector<RocPoint> roc = {};  // in the order of falling thresholds
};

struct ReportData {
    std::string title = {};
    std::string subtitle = {};
    bool benign = false;           // no training image of the victim was poisoned
    std::vector<Fact> facts = {};  // data set, model, attack, seed, ..., in the order of display
    std::vector<Fact> environment = {};      // date, commit, hardware, versions
    std::vector<std::string> commands = {};  // commands that repeat the run

    std::vector<ResultRow> results = {};
    std::int64_t n_clean = 0;     // test images behind ACC
    std::int64_t n_poisoned = 0;  // poisoned test images behind ASR and R-ACC

    std::vector<Series> victim_training = {};
    std::vector<Series> defense_training = {};

    std::vector<Example> examples = {};
    std::optional<InsertionPoint> features = {};
    // Class names, and the predictions of all test images. Poisoned images are in the row of their
    // original class.
    std::vector<std::string> classes = {};
    Confusion clean_predictions = {};
    Confusion poisoned_predictions = {};
    std::optional<std::size_t> target = {};  // class of an all-to-one attack
    std::optional<Detection> detection = {};
};

}  // namespace cnpd::report
