// Which kernels run in what users call: predictions, evaluation and steps of a defense, in every
// precision and on the GPUs that have kernels of their own. docs/kernels-polarizer.md says the
// same.
#include <doctest/doctest.h>

#ifdef CNPD_EMULATED
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/model/polarizer_steps.h"
#include "cnpd/defenses/polarizing/bilevel.h"
#include "cnpd/defenses/polarizing/polarizers/purified_model.h"
#include "cnpd/defenses/polarizing/polarizing.h"
#include "cnpd/evaluation/scores.h"
#include "cnpd/training/precision.h"
#include "kernels/emulator/compute_capability.h"
#include "kernels/emulator/launch_log.h"
#include "tests/support/fixtures.h"
#include "tests/support/small_victim.h"

using namespace cnpd;
using namespace cnpd::tests;
using bench::Activity;
using bench::Arithmetic;
using engine::Tensor;
using kernels::emulator::LaunchLog;
using training::Precision;

namespace {

constexpr engine::Device kDevice{.backend = engine::Backend::emulated};

// A precision on a GPU, and the versions that docs/kernels-polarizer.md names for it.
struct Case {
    Arithmetic arithmetic;
    int compute_major;
    std::string product;  // forward pass and dgrad
    std::string wgrad;
    // Version 10 needs two pieces of the map.
    std::int64_t channels = 128;

    Precision precision() const {
        if (arithmetic == Arithmetic::fp32) return Precision::fp32;
        return arithmetic == Arithmetic::tf32 ? Precision::tf32 : Precision::bf16;
    }
};
const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {Arithmetic::fp32, 8, "polarizer_v3", "polarizer_wgrad_v4"},
        {Arithmetic::fp32, 9, "polarizer_v3", "polarizer_wgrad_v4"},
        {Arithmetic::tf32, 8, "polarizer_v4_tf32", "polarizer_wgrad_v5_tf32"},
        {Arithmetic::tf32, 9, "polarizer_v4_tf32", "polarizer_wgrad_v5_tf32"},
        {Arithmetic::bf16, 8, "polarizer_v6", "polarizer_wgrad_v6"},
        {Arithmetic::bf16, 12, "polarizer_v6", "polarizer_wgrad_v6"},
        {Arithmetic::bf16_hopper, 9, "polarizer_v10", "polarizer_wgrad_v6", 256}};
    return all;
}

// The process in a precision, the emulated GPU of a compute capability.
class Computing {
  public:
    explicit Computing(const Case& c)
        : compute_{kDevice, c.precision()}, capability_(c.compute_major, 0) {
        training::prepare(compute_);
    }
    ~Computing() { training::prepare({kDevice, Precision::fp32}); }
    engine::DType activations() const { return compute_.activations(); }

  private:
    training::Compute compute_;
    kernels::emulator::ComputeCapability capability_;
};

// Number of launches of each kernel of a polarizer, of its router and of the PGD step.
using Counts = std::map<std::string, int>;
template <typename Run>
Counts launches_in(const Run& run) {
    static const std::regex kOurs("(polarizer|group_samples|top_classes|pgd|routed|router|mix).*");
    const LaunchLog log;
    run();
    Counts counts;
    for (const LaunchLog::Entry& entry : log.entries())
        if (std::regex_match(entry.name, kOurs)) ++counts[entry.name];
    return counts;
}

// For messages.
std::string text_of(const Counts& counts) {
    std::string text;
    for (const auto& [name, count] : counts) text += fmt::format("{} {}, ", name, count);
    return text;
}

// What docs/kernels-polarizer.md says.
Counts documented(Activity activity, Arithmetic arithmetic) {
    Counts counts;
    for (const bench::PolarizerStep& step : bench::polarizer_steps())
        if (step.activity == activity && step.arithmetic == arithmetic)
            for (const bench::Part& part : step.parts)
                counts[part.launch] += part.calls * part.work.launches;
    return counts;
}

// Images of 4x4 pixels, as positions that all versions support.
datasets::BatchSource images(std::int64_t count) {
    datasets::Images images{.n = count, .h = 4, .w = 4, .c = 3, .pixels = {}, .labels = {}};
    for (std::int64_t i = 0; i < count * 4 * 4 * 3; ++i)
        images.pixels.push_back(static_cast<std::uint8_t>(i * i * 31 % 251));
    images.labels = random_labels(count, SmallVictim::kClasses);
    return {images, {0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}, kDevice};
}

std::unique_ptr<polarizers::Polarizer> polarizer(const std::string& method, const Case& c,
                                                 const Computing& computing) {
    auto made = defenses::untrained_polarizer({.method = method},
                                              {.classes = SmallVictim::kClasses,
                                               .channels = c.channels,
                                               .device = kDevice,
                                               .activations = computing.activations()},
                                              3);
    made->refresh();
    return made;
}

