// The kernels of docs/kernels.md with the work of each at a typical size, and the page's column of
// predicted times.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "bench/model/model.h"

namespace cnpd::bench {

struct KernelRow {
    std::string_view folder, operation;  // as in the page's table
    std::string_view size;               // what `work` is for
    Work work;                           // in float32, if the size does not say otherwise
    // Products that run on tensor cores in other precisions (`--precision tf32`, `bf16`); without
    // bytes: no prediction.
    Work tf32{}, bf16{};
};
std::span<const KernelRow> kernel_rows();

// For example "512 x 10: 1.0 us / 1.0 us (launch)": the H100's and the H200's time and limit; for
// each precision, as in "...: 0.57 ms / 0.57 ms (float32); bfloat16 48 us / 45 us (memory)".
std::string predicted(const KernelRow& row);

// The text of docs/kernels.md with the last column of its table replaced. Throws Error if a row of
// the table is not in kernel_rows() or the other way round.
std::string with_predictions(std::string_view page);

}  // namespace cnpd::bench
