// Whether the vendor's libraries may compute with TensorFloat-32.
#pragma once

namespace cnpd::kernels {

// If allowed, float32 convolutions and matrix products on a real GPU may round their factors to 11
// significant bits, the input format of its tensor cores; sums stay float32. A setting of the whole
// process, off by default. Has no effect on other devices.
void allow_tf32(bool allowed);
bool tf32_allowed();

}  // namespace cnpd::kernels
