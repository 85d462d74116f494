#include "bench/model/polarizer_steps.h"

#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "bench/model/machine_code.h"
#include "kernels/common/error.h"

namespace cnpd::bench {
namespace {

constexpr double kSamples = 128, kPositions = 16, kChannels = 512, kClasses = 10, kTerms = 3;
constexpr double kFeatures = kSamples * kPositions * kChannels;
constexpr double kMaps = kClasses * kChannels * kChannels, kVectors = kClasses * kChannels;
constexpr double kProduct = kFeatures * kChannels;  // multiply-adds
constexpr double kPixels = kSamples * 32 * 32 * 3;
// wgrad: parts of all rows for each of 4x4 pieces of da (sums_over_rows.h).
constexpr double kPartial = 2 * 16 * kChannels * kChannels;
constexpr int kPgdSteps = 3;

constexpr double kWarp = 32;
// Multiply-adds of a warp in one instruction of its tensor cores; of a warpgroup's quarter in
// wgmma m64n128k16.
constexpr double kOfHmmaBf16 = 16 * 8 * 16, kOfHmmaTf32 = 16 * 8 * 8;
constexpr double kOfWgmma = 64 * 128 * 16 / 4.0;

// The kernel of a product: its row in the table of machine code, and its arithmetic.
struct Kernel {
    const char *file, *name;
    double Work::*flops;
    double of_tensor_instruction;  // 0: multiply-adds of single threads
};

// The versions in use with one arithmetic. docs/kernels-polarizer.md says the same.
struct Versions {
    const char *product, *wgrad, *mixture, *batch_forward, *batch_wgrad;  // names of launches
    Kernel product_kernel, wgrad_kernel, mixture_kernel, batch_forward_kernel, batch_wgrad_kernel;
    double bytes;  // of an activation
};

Versions versions(Arithmetic arithmetic) {
    static const Versions kFp32 = {
        "polarizer_v3",
        "polarizer_wgrad_v4",
        "polarizer_mixture_fp32",
        "polarizer_batch_forward_fp32",
        "polarizer_batch_wgrad_fp32",
        {"versions/polarizer_v3.cu", "apply_maps<FloatTile, 4, Plain<float>, float>", &Work::fp32,
         0},
        {"wgrad_versions/wgrad_v3.cu", "sum_over_rows<FloatTile, 4, Plain<float>, float>",
         &Work::fp32, 0},
        {"polarizer/mixture.cu", "mix_maps<FloatTile, 4, float>", &Work::fp32, 0},
        {"polarizer/batch_statistics.cu", "convolve<FloatTile, 4, float>", &Work::fp32, 0},
        {"polarizer/batch_statistics.cu", "sum_over_rows<FloatTile, 4, GradientOfU<float>, float>",
         &Work::fp32, 0},
        4};
    static const Versions kTf32 = {
        "polarizer_v4_tf32",
        "polarizer_wgrad_v5_tf32",
        "polarizer_mixture_tf32",
        "polarizer_batch_forward_tf32",
        "polarizer_batch_wgrad_tf32",
        {"versions/polarizer_v4.cu", "apply_maps<TensorTile<Tf32, false>, 4, Plain<float>, float>",
         &Work::tf32_tensor, kOfHmmaTf32},
        {"wgrad_versions/wgrad_v5.cu",
         "sum_over_rows<TensorTile<Tf32, true>, 4, Plain<float>, float>", &Work::tf32_tensor,
         kOfHmmaTf32},
        {"polarizer/mixture.cu", "mix_maps<TensorTile<Tf32, false>, 4, float>", &Work::tf32_tensor,
         kOfHmmaTf32},
        {"polarizer/batch_statistics.cu", "convolve<TensorTile<Tf32, false>, 4, float>",
         &Work::tf32_tensor, kOfHmmaTf32},
        {"polarizer/batch_statistics.cu",
         "sum_over_rows<TensorTile<Tf32, true>, 4, GradientOfU<float>, float>", &Work::tf32_tensor,
         kOfHmmaTf32},
        4};
    static const Versions kBf16 = {
        "polarizer_v6",
        "polarizer_wgrad_v6",
        "polarizer_mixture_bf16",
        "polarizer_batch_forward_bf16",
        "polarizer_batch_wgrad_bf16",
        {"versions/polarizer_v6.cu", "apply_maps_staged<SwizzledTile, 3>", &Work::bf16_tensor,
         kOfHmmaBf16},
        {"wgrad_versions/wgrad_v6.cu", "copy_and_multiply<256, true>", &Work::bf16_tensor,
         kOfHmmaBf16},
        {"polarizer/mixture.cu", "mix_maps<TensorTile<Bf16, false>, 8, bfloat16>",
         &Work::bf16_tensor, kOfHmmaBf16},
        {"polarizer/batch_statistics.cu", "convolve<TensorTile<Bf16, false>, 8, bfloat16>",
         &Work::bf16_tensor, kOfHmmaBf16},
        {"polarizer/batch_statistics.cu",
         "sum_over_rows<TensorTile<Bf16, true>, 8, GradientOfU<bfloat16>, bfloat16>",
         &Work::bf16_tensor, kOfHmmaBf16},
        2};
    if (arithmetic == Arithmetic::fp32) return kFp32;
    if (arithmetic == Arithmetic::tf32) return kTf32;
    Versions of_bf16 = kBf16;
    if (arithmetic == Arithmetic::bf16_hopper) {
        of_bf16.product = "polarizer_v10";
        of_bf16.product_kernel = {"versions/polarizer_v10.cu", "persistent<Pair>",
                                  &Work::bf16_tensor, kOfWgmma};
    }
    return of_bf16;
}

// A product's multiply-adds: FLOP, and the instructions of its kernel's main loop.
Work product(const Kernel& kernel, double multiply_adds, Work other) {
    static const auto table = read_machine_code(CNPD_MACHINE_CODE);
    const auto found = table.find({kernel.file, kernel.name});
    if (found == table.end())
        throw Error(fmt::format("{} has no {} of {}", CNPD_MACHINE_CODE, kernel.name, kernel.file));
    const MachineCode& code = found->second;
    const double of_loop = kernel.of_tensor_instruction > 0
                               ? code.tensor * kernel.of_tensor_instruction
                               : code.loop_multiply_adds * kWarp;
    other.*kernel.flops = 2 * multiply_adds;
    other.instructions = multiply_adds * code.loop / of_loop;
    return other;
}

// The operations. Bytes are those of device memory if every operand is read once.
struct Operations {
    Versions use;

