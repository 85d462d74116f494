// What a run came to, judged by its numbers alone.
//
// ASR counts the ordinary mistakes of a model too, so an attack is judged by its effect: ASR less
// the rate at which the same images are given their backdoor label without the trigger. Where that
// rate was not measured, it is taken for 0.
#pragma once

#include <optional>
#include <string>

#include "cnpd/report/report_data.h"

namespace cnpd::report {

// The thresholds, as shares of the images.
inline constexpr double attack_takes = 0.10;       // effect from which on an attack took
inline constexpr double effect_left = 0.05;        // effect up to which a backdoor is removed
inline constexpr double asr_left = 0.50;           // ASR from which on nothing counts as removed
inline constexpr double effect_reduced = 0.5;      // share of the effect before, at most
inline constexpr double high_price = 0.05;         // of ACC, from which on the price is high
inline constexpr double high_false_alarms = 0.05;  // share of the clean images flagged

enum class Tone {
    neutral,
    good,   // drawn in the defense's colour
    mixed,  // ink
    bad,    // the attack's colour
};

enum class OutcomeKind {
    nothing_measured,
    // Of a victim.
    attack_took,
    attack_never_took,  // of a victim, and of a defense of such a victim
    benign,
    // Of a defense.
    removed,
    removed_at_a_high_price,
    reduced,
    not_removed,
    always_the_target,  // the images end up there with and without the trigger
    benign_defended,
    not_compared,  // the victim's numbers are missing
};

struct Outcome {
    OutcomeKind kind = OutcomeKind::nothing_measured;
    // Plain text: a few words without a full stop, and sentences with the numbers behind them.
    std::string headline = {};
    std::string subtitle = {};
    Tone tone = Tone::neutral;
};

// `before` is the victim, `after` the defended model; either may be null. A benign victim's model
// was trained without a poisoned image, so its ASR does not count. `false_alarms` is the share of
// the clean images that the defense flags, if it flags any.
Outcome outcome(const ResultRow* before, const ResultRow* after, bool benign = false,
                double false_alarms = not_measured);
// Of the first victim's row and the highlighted one.
Outcome outcome(const ReportData& data);

}  // namespace cnpd::report
