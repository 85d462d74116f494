#include "kernels/common/build_info.h"

#include <fmt/format.h>

#include "kernels/common/cpu_info.h"
#include "kernels/vendor/onednn.h"

namespace cnpd::kernels {
namespace {

std::string compiler() {
#if defined(__clang__)
    return fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    return "unknown";
#endif
}

}  // namespace

BuildInfo build_info() {
    return {.compiler = compiler(),
            .architecture = CNPD_ARCH_NAME,
            .isa = compiled_isa(),
            .onednn = onednn::version(),
            .onednn_isa = onednn::isa()};
}

}  // namespace cnpd::kernels