    double features() const { return use.bytes * kFeatures; }

    Part forward(int calls) const {
        return {
            use.product, calls,
            product(use.product_kernel, kProduct, {.bytes = 2 * features() + use.bytes * kMaps})};
    }
    Part wgrad(int calls) const {
        return {use.wgrad, calls,
                product(use.wgrad_kernel, kProduct,
                        {.bytes = 2 * features() + 4 * kMaps,
                         .l2_bytes = 2 * features() + 4 * kMaps + 8 * kPartial,
                         .launches = 3})};  // and the partial sums of a and b
    }
    Part mixture() const {
        return {use.mixture, 1,
                product(use.mixture_kernel, kTerms * kProduct,
                        {.bytes = 2 * features() + use.bytes * kMaps})};
    }
    static Part group(int calls) {
        return {"group_samples", calls, {.bytes = 12 * kSamples + 20 * kClasses}};
    }
    static Part top_classes() {
        return {"top_classes", 1, {.bytes = 4 * kSamples * (kClasses + 2 * kTerms)}};
    }
    // The map and its transpose.
    Part fold(int calls) const {
        return {"polarizer_fold", calls, {.bytes = (4 + 2 * use.bytes) * kMaps, .fp32 = kMaps}};
    }
    static Part fold_backward() {
        return {"polarizer_fold_backward", 1, {.bytes = 12 * kMaps, .fp32 = 3 * kMaps}};
    }
    static Part shift_backward() {
        return {"polarizer_shift_backward", 1, {.bytes = 16 * kVectors, .fp32 = 3 * kVectors}};
    }
    // The pixels, their gradient, the adversarial pixels twice, and the next input.
    Part pgd_step() const {
        return {
            "pgd_step", kPgdSteps, {.bytes = (12 + 2 * use.bytes) * kPixels, .fp32 = 15 * kPixels}};
    }
    // z is read and u written; the moments of the tiles, u, and out in two more kernels.
    std::vector<Part> batch_forward(int calls) const {
        return {{use.batch_forward, calls,
                 product(use.batch_forward_kernel, kProduct,
                         {.bytes = 2 * features() + use.bytes * kMaps})},
                {"polarizer_batch_forward",
                 calls,
                 {.bytes = 2 * features(), .fp32 = 2 * kFeatures, .launches = 2}}};
    }
    // Sums over dout and u; du is formed from both in wgrad's loader.
    std::vector<Part> batch_backward(int calls) const {
        return {{"polarizer_batch_backward",
                 calls,
                 {.bytes = 2 * features(), .fp32 = 4 * kFeatures, .launches = 2}},
                {use.batch_wgrad, calls,
                 product(use.batch_wgrad_kernel, kProduct,
                         {.bytes = 3 * features() + 4 * kMaps,
                          .l2_bytes = 3 * features() + 4 * kMaps + 8 * kPartial,
                          .launches = 2})}};
    }
};

void add(std::vector<Part>& parts, std::vector<Part> more) {
    for (Part& part : more) parts.push_back(std::move(part));
}

PolarizerStep step(Activity activity, Arithmetic arithmetic) {
    const Operations of{versions(arithmetic)};
    PolarizerStep step{activity, arithmetic, {}};
    std::vector<Part>& parts = step.parts;
    switch (activity) {
        case Activity::prediction:
            parts = {of.group(1), of.forward(1)};
            break;
        case Activity::ensemble:
            parts = {of.top_classes(), of.group(1), of.mixture()};
            break;
        case Activity::warmup:
            parts = {of.fold(1),  of.group(1),        of.forward(1),
                     of.wgrad(1), of.fold_backward(), of.shift_backward()};
            break;
        // The inner loop goes forward and back to the image; the outer step goes forward for clean
        // and for adversarial examples, and back to the maps. The samples are sorted by three
        // labels: predictions, targets of the inner loop, targets in the end.
        case Activity::defense:
            parts = {
                of.fold(1),  of.group(3),        of.pgd_step(),      of.forward(2 * kPgdSteps + 2),
                of.wgrad(2), of.fold_backward(), of.shift_backward()};
            break;
        case Activity::defense_of_batch:
            // The weights of each pass are folded without the batch norm.
            parts = {of.fold(3), of.group(3), of.pgd_step(), of.forward(2 * kPgdSteps)};
            add(parts, of.batch_forward(2));
            add(parts, of.batch_backward(2));
            break;
    }
    return step;
}

constexpr std::pair<Activity, const char*> kActivities[] = {
    {Activity::prediction, "prediction"},
    {Activity::ensemble, "prediction, ensemble of 3"},
    {Activity::warmup, "warm-up step"},
    {Activity::defense, "defense step"},
    {Activity::defense_of_batch, "defense step, batch's statistics"}};
constexpr std::pair<Arithmetic, const char*> kArithmetics[] = {
    {Arithmetic::fp32, "fp32"},
    {Arithmetic::tf32, "tf32"},
    {Arithmetic::bf16, "bf16, no Hopper kernels"},
    {Arithmetic::bf16_hopper, "bf16"}};

std::string row(const PolarizerStep& step, const char* activity, const char* arithmetic) {
    const Work sum = step.sum();
    const double flops = sum.fp32 + sum.tf32_tensor + sum.bf16_tensor;
    return fmt::format("| {} | {} | {} | {:.0f} | {:.1f} | {:.2f} | {} | {} |\n", activity,
                       arithmetic, sum.launches, sum.bytes / 1e6, flops / 1e9,
                       sum.instructions / 1e6, duration(step.seconds(modelled_gpus()[0])),
                       duration(step.seconds(modelled_gpus()[1])));
}

constexpr std::string_view kHead =
    "| | precision | launches | MB | GFLOP | million instructions | H100 | H200 |";

}  // namespace

Work PolarizerStep::sum() const {
    Work sum{.launches = 0};
    for (const Part& part : parts) {
        for (double Work::*number :
             {&Work::bytes, &Work::l2_bytes, &Work::l1_bytes, &Work::fp32, &Work::fp64,
              &Work::tf32_tensor, &Work::bf16_tensor, &Work::instructions})
            sum.*number += part.calls * part.work.*number;
        sum.launches += part.calls * part.work.launches;
    }
    return sum;
}

double PolarizerStep::seconds(const Gpu& gpu) const {
    double sum = 0;
    for (const Part& part : parts) sum += part.calls * predict(gpu, part.work).seconds;
    return sum;
}

std::vector<PolarizerStep> polarizer_steps() {
    std::vector<PolarizerStep> steps;
    for (const auto& [activity, of_activity] : kActivities)
        for (const auto& [arithmetic, of_arithmetic] : kArithmetics)
            steps.push_back(step(activity, arithmetic));
    return steps;
}

std::string with_steps(std::string_view page) {
    std::string table = fmt::format("{}\n|---|---|---:|---:|---:|---:|---:|---:|\n", kHead);
    for (const auto& [activity, of_activity] : kActivities)
        for (const auto& [arithmetic, of_arithmetic] : kArithmetics)
            table += row(step(activity, arithmetic), of_activity, of_arithmetic);
    const std::size_t begin = page.find(kHead);
    if (begin == std::string_view::npos) throw Error("the page has no table of steps");
    std::size_t end = begin;  // of the lines that begin with |
    while (end < page.size() && page[end] == '|') end = page.find('\n', end) + 1;
    return std::string(page.substr(0, begin)) + table + std::string(page.substr(end));
}

}  // namespace cnpd::bench
