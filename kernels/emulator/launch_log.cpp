#include "kernels/emulator/launch_log.h"

namespace cnpd::kernels::emulator {
namespace {

thread_local LaunchLog* current = nullptr;

}  // namespace

LaunchLog::LaunchLog() : before_(current) {
    current = this;
}

LaunchLog::~LaunchLog() {
    current = before_;
}

void LaunchLog::note(const Launch& launch) {
    if (!current) return;
    const dim3& grid = launch.grid;
    current->entries_.push_back({launch.name, std::size_t{grid.x} * grid.y * grid.z});
}

}  // namespace cnpd::kernels::emulator
