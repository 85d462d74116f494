// Times epochs of the r-CNPD defense: crop and flip, the inner maximisation through the frozen
// victim, one step of the polarizers for each batch. bench/compare.py compares it with PyTorch, for
// the same victim and images (bench/pytorch/make_victim.py writes both).
#include <CLI/CLI.hpp>

#include "bench/interactive.h"
#include "cnpd/defenses/polarizing/bilevel.h"
#include "cnpd/defenses/polarizing/polarizers/stacked.h"
#include "cnpd/evaluation/evaluation.h"
#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "engine/passive_waiting.h"
#include "engine/safetensors.h"
#include "models/classifier.h"

using namespace cnpd;

namespace {

// images uint8 [N,3,H,W] and labels int32 [N], as PyTorch stores them.
datasets::Images read_images(const std::string& path) {
    const auto file = engine::SafetensorsFile::read(path);
    const engine::Entry& entry = file.at("images");
    const auto values = engine::values<std::uint8_t>(entry);
    const engine::Shape& s = entry.shape;
    datasets::Images images{.n = s[0],
                            .h = s[2],
                            .w = s[3],
                            .c = s[1],
                            .pixels = std::vector<std::uint8_t>(values.size()),
                            .labels = engine::values<std::int32_t>(file.at("labels"))};
    const std::int64_t area = images.h * images.w;
    for (std::int64_t n = 0; n < images.n; ++n)
        for (std::int64_t c = 0; c < images.c; ++c)
            for (std::int64_t p = 0; p < area; ++p)
                images.pixels[(n * area + p) * images.c + c] =
                    values[(n * images.c + c) * area + p];
    return images;
}

}  // namespace

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    std::string weights, images_path;
    std::int64_t batch = 128;
    bool all_steps = false;
    bench::Mode mode{.device = {}, .warm_up = 1, .repeats = 5};
    CLI::App app("Times epochs of the r-CNPD defense.");
    app.add_option("--weights", weights, "The victim, a file written by make_victim.py")
        ->required();
    app.add_option("--images", images_path, "The images, a file written by make_victim.py")
        ->required();
    app.add_option("--batch", batch)->capture_default_str();
    mode.add_to(app);
    app.add_flag("--all-steps", all_steps, "Do not stop the inner loop early");
    CLI11_PARSE(app, argc, argv);

    const std::int64_t width = engine::SafetensorsFile::read(weights).at("conv1.weight").shape[0];
    engine::Generator generator(0);
    const auto victim =
        models::make_model({.width = width, .activations = mode.prepare()}, generator, mode.device);
    auto state = victim->state();
    engine::load_tensors(weights, state);
    victim->freeze();
    const std::string point = victim->insertion_point();
    const datasets::BatchSource images(read_images(images_path), {0.4914f, 0.4822f, 0.4465f},
                                       {0.247f, 0.243f, 0.261f}, mode.device);

    polarizers::RCnpd polarizer(victim->classes(), 8 * width, mode.device);
    const evaluation::CachedFeatures features = evaluation::cache_features(*victim, point, images);
    polarizers::FeatureStatisticsCollector collector(victim->classes(), 8 * width);
    for (std::size_t i = 0; i < features.cuts.size(); ++i)
        collector.add(features.cuts[i].z, engine::ops::argmax(features.victim_logits[i]));
    polarizer.calibrate(collector.finish());

    // The inner maximisation is NPD's, as in bench/pytorch/defense_epoch.py.
    defenses::BilevelTask task(
        *victim, polarizer, images, nullptr,
        {.insertion_point = point,
         .warmup_epochs = 0,
         .epochs = 1'000'000,
         .batch_size = batch,
         .adversary = {.steps = 2,
                       .pgd = {.gradient = ops::PgdGradient::sign, .step = 0.1f},
                       .through = training::PgdThrough::plain,
                       .stop_share = all_steps ? 2.0 : 0.6},
         .draws = {.crop_padding = 4, .flip = true}});
    std::int64_t epoch = 0;
    return bench::run(mode, [&] {
        engine::Tensor loss = engine::Tensor::zeros({}, engine::DType::float64, mode.device);
        for (std::int64_t b = 0; b < task.batches(); ++b)
            engine::ops::accumulate(task.step(epoch, b), loss);
        ++epoch;
        return fmt::format(", \"batches\": {}, \"pgd_gradients\": {}, \"loss\": {}", task.batches(),
                           task.pgd_gradients(),
                           loss.to_host<double>().front() / static_cast<double>(task.batches()));
    });
}
