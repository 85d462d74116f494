// Kernels that do little with each byte, on the shapes of a ResNet-18 training step (base width 64
// and 16), as a share of what the memory gives (bench/device.h). Bytes are those that a contract
// reads and writes; lines that are fetched only to be overwritten do not count, nor for the triad.
// A kernel that writes less than a third of its bytes can therefore exceed 1 on a CPU.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bench/device.h"
#include "kernels/augmentation/augmentation.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/pgd/pgd.h"
#include "kernels/pooling/pooling.h"
#include "kernels/stamping/stamping.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::measure;
using bench::options;
using engine::Tensor;

float* data(Tensor& tensor) {
    return tensor.data<float>();
}

// Everything that batch norm works on, x [rows,C].
struct BatchNorm {
    BatchNorm(std::int64_t r, std::int64_t c_)
        : rows(r),
          channels(c_),
          bytes(rows * channels * 4),
          x(bench::values(rows * channels)),
          dy(x.clone()),
          add(x.clone()),
          y(x.clone()),
          a(bench::values(channels)),
          b(a.clone()),
          c(a.clone()),
          sums(a.clone()),
          sums2(a.clone()) {}
    std::int64_t rows, channels, bytes;
    Tensor x, dy, add, y, a, b, c, sums, sums2;
};

using BatchNormCase = std::function<void(benchmark::State&, BatchNorm&)>;

void statistics(benchmark::State& state, BatchNorm& t) {
    measure(state, t.bytes, [&] {
        CNPD_RUN(options().device, batch_norm_statistics, data(t.x), t.rows, t.channels,
                 data(t.sums), data(t.sums2));
    });
}

void apply_relu(benchmark::State& state, BatchNorm& t) {
    measure(state, 2 * t.bytes, [&] {
        CNPD_RUN(options().device, batch_norm_apply, data(t.x), t.rows, t.channels, data(t.a),
                 data(t.b), true, data(t.y));
    });
}

void backward_reduce_relu(benchmark::State& state, BatchNorm& t) {
    measure(state, 2 * t.bytes, [&] {
        CNPD_RUN(options().device, batch_norm_backward_reduce, data(t.dy), data(t.x), t.rows,
                 t.channels, data(t.a), data(t.b), data(t.c), true, data(t.sums), data(t.sums2));
    });
}

void backward_input_relu(benchmark::State& state, BatchNorm& t) {
    const float* const no_shortcut = nullptr;
    measure(state, 3 * t.bytes, [&] {
        CNPD_RUN(options().device, batch_norm_backward_input, data(t.dy), data(t.x), t.rows,
                 t.channels, data(t.a), data(t.b), true, data(t.a), data(t.b), data(t.c),
                 no_shortcut, data(t.y));
    });
}

void backward_input_relu_add(benchmark::State& state, BatchNorm& t) {
    measure(state, 4 * t.bytes, [&] {
        CNPD_RUN(options().device, batch_norm_backward_input, data(t.dy), data(t.x), t.rows,
                 t.channels, data(t.a), data(t.b), true, data(t.a), data(t.b), data(t.c),
                 data(t.add), data(t.y));
    });
}

void relu(benchmark::State& state, BatchNorm& t) {
    measure(state, 2 * t.bytes, [&] {
        CNPD_RUN(options().device, relu_forward, data(t.x), t.rows * t.channels, data(t.y));
    });
}

void add(benchmark::State& state, BatchNorm& t) {
    measure(state, 3 * t.bytes, [&] {
        CNPD_RUN(options().device, add, data(t.x), data(t.dy), t.rows * t.channels, data(t.y));
    });
}

// The four stages of ResNet-18 at base width 64, then at 16.
void add_activations(const std::string& name, const BatchNormCase& run) {
    for (const std::int64_t width : {64, 16})
        for (const std::int64_t stage : {0, 1, 2, 3}) {
            const std::int64_t rows = (options().batch * 1024) >> (2 * stage);
            const std::int64_t channels = width << stage;
            bench::add(fmt::format("{}/rows:{}/C:{}", name, rows, channels),
                       [=](benchmark::State& state) {
                           BatchNorm buffers(rows, channels);
                           run(state, buffers);
                       });
        }
}

