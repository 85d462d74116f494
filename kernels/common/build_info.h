// What the bits of a result depend on besides the seed: the instructions that the kernels were
// compiled to and those that oneDNN generates, and who made them. Two builds for which all of it is
// equal compute the same bits on a CPU, whatever the number of threads (docs/kernels.md).
#pragma once

#include <string>

namespace cnpd::kernels {

struct BuildInfo {
    std::string compiler;      // "GCC 12.2.0"
    std::string architecture;  // as -march= names what the CPU kernels are compiled for: "znver3";
                               // "default" where CNPD_ARCH is empty, "native" where the compiler
                               // does not say what that is
    std::string isa;           // their widest vector instructions, as in cpu_info.h: "avx512"
    std::string onednn;        // the loaded library's version: "2.6.3"
    std::string onednn_isa;    // the instruction set that it uses on this CPU: "avx512_core"
};

BuildInfo build_info();

}  // namespace cnpd::kernels
