// Kernels with few operations per element of an activation, on the shapes of a ResNet-18 training
// step (base width 64 and 16; bfloat16 at 64), relative to the memory bandwidth (bench/device.h).
// Bytes are those that a contract reads and writes. Reads of cache lines that are then overwritten
// are not counted, neither here nor in the triad, so a kernel that writes less than a third of its
// bytes can exceed 1 on a CPU.
#include <functional>
#include <string>

#include "bench/device.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/batch_norm/coefficients.h"
#include "kernels/concatenation/concatenation.h"
#include "kernels/dropout/dropout.h"
#include "kernels/elementwise/elementwise.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::data;
using bench::measure;
using bench::options;
using engine::DType;
using engine::Tensor;

// Operands of batch norm, x [rows,C].
struct BatchNorm {
    BatchNorm(std::int64_t r, std::int64_t c_, DType dtype = DType::float32)
        : rows(r),
          channels(c_),
          x(bench::values(rows * channels, dtype)),
          dy(x.clone()),
          add(x.clone()),
          y(x.clone()),
          a(bench::values(channels)),
          b(a.clone()),
          c(a.clone()),
          sums(a.clone()),
          sums2(a.clone()) {}
    std::int64_t elements() const { return rows * channels; }
    std::int64_t bytes() const { return static_cast<std::int64_t>(x.bytes()); }
    std::int64_t rows, channels;
    Tensor x, dy, add, y, a, b, c, sums, sums2;
};

using BatchNormCase = std::function<void(benchmark::State&, BatchNorm&)>;

void statistics(benchmark::State& state, BatchNorm& t) {
    measure(state, t.bytes(), [&] {
        CNPD_RUN_AS(t.x, batch_norm_statistics, t.x.data<T>(), t.rows, t.channels, data(t.sums),
                    data(t.sums2));
    });
}

void apply_relu(benchmark::State& state, BatchNorm& t) {
    measure(state, 2 * t.bytes(), [&] {
        CNPD_RUN_AS(t.x, batch_norm_apply, t.x.data<T>(), t.rows, t.channels, data(t.a), data(t.b),
                    true, t.y.data<T>());
    });
}

void backward_reduce_relu(benchmark::State& state, BatchNorm& t) {
    measure(state, 2 * t.bytes(), [&] {
        CNPD_RUN_AS(t.x, batch_norm_backward_reduce, t.dy.data<T>(), t.x.data<T>(), t.rows,
                    t.channels, data(t.a), data(t.b), data(t.c), true, data(t.sums), data(t.sums2));
    });
}

void backward_input(benchmark::State& state, BatchNorm& t, bool shortcut) {
    measure(state, (shortcut ? 4 : 3) * t.bytes(), [&] {
        CNPD_RUN_AS(t.x, batch_norm_backward_input, t.dy.data<T>(), t.x.data<T>(), t.rows,
                    t.channels, data(t.a), data(t.b), true, data(t.a), data(t.b), data(t.c),
                    shortcut ? t.add.data<T>() : nullptr, t.y.data<T>());
    });
}

void relu(benchmark::State& state, BatchNorm& t) {
    measure(state, 2 * t.bytes(),
            [&] { CNPD_RUN_AS(t.x, relu_forward, t.x.data<T>(), t.elements(), t.y.data<T>()); });
}

void relu_gradient(benchmark::State& state, BatchNorm& t) {
    measure(state, 3 * t.bytes(), [&] {
        CNPD_RUN_AS(t.x, relu_backward, t.dy.data<T>(), t.x.data<T>(), t.elements(), t.y.data<T>());
    });
}

void add(benchmark::State& state, BatchNorm& t) {
    measure(state, 3 * t.bytes(), [&] {
        CNPD_RUN_AS(t.x, add, t.x.data<T>(), t.dy.data<T>(), t.elements(), t.y.data<T>());
    });
}

void sums_of_rows(benchmark::State& state, BatchNorm& t) {
    measure(state, t.bytes(),
            [&] { CNPD_RUN_AS(t.x, sum_rows, t.x.data<T>(), t.rows, t.channels, data(t.sums)); });
}

// The four stages of ResNet-18 at base width 64, then at 16.
void add_activations(const std::string& name, const BatchNormCase& run) {
    for (const std::int64_t width : {64, 16})
        for (const std::int64_t stage : {0, 1, 2, 3})
            for (const DType dtype : bench::activation_types()) {
                if (dtype == DType::bfloat16 && width < 64) continue;
                const std::int64_t rows = (options().batch * 1024) >> (2 * stage);
                const std::int64_t channels = width << stage;
                bench::add(
                    fmt::format("{}/rows:{}/C:{}{}", name, rows, channels, bench::suffix_of(dtype)),
                    [=](benchmark::State& state) {
                        BatchNorm buffers(rows, channels, dtype);
                        run(state, buffers);
                    });
            }
}

