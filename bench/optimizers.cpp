// Updates of parameters, relative to the memory bandwidth (bench/device.h): the optimizers on the
// largest filter and on all parameters of a ResNet-18, and the clipping of each class's gradient.
#include <string>
#include <utility>
#include <vector>

#include "bench/device.h"
#include "kernels/optimizer/optimizer.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::data;
using bench::measure;
using bench::options;
using engine::Tensor;

// Parameters of a network in one buffer, each aligned like a separate tensor.
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

// The largest filter of each width alone, then all parameters of a step: several launches with as
// many buffers as fit a kernel's arguments.
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

// Clips the gradients of `classes` maps, gammas and betas to a common norm for each class.
void add_clipping(std::int64_t classes) {
    bench::add(fmt::format("clip_rows/classes:{}/C:{}", classes, bench::channels()),
               [=](benchmark::State& state) {
                   Tensor maps = bench::values(classes * bench::channels() * bench::channels());
                   Tensor gamma = bench::values(classes * bench::channels()), beta = gamma.clone();
                   Tensor factors = bench::values(classes);
                   const std::vector<RowsBuffer> buffers{
                       {data(maps), bench::channels() * bench::channels()},
                       {data(gamma), bench::channels()},
                       {data(beta), bench::channels()}};
                   const RowClipping clipping{.rows = classes, .factor = 1, .norm = 1};
                   const std::int64_t numbers = maps.elements() + 2 * gamma.elements();
                   measure(state, 8 * numbers, [&] {
                       CNPD_RUN(options().device, clip_rows, clipping, buffers.data(),
                                static_cast<std::int64_t>(buffers.size()), data(factors));
                   });
               });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_optimizers();
    for (const std::int64_t classes : bench::numbers_of_classes()) add_clipping(classes);
    benchmark::RunSpecifiedBenchmarks();
}
