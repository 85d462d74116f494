#include "kernels/common/cpu_info.h"

#include <fstream>

namespace cnpd::kernels {

std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("model name")) {
            const std::size_t colon = line.find(": ");
            if (colon != std::string::npos) return line.substr(colon + 2);
        }
    return "unknown";
}

#if defined(__AVX512F__)
std::string compiled_isa() {
    return "avx512";
}
bool cpu_supports_compiled_isa() {
    return __builtin_cpu_supports("avx512f");
}
#elif defined(__AVX2__)
std::string compiled_isa() {
    return "avx2";
}
bool cpu_supports_compiled_isa() {
    return __builtin_cpu_supports("avx2");
}
#else
std::string compiled_isa() {
    return "baseline";
}
bool cpu_supports_compiled_isa() {
    return true;
}
#endif

}  // namespace cnpd::kernels
