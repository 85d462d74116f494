// Times steps of the inner maximisation on images of 32x32: sign of the gradient, projection on the
// L2 ball, clip, and the next forward pass's input. bench/compare.py compares it with PyTorch.

#include "bench/interactive.h"
#include "cnpd/ops/adversarial.h"
#include "engine/passive_waiting.h"
#include "engine/random.h"

using namespace cnpd;

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    std::int64_t batch = 8192, steps = 20;
    bench::Mode mode;
    CLI::App app("Times PGD steps on a batch of images.");
    app.add_option("--batch", batch)->capture_default_str();
    app.add_option("--steps", steps, "Steps of one measurement")->capture_default_str();
    mode.add_to(app);
    CLI11_PARSE(app, argc, argv);

    engine::Generator generator(0);
    const engine::Shape shape{batch, 32, 32, 3};
    const engine::Tensor images = engine::Tensor::full(shape, 0.5f, mode.device);
    const engine::Tensor gradient = engine::normal_tensor(generator, shape, 1, mode.device);
    engine::Tensor adversarial = images.clone();
    const ops::Normalisation normalisation{
        engine::Tensor::from(std::vector<float>{0.4914f, 0.4822f, 0.4465f}, {3}, mode.device),
        engine::Tensor::from(std::vector<float>{4.05f, 4.12f, 3.83f}, {3}, mode.device)};
    return bench::run(mode, [&] {
        for (std::int64_t step = 0; step < steps; ++step)
            ops::pgd_step({.gradient = ops::PgdGradient::sign, .step = 0.1f}, normalisation, images,
                          gradient, adversarial);
        return fmt::format(", \"steps\": {}", steps);
    });
}