// The per-channel operations between the passes of the widest batch norm.
void add_coefficients() {
    static constexpr std::int64_t kChannels = 512, kRows = 1024;
    const auto add = [](const char* name, std::int64_t vectors, auto run) {
        bench::add(fmt::format("{}/C:{}", name, kChannels), [=](benchmark::State& state) {
            BatchNorm t(1, kChannels);
            Tensor ones = Tensor::full({kChannels}, 1, options().device);
            measure(state, vectors * 4 * kChannels, [&] { run(t, data(ones)); });
        });
    };
    add("coefficients", 7, [](BatchNorm& t, float* variance) {
        CNPD_RUN(options().device, batch_norm_coefficients, kChannels, data(t.a), variance,
                 data(t.b), data(t.c), 1e-5f, data(t.sums), data(t.sums2), data(t.y));
    });
    add("inverse_std", 2, [](BatchNorm& t, float* variance) {
        CNPD_RUN(options().device, batch_norm_inverse_std, kChannels, variance, 1e-5f, data(t.a));
    });
    add("running_statistics", 6, [](BatchNorm& t, float* variance) {
        CNPD_RUN(options().device, batch_norm_update_running, kChannels, kRows, data(t.a), variance,
                 0.1f, data(t.sums), data(t.sums2), nullptr);
    });
    add("backward_coefficients", 8, [](BatchNorm& t, float* inv_std) {
        CNPD_RUN(options().device, batch_norm_backward_coefficients, kChannels, kRows, data(t.a),
                 inv_std, data(t.b), data(t.c), data(t.x), data(t.sums), data(t.sums2));
    });
}

// One long range with as many elements as an activation of the first stage.
struct Range {
    Range()
        : count(options().batch * 1024 * 64),
          x(bench::values(count)),
          y(x.clone()),
          z(x.clone()),
          rounded(bench::values(count, DType::bfloat16)),
          sums(Tensor::zeros({count}, DType::float64, options().device)),
          draw(Tensor::zeros({2}, DType::int64, options().device)) {}
    std::int64_t count;
    Tensor x, y, z, rounded, sums, draw;
};

void add_range(const std::string& name, std::int64_t bytes_of_element,
               const std::function<void(Range&)>& run) {
    bench::add(name, [=](benchmark::State& state) {
        Range range;
        measure(state, bytes_of_element * range.count, [&] { run(range); });
    });
}

void add_elementwise() {
    add_range("fill", 4, [](Range& r) { CNPD_RUN(options().device, fill, data(r.y), r.count, 1); });
    add_range("scale", 8, [](Range& r) {
        CNPD_RUN(options().device, scale, data(r.x), r.count, 0.5f, data(r.y));
    });
    add_range("scale_by", 8, [](Range& r) {
        CNPD_RUN(options().device, scale_by, data(r.x), r.count, data(r.z), data(r.y));
    });
    add_range("multiply", 12, [](Range& r) {
        CNPD_RUN(options().device, multiply, data(r.x), data(r.y), r.count, data(r.z));
    });
    add_range("add_row", 8, [](Range& r) {
        constexpr std::int64_t kColumns = 64;
        CNPD_RUN(options().device, add_row, data(r.x), data(r.z), r.count / kColumns, kColumns,
                 data(r.y));
    });
    add_range("sum_of_squares", 4, [](Range& r) {
        CNPD_RUN(options().device, sum_of_squares, data(r.x), r.count, r.sums.data<double>());
    });
    add_range("accumulate", 20, [](Range& r) {
        CNPD_RUN(options().device, accumulate, data(r.x), r.count, r.sums.data<double>());
    });
    add_range("cast_to_bf16", 6, [](Range& r) {
        CNPD_RUN(options().device, cast, data(r.x), r.count, r.rounded.data<bfloat16>());
    });
    add_range("cast_from_bf16", 6, [](Range& r) {
        CNPD_RUN(options().device, cast, r.rounded.data<bfloat16>(), r.count, data(r.x));
    });
    // The same kernel computes dx from dy.
    add_range("dropout", 8, [](Range& r) {
        const auto* draw = reinterpret_cast<const DropoutDraw*>(r.draw.data<std::int64_t>());
        CNPD_RUN(options().device, dropout, 0.5f, data(r.x), r.count, draw, data(r.y));
    });
}

// 512 channels concatenated with as many and with few.
struct Columns {
    explicit Columns(std::int64_t m)
        : rows(bench::samples() * bench::kPositions),
          more(m),
          a(bench::values(rows * kFirst)),
          b(bench::values(rows * more)),
          both(bench::values(rows * (kFirst + more))) {}
    static constexpr std::int64_t kFirst = 512;
    std::int64_t rows, more;
    Tensor a, b, both;
};

void add_concatenation() {
    const auto add = [](const char* pass, auto run) {
        for (const std::int64_t more : {512, 64})
            bench::add(fmt::format("concatenate_{}/columns:{}+{}", pass, Columns::kFirst, more),
                       [=](benchmark::State& state) {
                           Columns columns(more);
                           measure(state, 8 * columns.both.elements(), [&] { run(columns); });
                       });
    };
    add("forward", [](Columns& t) {
        CNPD_RUN(options().device, concatenate_forward, data(t.a), Columns::kFirst, data(t.b),
                 t.more, t.rows, data(t.both));
    });
    add("backward", [](Columns& t) {
        CNPD_RUN(options().device, concatenate_backward, data(t.both), Columns::kFirst, t.more,
                 t.rows, data(t.a), data(t.b));
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_activations("statistics", statistics);
    add_activations("apply_relu", apply_relu);
    add_activations("backward_reduce_relu", backward_reduce_relu);
    add_activations("backward_input_relu",
                    [](auto& state, BatchNorm& t) { backward_input(state, t, false); });
    add_activations("backward_input_relu_add",
                    [](auto& state, BatchNorm& t) { backward_input(state, t, true); });
    add_activations("relu", relu);
    add_activations("relu_gradient", relu_gradient);
    add_activations("add", add);
    add_activations("sum_rows", sums_of_rows);
    add_coefficients();
    add_elementwise();
    add_concatenation();
    benchmark::RunSpecifiedBenchmarks();
}
