// The outcome of a run, determined by its rates.
//
// ASR includes ordinary misclassifications, so the measure is the effect of an attack: ASR minus
// the rate at which the same images are predicted as their backdoor label without the trigger. If
// that rate was not measured, 0 is used.
#pragma once

#include <optional>
#include <string>

#include "cnpd/report/report_data.h"

namespace cnpd::report {

// Thresholds, as shares of the images.
inline constexpr double attack_takes = 0.10;   // minimum effect of a successful attack
inline constexpr double effect_left = 0.05;    // maximum effect of a removed backdoor
inline constexpr double asr_left = 0.50;       // at or above this ASR no backdoor counts as removed
inline constexpr double effect_reduced = 0.5;  // weakened: maximum share of the effect before
inline constexpr double high_price = 0.05;     // loss of ACC above which the cost is high
inline constexpr double high_false_alarms = 0.05;  // share of the clean images flagged

enum class Tone {
    neutral,
    good,   // drawn in the defense's colour
    mixed,  // the text colour
    bad,    // the attack's colour
};

enum class OutcomeKind {
    nothing_measured,
    // Victims.
    attack_took,
    attack_never_took,  // of a victim, or of a defense of such a victim
    benign,
    // Defenses.
    removed,
    removed_at_a_high_price,
    reduced,
    not_removed,
    always_the_target,  // the target is predicted with and without the trigger
    benign_defended,
    not_compared,  // the victim's rates are missing
};

struct Outcome {
    OutcomeKind kind = OutcomeKind::nothing_measured;
    // Plain text: a headline without a full stop, and sentences with the rates.
    std::string headline = {};
    std::string subtitle = {};
    Tone tone = Tone::neutral;
};

// `before` is the victim, `after` the defended model; either may be null. For a benign victim,
// trained without poisoned images, ASR is ignored. `false_alarms` is the share of the clean images
// that the defense flags; NaN if unknown.
Outcome outcome(const ResultRow* before, const ResultRow* after, bool benign = false,
                double false_alarms = not_measured);
// The outcome for the first victim's row and the highlighted row.
Outcome outcome(const ReportData& data);

}  // namespace cnpd::report
