#include "cnpd/report/outcome.h"

#include <algorithm>

#include "cnpd/report/markup.h"
#include "cnpd/report/sections.h"

namespace cnpd::report {
namespace {

double effect(const ResultRow& row) {
    return row.asr - (is_drawable(row.asr_untriggered) ? row.asr_untriggered : 0);
}

double accuracy_lost(const ResultRow& before, const ResultRow& after) {
    const double lost = before.acc - after.acc;
    return is_drawable(lost) ? lost : 0;
}

std::string points(double share) {
    return fmt::format("{:.1f} points", 100 * share);
}

std::string with_untriggered(const ResultRow& row) {
    if (!is_drawable(row.asr_untriggered)) return percent(row.asr);
    return fmt::format("{} ({} without the trigger)", percent(row.asr),
                       percent(row.asr_untriggered));
}

std::string accuracy_sentence(const ResultRow* before, const ResultRow* after) {
    const bool both = before && after;
    if (both && is_drawable(before->acc) && is_drawable(after->acc))
        return fmt::format("Accuracy on clean images went from {} to {}.", percent(before->acc),
                           percent(after->acc));
    const ResultRow* only = both ? nullptr : before ? before : after;
    if (!only || !is_drawable(only->acc)) return {};
    return fmt::format("Accuracy on clean images is {}.", percent(only->acc));
}

std::string joined(const std::string& first, const std::string& second) {
    return first.empty() || second.empty() ? first + second : first + " " + second;
}

Outcome benign_outcome(const ResultRow* before, const ResultRow* after, double false_alarms) {
    Outcome result;
    result.subtitle = accuracy_sentence(before, after);
    if (!after) {
        result.kind = OutcomeKind::benign;
        result.headline = "Benign: no training image was poisoned";
        result.subtitle = joined(result.subtitle, "There is no backdoor to measure.");
        return result;
    }
    result.kind = OutcomeKind::benign_defended;
    const double lost = before ? accuracy_lost(*before, *after) : 0;
    result.headline = "Benign victim: there was no backdoor to remove";
    std::string cost;
    if (before && is_drawable(before->acc) && is_drawable(after->acc))
        cost = lost > 0 ? fmt::format("The defense cost {} of accuracy", points(lost))
                        : std::string("The defense cost no accuracy");
    if (is_drawable(false_alarms)) {
        const std::string flags = fmt::format(
            "{} of the clean images are flagged, all of them false alarms", percent(false_alarms));
        cost = cost.empty() ? flags : cost + "; " + flags;
    }
    result.subtitle = joined(result.subtitle, cost.empty() ? cost : cost + ".");
    const bool alarming = is_drawable(false_alarms) && false_alarms > high_false_alarms;
    result.tone = lost > high_price || alarming ? Tone::bad : Tone::neutral;
    return result;
}

Outcome victim_outcome(const ResultRow& row) {
    Outcome result{.subtitle = accuracy_sentence(&row, nullptr)};
    if (!is_drawable(row.asr)) {
        if (!result.subtitle.empty()) result.headline = "The attack was not measured";
        return result;
    }
    const bool took = effect(row) >= attack_takes;
    result.kind = took ? OutcomeKind::attack_took : OutcomeKind::attack_never_took;
    result.headline = took ? "The backdoor works" : "The attack failed";
    result.tone = took ? Tone::bad : Tone::neutral;
    result.subtitle = joined(
        fmt::format("The attacker's class is predicted for {} of the images with the trigger.",
                    with_untriggered(row)),
        result.subtitle);
    return result;
}

OutcomeKind judged(const ResultRow& before, const ResultRow& after) {
    const double was = effect(before), is = effect(after);
    if (was < attack_takes) return OutcomeKind::attack_never_took;
    if (is <= effect_left && after.asr >= asr_left) return OutcomeKind::always_the_target;
    if (is <= effect_left)
        return accuracy_lost(before, after) > high_price ? OutcomeKind::removed_at_a_high_price
                                                         : OutcomeKind::removed;
    if (after.asr >= before.asr) return OutcomeKind::not_removed;
    return is <= effect_reduced * was ? OutcomeKind::reduced : OutcomeKind::not_removed;
}

void name(Outcome& result, double lost) {
    switch (result.kind) {
        case OutcomeKind::removed:
            result.headline = "The backdoor is removed";
            result.tone = Tone::good;
            return;
        case OutcomeKind::removed_at_a_high_price:
            result.headline =
                fmt::format("The backdoor is removed at a cost of {} of accuracy", points(lost));
            result.tone = Tone::mixed;
            return;
        case OutcomeKind::reduced:
            result.headline = "The backdoor is weakened, but not removed";
            result.tone = lost > high_price ? Tone::bad : Tone::mixed;
            return;
        case OutcomeKind::always_the_target:
            result.headline = "The attacker's class is predicted with and without the trigger";
            result.tone = Tone::bad;
            return;
        case OutcomeKind::attack_never_took:
            result.headline = "The attack failed, so there was no backdoor to remove";
            result.tone = Tone::neutral;
            return;
        default:
            result.headline = "The backdoor is not removed";
            result.tone = Tone::bad;
    }
}

Outcome defense_outcome(const ResultRow* before, const ResultRow& after) {
    const std::string accuracy = accuracy_sentence(before, &after);
    Outcome result{.subtitle = accuracy};
    const bool compared = before && is_drawable(before->asr);
    if (!is_drawable(after.asr)) {
        if (!accuracy.empty()) result.headline = "The attack was not measured";
        return result;
    }
    if (!compared) {
        result.kind = OutcomeKind::not_compared;
        result.headline = "The victim was not measured";
        result.subtitle = joined(fmt::format("The attacker's class is predicted for {} of the "
                                             "images with the trigger.",
                                             with_untriggered(after)),
                                 accuracy);
        return result;
    }
    result.kind = judged(*before, after);
    name(result, accuracy_lost(*before, after));
    result.subtitle = joined(
        fmt::format("The attacker's class was predicted for {} of the images with the trigger "
                    "before the defense, and for {} after it.",
                    with_untriggered(*before), with_untriggered(after)),
        accuracy);
    return result;
}

}  // namespace

Outcome outcome(const ResultRow* before, const ResultRow* after, bool benign, double false_alarms) {
    if (!before && !after) return {};
    if (benign) return benign_outcome(before, after, false_alarms);
    return after ? defense_outcome(before, *after) : victim_outcome(*before);
}

Outcome outcome(const ReportData& data) {
    return outcome(victim_row(data), highlighted_row(data), data.benign,
                   data.detection ? data.detection->false_positive_rate : not_measured);
}

}  // namespace cnpd::report
