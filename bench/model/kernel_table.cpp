#include "bench/model/kernel_table.h"

#include <set>
#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::bench {
namespace {

// An activation of the first stage of a ResNet of width 64, batch 512: 32x32x64.
constexpr double kRows = 512 * 32 * 32, kWidth = 64, kElements = kRows * kWidth;
constexpr std::string_view kActivation = "512 x 32x32x64";
constexpr double kLogits = 512 * 10;
constexpr std::string_view kLogitsSize = "512 x 10";
constexpr double kImages = 8192.0 * 32 * 32 * 3;
constexpr std::string_view kImagesSize = "8192 x 32x32x3";
constexpr double kParameters = 11.17e6;  // of a ResNet-18
constexpr std::string_view kParametersSize = "11.2 M";

// A polarizer at the insertion point: features [4096,4x4,512], a map for each of 10 classes.
constexpr double kFeatures = 4096.0 * 16 * 512, kMap = 512.0 * 512, kClasses = 10;
constexpr double kProduct = 2 * kFeatures * 512;
constexpr std::string_view kFeaturesSize = "4096 x 4x4x512, 10 classes";
constexpr std::string_view kMapsSize = "10 x 512x512";

// R-CNPD's mixtures: 200 classes of 10 experts, maps of 512x512.
constexpr double kMixed = 200, kExperts = 10;
constexpr std::string_view kMixedSize = "200 of 10 x 512x512";

constexpr KernelRow kTable[] = {
    {"attack_loss",
     "gradients and counts for one or two models, early stop",
     kLogitsSize,
     {.bytes = 8 * kLogits, .fp32 = 8 * kLogits}},
    {"attack_loss",
     "start, reached, strongest other class",
     kLogitsSize,
     {.bytes = 4 * kLogits + 16 * 512, .fp32 = kLogits}},
    {"attack_loss", "counters of the early stop", "1", {.bytes = 48, .fp32 = 2}},
    {"augmentation",
     "crop, flip, normalise from uint8",
     kImagesSize,
     {.bytes = 5 * kImages, .fp32 = 3 * kImages}},
    {"batch_norm",
     "statistics",
     kActivation,
     {.bytes = 4 * kElements, .fp32 = 6 * kElements, .launches = 2}},
    {"batch_norm", "apply (+ ReLU)", kActivation, {.bytes = 8 * kElements, .fp32 = 3 * kElements}},
    {"batch_norm",
     "backward, sums",
     kActivation,
     {.bytes = 8 * kElements, .fp32 = 6 * kElements, .launches = 2}},
    {"batch_norm",
     "backward, input (+ shortcut)",
     kActivation,
     {.bytes = 12 * kElements, .fp32 = 6 * kElements}},
    {"batch_norm",
     "coefficients, inverse deviation, running statistics",
     "512",
     {.bytes = 32 * 512, .fp32 = 10 * 512}},
    {"concatenation", "join, split", kActivation, {.bytes = 8 * kElements}},
    {"convolution",
     "forward, dgrad, wgrad",
     "512 x 32x32x64, 3x3, 64",
     {.bytes = 8 * kElements + 4 * 9 * kWidth * kWidth, .fp32 = 2 * kElements * 9 * kWidth}},
    {"defense_loss",
     "four terms and both gradients",
     kLogitsSize,
     {.bytes = 16 * kLogits, .fp64 = 60 * kLogits}},
    {"dropout",
     "forward, backward",
     kActivation,
     {.bytes = 8 * kElements, .fp32 = kElements, .instructions = 15 * kElements / 32}},
    {"elementwise",
     "fill 4; scale, add a row and ReLU 8; add, multiply and ReLU backward 12",
     kActivation,
     {.bytes = 12 * kElements, .fp32 = kElements}},
    {"elementwise", "cast", kActivation, {.bytes = 6 * kElements}},
    {"elementwise",
     "sums of rows, of squares",
     kActivation,
     {.bytes = 4 * kElements, .fp32 = 2 * kElements, .launches = 2}},
    {"elementwise", "an epoch's sums, in double", "6", {.bytes = 20 * 6, .fp64 = 6}},
    {"embedding", "gather", "4096 x 512", {.bytes = 8 * 4096 * 512}},
    {"embedding",
     "backward",
     "4096 x 512, 10 rows",
     {.bytes = 4 * 4096 * 512, .l2_bytes = 4 * 4096 * (512 + 160), .fp32 = 4096 * 512}},
    {"gemm",
     "c = op(a) op(b)",
     "4096 x 4096 x 4096",
     {.bytes = 12 * 4096.0 * 4096, .fp32 = 2 * 4096.0 * 4096 * 4096}},
    {"optimizer",
     "SGD, with momentum",
     kParametersSize,
     {.bytes = 20 * kParameters, .fp32 = 8 * kParameters}},
    {"optimizer",
     "Adam",
     kParametersSize,
     {.bytes = 28 * kParameters, .fp32 = 12 * kParameters, .launches = 2}},
    {"optimizer",
     "clipping of rows",
     kMapsSize,
     {.bytes = 8 * kClasses * kMap,
      .l2_bytes = 12 * kClasses * kMap,
      .fp32 = 3 * kClasses * kMap,
      .launches = 2}},
    {"pgd",
     "step, projection, clip, next input",
     kImagesSize,
     {.bytes = 20 * kImages, .fp32 = 15 * kImages}},
    {"polarizer",
     "inference, batch norm folded",
     "4096 x 4x4x512, 10 classes, bfloat16",
     {.bytes = 4 * kFeatures + 2 * kClasses * kMap, .bf16_tensor = kProduct, .launches = 2}},
    {"polarizer",
     "forward, dgrad in training",
     kFeaturesSize,
     {.bytes = 8 * kFeatures + 4 * kClasses * kMap, .fp32 = kProduct, .launches = 2},
     {.bytes = 8 * kFeatures + 4 * kClasses * kMap, .tf32_tensor = kProduct, .launches = 2},
     {.bytes = 4 * kFeatures + 2 * kClasses * kMap, .bf16_tensor = kProduct, .launches = 2}},
    {"polarizer",
     "wgrad",
     kFeaturesSize,
     {.bytes = 8 * kFeatures + 4 * kClasses * kMap, .fp32 = kProduct, .launches = 3},
     {.bytes = 8 * kFeatures + 4 * kClasses * kMap, .tf32_tensor = kProduct, .launches = 3},
     {.bytes = 4 * kFeatures + 4 * kClasses * kMap, .bf16_tensor = kProduct, .launches = 3}},
    {"polarizer",
     "fold and its backward",
     kMapsSize,
     {.bytes = 12 * kClasses * kMap, .fp32 = 3 * kClasses * kMap}},
    {"polarizer",
     "batch statistics, forward",
     kFeaturesSize,
     {.bytes = 12 * kFeatures + 4 * kClasses * kMap,
      .l2_bytes = 16 * kFeatures,
      .fp32 = kProduct,
      .launches = 4},
     {.bytes = 12 * kFeatures + 4 * kClasses * kMap,
      .l2_bytes = 16 * kFeatures,
      .tf32_tensor = kProduct,
      .launches = 4},
     {.bytes = 6 * kFeatures + 2 * kClasses * kMap,
      .l2_bytes = 8 * kFeatures,
      .bf16_tensor = kProduct,
      .launches = 4}},
    // Sums, dgrad and wgrad each read their operands, which the L2 cache cannot hold in between.
    {"polarizer",
     "batch statistics, backward",
     kFeaturesSize,
     {.bytes = 32 * kFeatures, .fp32 = 2 * kProduct, .launches = 6},
     {.bytes = 32 * kFeatures, .tf32_tensor = 2 * kProduct, .launches = 6},
     {.bytes = 16 * kFeatures, .bf16_tensor = 2 * kProduct, .launches = 6}},
    {"polarizer", "grouping by label", "4096, 10 classes", {.bytes = 12 * 4096 + 8 * 520 + 80}},
    {"pooling",
     "average, max (+ 4 bytes a position), and backward",
     "512 x 32x32x64, 2x2, max",
     {.bytes = 6 * kElements, .fp32 = kElements}},
    {"pooling",
     "adaptive average, and backward",
     "512 x 4x4x512 to 7x7",
     {.bytes = 4 * 512.0 * 512 * (16 + 49), .fp32 = 512.0 * 512 * 49}},
    {"router",
     "attention and its backward",
     "200 classes, 10 experts, 64",
     {.bytes = 4 * 210 * 64, .fp32 = 2 * 200 * 10 * 64}},
    {"router",
     "mixing, and its backward to experts",
     kMixedSize,
     {.bytes = 4 * (kMixed + kExperts) * kMap, .fp32 = 2 * kMixed * kExperts * kMap}},
    {"router",
     "mixing's backward to attention",
     kMixedSize,
     {.bytes = 4 * (kMixed + kExperts) * kMap,
      .fp32 = 2 * kMixed * kExperts * kMap,
      .launches = 2}},
    {"softmax_cross_entropy",
     "softmax, backward 8; forward, argmax 4",
     kLogitsSize,
     {.bytes = 8 * kLogits, .fp32 = 5 * kLogits}},
    {"softmax_cross_entropy",
     "mean's weight; equal labels",
     "512",
     {.bytes = 8 * 512, .fp32 = 512}},
    {"softmax_cross_entropy",
     "counting matches with sets of labels",
     kLogitsSize,
     {.bytes = 4 * kLogits + 4 * 512, .fp32 = kLogits}},
    {"stamping", "bytes, pixels", kImagesSize, {.bytes = 2 * kImages, .fp64 = 2 * kImages}},
};

constexpr std::string_view kHead = "| folder | operation |";

std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells;
    std::istringstream in(line.substr(line.find('|') + 1));
    for (std::string cell; std::getline(in, cell, '|');) {
        const auto first = cell.find_first_not_of(' '), last = cell.find_last_not_of(' ');
        cells.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
    }
    return cells;
}