struct Pooling {
    Pooling(std::int64_t size, std::int64_t channels, std::int64_t window)
        : shape{.n = options().batch,
                .h = size,
                .w = size,
                .c = channels,
                .window_h = window,
                .window_w = window,
                .stride = window},
          inputs(shape.n * shape.h * shape.w * shape.c),
          outputs(shape.n * shape.out_h() * shape.out_w() * shape.c),
          x(bench::values(inputs)),
          y(bench::values(outputs)),
          argmax(Tensor::empty({outputs}, engine::DType::int32, options().device)) {
        max_forward();
    }
    void max_forward() {
        CNPD_RUN(options().device, max_pool_forward, shape, data(x), data(y),
                 argmax.data<std::int32_t>());
    }
    PoolingShape shape;
    std::int64_t inputs, outputs;
    Tensor x, y, argmax;
};

using PoolingCase = std::function<void(benchmark::State&, Pooling&)>;

void average_pool(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + t.outputs), [&] {
        CNPD_RUN(options().device, average_pool_forward, t.shape, data(t.x), data(t.y));
    });
}

void average_pool_gradient(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + t.outputs), [&] {
        CNPD_RUN(options().device, average_pool_backward, t.shape, data(t.y), data(t.x));
    });
}

void max_pool(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + 2 * t.outputs), [&] { t.max_forward(); });
}

void max_pool_gradient(benchmark::State& state, Pooling& t) {
    measure(state, 4 * (t.inputs + 2 * t.outputs), [&] {
        CNPD_RUN(options().device, max_pool_backward, t.shape, data(t.y),
                 t.argmax.data<std::int32_t>(), data(t.x));
    });
}

void add_pooling(const std::string& name, std::int64_t size, std::int64_t window,
                 std::int64_t channels, const PoolingCase& run) {
    bench::add(fmt::format("{}/HW:{}/C:{}/window:{}", name, size, channels, window),
               [=](benchmark::State& state) {
                   Pooling buffers(size, channels, window);
                   run(state, buffers);
               });
}

// Parameters of a network, one behind the other and each aligned as if it were alone.
struct Parameters {
    explicit Parameters(std::vector<std::int64_t> c) : counts(std::move(c)) {
        constexpr std::int64_t kAlignment = 64;
        for (const std::int64_t count : counts) {
            begins.push_back(end);
            numbers += count;
            end += (count + kAlignment - 1) / kAlignment * kAlignment;
        }
    }
    std::int64_t size() const { return static_cast<std::int64_t>(counts.size()); }
    std::vector<std::int64_t> counts, begins;
    std::int64_t numbers = 0, end = 0;
};

// Filters, the two vectors of each batch norm, and the linear layer.
Parameters resnet18(std::int64_t width) {
    std::vector<std::int64_t> counts{3 * 9 * width};
    std::int64_t in = width;
    for (std::int64_t out = width; out <= 8 * width; out *= 2)
        for (const int block : {0, 1}) {
            counts.insert(counts.end(), {in, in, in * out * 9, out, out, out * out * 9});
            if (block == 0 && in != out) counts.push_back(in * out);
            in = out;
        }
    counts.insert(counts.end(), {10 * in, 10});
    return Parameters(std::move(counts));
}

void add_sgd(const std::string& name, const Parameters& parameters) {
    bench::add("sgd/" + name, [=](benchmark::State& state) {
        Tensor gradient = bench::values(parameters.end), parameter = gradient.clone(),
               velocity = gradient.clone();
        const Tensor rate = Tensor::full({1}, 1e-6, options().device);
        std::vector<SgdBuffer> buffers;
        for (std::size_t i = 0; i < parameters.counts.size(); ++i)
            buffers.push_back({.gradient = data(gradient) + parameters.begins[i],
                               .parameter = data(parameter) + parameters.begins[i],
                               .velocity = data(velocity) + parameters.begins[i],
                               .count = parameters.counts[i],
                               .learning_rate = rate.data<float>(),
                               .weight_decay = 5e-4f});
        measure(state, 20 * parameters.numbers, [&] {
            CNPD_RUN(options().device, sgd_step, {.momentum = 0.9f}, buffers.data(),
                     parameters.size());
        });
    });
}

