// Build properties that determine the bits of a result in addition to the seed: the instructions
// that the kernels were compiled to and those that oneDNN generates, the compiler, and oneDNN's
// version. Two builds with equal properties compute the same bits on a CPU, for any number of
// threads (docs/kernels.md).
#pragma once

#include <string>

namespace cnpd::kernels {

struct BuildInfo {
    std::string compiler;      // "GCC 12.2.0"
    std::string architecture;  // the -march= value of the CPU kernels: "znver3"; "default" if
                               // CNPD_ARCH is empty, "native" if the compiler does not name the
                               // processor
    std::string isa;           // their widest vector instructions, as in cpu_info.h: "avx512"
    std::string onednn;        // version of the loaded library: "2.6.3"
    std::string onednn_isa;    // the instruction set that it uses on this CPU: "avx512_core"
};

BuildInfo build_info();

}  // namespace cnpd::kernels
