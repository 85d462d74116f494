// Whether the vendor's libraries may compute with TensorFloat-32.
#pragma once

namespace cnpd::kernels {

// Allowed, float32 convolutions and matrix products on a real GPU may round their factors to 11
// significant bits, which is what its tensor cores take; sums stay float32. For the whole process,
// and off unless it was turned on. Nothing changes on other devices.
void allow_tf32(bool allowed);
bool tf32_allowed();

}  // namespace cnpd::kernels