polarizers::PurifiedOptions options(polarizers::Routing routing) {
    return {.insertion_point = "linear", .routing = routing};
}

}  // namespace

TEST_CASE("versions in use: a purified model's prediction, and evaluation") {
    for (const Case& c : cases()) {
        CAPTURE(c.product);
        const Computing computing(c);
        const SmallVictim victim(c.channels, computing.activations(), kDevice);
        const Tensor input = images(5).input(std::vector<std::int32_t>{0, 1, 2, 3, 4});
        // The maps have been folded before.
        const auto predicted = [&](const std::string& method, polarizers::Routing routing) {
            const auto trained = polarizer(method, c, computing);
            const polarizers::PurifiedModel model(victim, *trained, options(routing));
            return launches_in([&] { model.predict(input); });
        };
        const Counts expected = documented(Activity::prediction, c.arithmetic);
        CHECK(expected == Counts{{"group_samples", 1}, {c.product, 1}});
        for (const std::string method : {"r-cnpd", "e-cnpd", "a-cnpd"}) {
            CAPTURE(method);
            CHECK(text_of(predicted(method, polarizers::Routing::prediction)) == text_of(expected));
        }
        CHECK(text_of(predicted("npd", polarizers::Routing::prediction)) ==
              text_of({{c.product, 1}}));
        CHECK(text_of(predicted("r-cnpd", polarizers::Routing::ensemble)) ==
              text_of(documented(Activity::ensemble, c.arithmetic)));

        // One image to see what the model predicts, a batch of clean and one of poisoned images.
        const evaluation::TestSets sets{.clean = images(5),
                                        .poisoned = images(2),
                                        .original_labels = {1, 2},
                                        .poisoned_indices = {0, 1}};
        const auto trained = polarizer("r-cnpd", c, computing);
        const polarizers::PurifiedModel model(victim, *trained,
                                              options(polarizers::Routing::prediction));
        CHECK(text_of(launches_in([&] { evaluation::measure(sets, victim, model); })) ==
              text_of({{"group_samples", 3}, {c.product, 3}}));
    }
}

namespace {

// A step of the warm-up and a bi-level step with the default PGD steps.
struct Steps {
    Counts warmup, defense;
};
Steps steps_of(const std::string& method, const Case& c,
               polarizers::BatchNormMode batch_norm = polarizers::BatchNormMode::frozen) {
    const Computing computing(c);
    SmallVictim victim(c.channels, computing.activations(), kDevice);
    victim.freeze();
    const auto trained = polarizer(method, c, computing);
    const auto source = images(4);
    defenses::BilevelTask task(victim, *trained, source, nullptr,
                               {.insertion_point = "linear",
                                .warmup_epochs = 1,
                                .epochs = 3,
                                .batch_size = 4,
                                .batch_norm = batch_norm});
    Steps steps;
    steps.warmup = launches_in([&] { task.step(0, 0); });
    steps.defense = launches_in([&] { task.step(1, 0); });
    return steps;
}

}  // namespace

TEST_CASE("versions in use: training steps of r-CNPD launch what the documentation counts") {
    for (const Case& c : cases()) {
        CAPTURE(c.product);
        const Steps frozen = steps_of("r-cnpd", c);
        CHECK(text_of(frozen.warmup) == text_of(documented(Activity::warmup, c.arithmetic)));
        CHECK(text_of(frozen.defense) == text_of(documented(Activity::defense, c.arithmetic)));
        const Steps of_batch = steps_of("r-cnpd", c, polarizers::BatchNormMode::train);
        CHECK(text_of(of_batch.defense) ==
              text_of(documented(Activity::defense_of_batch, c.arithmetic)));
    }
}

// Each has its own maps; the products are the same.
TEST_CASE("versions in use: training steps of the other polarizers") {
    for (const Case& c : cases()) {
        CAPTURE(c.product);
        for (const std::string method : {"npd", "e-cnpd", "a-cnpd"}) {
            CAPTURE(method);
            const Counts launches = steps_of(method, c).defense;
            for (const auto& [name, count] : launches) {
                CAPTURE(name);
                if (name.starts_with("polarizer_v")) CHECK(name == c.product);
                if (name.starts_with("polarizer_wgrad")) CHECK(name == c.wgrad);
            }
            // Forward and back for each of three PGD steps, and forward twice.
            CHECK(launches.at(c.product) == 8);
            CHECK(launches.at(c.wgrad) == 6);
            CHECK(launches.contains("group_samples") == (method != "npd"));
            CHECK(launches.contains("routed_maps") == (method == "a-cnpd"));
        }
    }
}
#endif