void add_adam(const std::string& name, const Parameters& parameters) {
    bench::add("adam/" + name, [=](benchmark::State& state) {
        Tensor gradient = bench::values(parameters.end), parameter = gradient.clone();
        Tensor m = Tensor::full({parameters.end}, 0, options().device), v = m.clone();
        const Tensor rate = Tensor::full({1}, 1e-6, options().device);
        Tensor updates = Tensor::zeros({parameters.size()}, engine::DType::int64, options().device);
        std::vector<AdamBuffer> buffers;
        for (std::size_t i = 0; i < parameters.counts.size(); ++i)
            buffers.push_back({.gradient = data(gradient) + parameters.begins[i],
                               .parameter = data(parameter) + parameters.begins[i],
                               .first_moment = data(m) + parameters.begins[i],
                               .second_moment = data(v) + parameters.begins[i],
                               .count = parameters.counts[i],
                               .learning_rate = rate.data<float>(),
                               .updates = updates.data<std::int64_t>() + i,
                               .weight_decay = 5e-4f});
        measure(state, 28 * parameters.numbers, [&] {
            CNPD_RUN(options().device, adam_step, {}, buffers.data(), parameters.size());
        });
    });
}

// The largest filter of each width alone, then all that a step updates: several launches of as many
// buffers as fit a kernel's arguments.
void add_optimizers() {
    for (const std::int64_t width : {64, 16}) {
        const std::int64_t filter = 8 * width * 8 * width * 9;
        for (const auto& [name, parameters] :
             {std::pair{fmt::format("count:{}", filter), Parameters({filter})},
              std::pair{fmt::format("resnet18/width:{}", width), resnet18(width)}}) {
            add_sgd(name, parameters);
            add_adam(name, parameters);
        }
    }
}

// Images of 32x32x3, as many as make a GPU's copy long: 8192 at batch 512.
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

// A trigger over as many images.
void add_stamping() {
    const std::int64_t images = kBatches * options().batch, values = kPixels * kColours;
    const StampShape shape{.n = images, .values = values};
    bench::add(fmt::format("stamp_bytes/images:{}", images), [=](benchmark::State& state) {
        Tensor pixels = Tensor::zeros({images * values}, engine::DType::uint8, options().device);
        Tensor out = pixels.clone();
        // 0: no light left. What the levels are does not change the time.
        const Tensor levels = Tensor::zeros({256}, engine::DType::float64, options().device);
        const Tensor added = Tensor::zeros({values}, engine::DType::float64, options().device);
        measure(state, 2 * images * values, [&] {
            CNPD_RUN(options().device, stamp_bytes, shape, pixels.data<std::uint8_t>(),
                     levels.data<double>(), added.data<double>(), out.data<std::uint8_t>());
        });
    });
    bench::add(fmt::format("stamp_pixels/images:{}", images), [=](benchmark::State& state) {
        Tensor pixels = bench::values(images * values), out = pixels.clone();
        Tensor added = bench::values(values);
        measure(state, 8 * images * values, [&] {
            CNPD_RUN(options().device, stamp_pixels, shape, data(pixels), 0.8f, data(added),
                     data(out));
        });
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_activations("statistics", statistics);
    add_activations("apply_relu", apply_relu);
    add_activations("backward_reduce_relu", backward_reduce_relu);
    add_activations("backward_input_relu", backward_input_relu);
    add_activations("backward_input_relu_add", backward_input_relu_add);
    add_activations("relu", relu);
    add_activations("add", add);
    for (const std::int64_t channels : {512, 128}) {  // at the end of a ResNet-18
        add_pooling("average_pool", 4, 4, channels, average_pool);
        add_pooling("average_pool_gradient", 4, 4, channels, average_pool_gradient);
    }
    for (const std::int64_t channels : {64, 16}) {  // VGG's first windows
        add_pooling("average_pool", 32, 2, channels, average_pool);
        add_pooling("average_pool_gradient", 32, 2, channels, average_pool_gradient);
        add_pooling("max_pool", 32, 2, channels, max_pool);
        add_pooling("max_pool_gradient", 32, 2, channels, max_pool_gradient);
    }
    add_optimizers();
    add_pgd("sign_l2", PgdGradient::sign, PgdNorm::l2);
    add_pgd("sign_linf", PgdGradient::sign, PgdNorm::linf);
    add_pgd("normalised_l2", PgdGradient::normalised, PgdNorm::l2);
    add_pgd("raw_l1", PgdGradient::raw, PgdNorm::l1);
    add_augmentation();
    add_stamping();
    benchmark::RunSpecifiedBenchmarks();
}
