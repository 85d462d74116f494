// The limit that arithmetic kernels are measured against.
#pragma once

namespace cnpd::kernels {

// Float operations per second (a multiply-add is two) that all threads together reach on
// registers, with the vectors that the kernels are compiled for. Takes some 20 ms.
double measure_fma_peak();

}  // namespace cnpd::kernels
