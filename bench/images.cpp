// Kernels on pixels: the PGD step, augmentation and stamping, relative to the memory bandwidth
// (bench/device.h).
#include <string>

#include "bench/device.h"
#include "kernels/augmentation/augmentation.h"
#include "kernels/pgd/pgd.h"
#include "kernels/stamping/stamping.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::data;
using bench::measure;
using bench::options;
using engine::Tensor;

// Images of 32x32x3, enough for a copy on a GPU to take long: 8192 at batch 512.
constexpr std::int64_t kPixels = 32 * 32, kColours = 3, kBatches = 16;

void add_pgd(const char* name, PgdGradient gradient, PgdNorm norm) {
    bench::add(fmt::format("pgd_step/{}/images:{}", name, kBatches * options().batch),
               [=](benchmark::State& state) {
                   const std::int64_t images = kBatches * options().batch;
                   const std::int64_t count = images * kPixels * kColours;
                   Tensor x = Tensor::full({count}, 0.5f, options().device);
                   Tensor adversarial = x.clone(), input = x.clone();
                   Tensor gradients = bench::values(count);
                   Tensor mean = Tensor::full({kColours}, 0.5f, options().device);
                   const PgdSettings settings = {.n = images,
                                                 .pixels = kPixels,
                                                 .channels = kColours,
                                                 .gradient = gradient,
                                                 .norm = norm,
                                                 .step = 0.1f,
                                                 .radius = 3,
                                                 .mean = data(mean),
                                                 .inverse_std = data(mean)};
                   measure(state, 20 * count, [&] {
                       CNPD_RUN(options().device, pgd_step, settings, data(x), data(gradients),
                                data(adversarial), data(input));
                   });
               });
}

void add_augmentation() {
    bench::add(fmt::format("augment/images:{}", kBatches * options().batch),
               [](benchmark::State& state) {
                   const std::int64_t images = kBatches * options().batch;
                   const std::int64_t count = images * kPixels * kColours;
                   Tensor pixels = Tensor::zeros({count}, engine::DType::uint8, options().device);
                   Tensor indices = Tensor::zeros({images}, engine::DType::int32, options().device);
                   Tensor batch = Tensor::full({count}, 0, options().device);
                   const Augmentation settings = {
                       .h = 32, .w = 32, .c = kColours, .crop_padding = 4, .flip = true, .seed = 1};
                   measure(state, 5 * count, [&] {
                       CNPD_RUN(options().device, augment, settings, pixels.data<std::uint8_t>(),
                                indices.data<std::int32_t>(), images, data(batch));
                   });
               });
}

// A trigger on as many images.
void add_stamping() {
    const std::int64_t images = kBatches * options().batch, values = kPixels * kColours;
    const StampShape shape{.n = images, .values = values};
    bench::add(fmt::format("stamp_bytes/images:{}", images), [=](benchmark::State& state) {
        Tensor pixels = Tensor::zeros({images * values}, engine::DType::uint8, options().device);
        Tensor out = pixels.clone();
        // All levels are 0. Their values do not affect the time.
        const Tensor levels = Tensor::zeros({256}, engine::DType::float64, options().device);
        const Tensor added = Tensor::zeros({values}, engine::DType::float64, options().device);
        measure(state, 2 * images * values, [&] {
            CNPD_RUN(options().device, stamp_bytes, shape, pixels.data<std::uint8_t>(),
                     levels.data<double>(), added.data<double>(), out.data<std::uint8_t>());
        });
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_pgd("sign_l2", PgdGradient::sign, PgdNorm::l2);
    add_pgd("sign_linf", PgdGradient::sign, PgdNorm::linf);
    add_pgd("normalised_l2", PgdGradient::normalised, PgdNorm::l2);
    add_pgd("raw_l1", PgdGradient::raw, PgdNorm::l1);
    add_augmentation();
    add_stamping();
    benchmark::RunSpecifiedBenchmarks();
}
