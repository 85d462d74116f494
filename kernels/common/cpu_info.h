// The CPU's name and the instruction set that the kernels were compiled for.
#pragma once

#include <string>

namespace cnpd::kernels {

// "AMD EPYC ...", or "unknown".
std::string cpu_name();
// The widest vector instructions that the CPU kernels were compiled with: "avx512", "avx2", ...
std::string compiled_isa();
// Whether this CPU has them. A program that was built elsewhere may not run here.
bool cpu_supports_compiled_isa();

}  // namespace cnpd::kernels
