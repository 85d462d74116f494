// Measures the arithmetic peak that kernels are compared with.
#pragma once

namespace cnpd::kernels {

// Float operations per second (a multiply-add counts as two) of all threads together, on registers,
// with the vectors that the kernels are compiled for. Takes about 20 ms.
double measure_fma_peak();

}  // namespace cnpd::kernels
