#include "kernels/common/fma_peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "kernels/common/simd.h"

namespace cnpd::kernels {
namespace {

// Enough independent sums to hide the latency of two multiply-add units.
constexpr int kSums = 12;

// The result is stored here so that the compiler does not remove the computation.
volatile float used = 0;

// Returns something that depends on all sums.
float multiply_add(std::int64_t steps) {
    simd::Vector sums[kSums];
    for (int i = 0; i < kSums; ++i) sums[i] = simd::broadcast(static_cast<float>(i));
    const simd::Vector factor = simd::broadcast(0.999f), term = simd::broadcast(0.001f);
    for (std::int64_t step = 0; step < steps; ++step)
        for (simd::Vector& sum : sums) sum = sum * factor + term;
    simd::Vector total = {};
    for (const simd::Vector& sum : sums) total += sum;
    return total[0];
}

}  // namespace

double measure_fma_peak() {
    constexpr std::int64_t kSteps = 200000, kRepeats = 5;
    double best = 0;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
        int threads = 0;
        float result = 0;
        const auto start = std::chrono::steady_clock::now();
#pragma omp parallel reduction(+ : threads, result)
        {
            threads = 1;
            result = multiply_add(kSteps);
        }
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        used = result;
        best = std::max(best, 2. * kSums * simd::kWidth * kSteps * threads / elapsed.count());
    }
    return best;
}

}  // namespace cnpd::kernels