// "[pgd](../kernels/pgd)" is the folder pgd; an empty cell repeats the folder above.
std::string folder_of(const std::string& cell, const std::string& above) {
    const auto end = cell.find(']');
    return end == std::string::npos ? above : cell.substr(1, end - 1);
}

const KernelRow& row_of(std::string_view folder, std::string_view operation) {
    for (const KernelRow& row : kTable)
        if (row.folder == folder && row.operation == operation) return row;
    throw Error(fmt::format("bench/model/kernel_table.cpp has no {}: {}", folder, operation));
}

// Of each GPU, and the limits.
std::string times(const Work& work) {
    std::string text, limits;
    for (const Gpu& gpu : modelled_gpus()) {
        const Prediction prediction = predict(gpu, work);
        text += fmt::format("{}{}", text.empty() ? "" : " / ", duration(prediction.seconds));
        if (limits.find(prediction.limit) == std::string::npos)
            limits += fmt::format("{}{}", limits.empty() ? "" : ", ", prediction.limit);
    }
    return fmt::format("{} ({})", text, limits);
}

}  // namespace

std::span<const KernelRow> kernel_rows() {
    return kTable;
}

std::string predicted(const KernelRow& row) {
    std::string text = fmt::format("{}: {}", row.size, times(row.work));
    if (row.tf32.bytes > 0) text += "; TF32 " + times(row.tf32);
    if (row.bf16.bytes > 0) text += "; bfloat16 " + times(row.bf16);
    return text;
}

std::string with_predictions(std::string_view page) {
    std::istringstream in{std::string(page)};
    std::string result, folder;
    std::set<const KernelRow*> seen;
    int line_of_table = 0;  // 0: outside; 1: the head; 2: the rule under it
    for (std::string line; std::getline(in, line); result += line + '\n') {
        if (line.starts_with(kHead))
            line_of_table = 1;
        else if (line_of_table > 0)
            line_of_table = line.starts_with('|') ? line_of_table + 1 : 0;
        if (line_of_table < 3) continue;
        const std::vector<std::string> cells = cells_of(line);
        folder = folder_of(cells.at(0), folder);
        const KernelRow& row = row_of(folder, cells.at(1));
        seen.insert(&row);
        line.resize(line.rfind('|', line.size() - 2));
        line += fmt::format("| {} |", predicted(row));
    }
    for (const KernelRow& row : kTable)
        if (!seen.contains(&row))
            throw Error(fmt::format("the page has no row {}: {}", row.folder, row.operation));
    return result;
}

}  // namespace cnpd::bench
