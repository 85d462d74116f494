#include "engine/passive_waiting.h"

#include <cstdlib>

#include <unistd.h>

namespace cnpd::engine {

void wait_passively(char** argv) {
    if (std::getenv("OMP_WAIT_POLICY")) return;
    ::setenv("OMP_WAIT_POLICY", "passive", 1);
    ::execv("/proc/self/exe", argv);
    // If that is not possible the program continues: slower when other programs run, but correct.
}

}  // namespace cnpd::engine
