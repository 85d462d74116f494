#include "kernels/emulator/shadow.h"

#include <dlfcn.h>
#include <cstring>

#include <fmt/format.h>

// Defined by the linker: the program, its constants and its static variables lie between them.
extern "C" {
extern char __data_start[], _end[];
}

namespace cnpd::kernels::emulator {
namespace {

char* statics() {
    return __data_start;
}
std::size_t static_bytes() {
    return static_cast<std::size_t>(_end - __data_start);
}

void note_static_cells(const BlockState& state, std::size_t offset, std::size_t bytes) {
    Shadow& shadow = *state.shadow;
    for (std::size_t i = 0; i < bytes; i += kCellBytes)
        if (shadow.statics.of(offset + i)->serial != state.serial)
            shadow.used.push_back(static_cast<std::uint32_t>((offset + i) / kCellBytes));
}

std::string place(const void* code) {
    Dl_info info{};
    if (!::dladdr(code, &info) || !info.dli_fbase) return "";
    return fmt::format(" [code at +{:#x}]",
                       static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase));
}

}  // namespace

Shadow::Shadow() : statics(emulator::static_bytes()), dynamic(kMostShared) {}

Cell* shared_cells(BlockState& state, const void* address, std::size_t bytes) {
    if (!state.shadow) state.shadow = std::make_shared<Shadow>();
    Shadow& shadow = *state.shadow;
    shadow.begin(state.serial);
    const auto offset = static_cast<std::size_t>(static_cast<const char*>(address) - statics());
    if (offset < static_bytes()) {
        if (running.blocks_at_once > 1) note_static_cells(state, offset, bytes);
        return shadow.statics.of(offset);
    }
    const std::size_t inside = dynamic_offset(state, address);
    return inside < running.launch->dynamic_shared ? shadow.dynamic.of(inside) : nullptr;
}

bool before(const Actor& who, const BlockState& block, std::uint16_t other, const Stamp& stamp) {
    if (other == kNobody) return true;
    const bool thread = other < kBox;
    if (who.block == &block) {
        if (other == who.rank || stamp.block_epoch != block.block_epoch) return true;
        const unsigned warp = who.rank / kWarp;
        if (thread && other / kWarp == warp && stamp.warp_epoch != block.warp_epoch[warp])
            return true;
    }
    // Of several readers it is not known which barriers in shared memory they have arrived at.
    return block.hopper && (!thread || knows_arrivals(who, block, other, stamp.arrivals));
}

std::string by(std::uint16_t other) {
    return other == kSeveral   ? "other threads"
           : other == kAtomics ? "an atomic"
           : other == kBox     ? "a copy of a box"
                               : "thread " + thread_name(other);
}

const char* verb(Access access) {
    return access == Access::read ? "reads" : "writes";
}

void report_at(const void* code, const std::string& what) {
    report((what + place(code)).c_str());
}

void claim_shared(const void* address, std::size_t bytes) {
    BlockState& state = *running.block;
    Cell* cell = shared_cells(state, address, bytes);
    if (!cell) return report("a barrier is not in the block's shared memory");
    for (std::size_t i = 0; i < bytes; i += kCellBytes, ++cell)
        if (cell->serial != state.serial) *cell = {.serial = state.serial};
}

void put_statics_aside(BlockState& block) {
    if (!block.shadow || block.shadow->serial != block.serial) return;
    Shadow& shadow = *block.shadow;
    shadow.values.resize(shadow.used.size());
    for (std::size_t i = 0; i < shadow.used.size(); ++i)
        std::memcpy(shadow.values[i].data(), statics() + shadow.used[i] * kCellBytes, kCellBytes);
}

void put_statics_back(BlockState& block) {
    if (!block.shadow || block.shadow->serial != block.serial) return;
    const Shadow& shadow = *block.shadow;
    for (std::size_t i = 0; i < shadow.values.size(); ++i)
        std::memcpy(statics() + shadow.used[i] * kCellBytes, shadow.values[i].data(), kCellBytes);
}

}  // namespace cnpd::kernels::emulator
