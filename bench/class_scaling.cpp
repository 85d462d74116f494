// The cost of a defense by number of classes: parameters, seconds per step of the bi-level problem,
// and peak memory. Each process measures one method and one number of classes, because peak memory
// is measured per process:
//
//     for classes in 10 50 100 200 1000; do for method in r-cnpd a-cnpd; do
//         bench_class_scaling --classes $classes --method $method
//     done; done
//
// Prints one line of CSV. Weights and images are random: the cost does not depend on them.

#include "bench/interactive.h"
#include "cnpd/defenses/polarizing/bilevel.h"
#include "cnpd/defenses/polarizing/polarizing.h"
#include "engine/passive_waiting.h"
#include "engine/tensor.h"
#include "models/classifier.h"

using namespace cnpd;

namespace {

datasets::Images drawn_images(std::int64_t count, std::int64_t size, std::int64_t classes) {
    datasets::Images images{.n = count, .h = size, .w = size, .c = 3, .pixels = {}, .labels = {}};
    std::uint32_t state = 1;
    for (std::int64_t i = 0; i < count * size * size * 3; ++i) {
        state = state * 1664525 + 1013904223;
        images.pixels.push_back(static_cast<std::uint8_t>(state >> 24));
    }
    for (std::int64_t i = 0; i < count; ++i)
        images.labels.push_back(static_cast<std::int32_t>(i % classes));
    return images;
}

}  // namespace

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    models::ModelOptions options{.width = 16};
    defenses::PolarizerKind kind;
    std::string experts;
    std::int64_t batch = 128, size = 64;
    bool header = false;
    bench::Mode mode{.device = {}, .warm_up = 2, .repeats = 8};
    CLI::App app("Times steps of a defense for a given number of classes.");
    app.add_option("--method", kind.method)->capture_default_str();
    app.add_option("--classes", options.classes)->capture_default_str();
    app.add_option("--experts", experts, "a-cnpd (0: its default)");
    app.add_option("--width", options.width)->capture_default_str();
    app.add_option("--size", size, "Pixels per side")->capture_default_str();
    app.add_option("--batch", batch)->capture_default_str();
    app.add_flag("--header", header, "Print the names of the columns first");
    mode.add_to(app);
    CLI11_PARSE(app, argc, argv);
    if (!experts.empty()) kind.options.push_back({"experts", experts});

    options.activations = mode.prepare();
    engine::Generator generator(0);
    const auto victim = models::make_model(options, generator, mode.device);
    victim->freeze();
    const datasets::BatchSource images(
        drawn_images(batch * (mode.warm_up + mode.repeats), size, options.classes),
        {0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}, mode.device);
    const std::int32_t first[] = {0};
    const std::int64_t channels =
        victim->prefix(images.input(first), victim->insertion_point()).z.shape()[3];
    const auto polarizer = defenses::untrained_polarizer(
        kind, {.classes = options.classes, .channels = channels, .device = mode.device}, 0);
    defenses::BilevelTask task(
        *victim, *polarizer, images, nullptr,
        {.insertion_point = victim->insertion_point(),
         .warmup_epochs = 0,
         .epochs = 1,
         .batch_size = batch,
         .adversary = {.stop_share = 2}});  // every step runs the whole inner loop
    std::vector<double> seconds;
    std::string fields;
    for (std::int64_t i = 0; i < task.batches(); ++i) {
        const double taken = bench::timed(
            mode,
            [&] {
                task.step(0, i);
                return "";
            },
            fields);
        if (i >= mode.warm_up) seconds.push_back(taken);
    }
    std::sort(seconds.begin(), seconds.end());
    if (header) std::cout << "method,classes,channels,parameters,seconds_per_step,peak_rss_bytes\n";
    std::cout << fmt::format("{},{},{},{},{:.4f},{}\n", kind.method, options.classes, channels,
                             polarizer->parameter_count(), seconds[seconds.size() / 2],
                             engine::peak_resident_bytes());
}
