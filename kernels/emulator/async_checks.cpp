// Checks of the memory that copies and products access while threads continue.
#include <fmt/format.h>

#include "kernels/emulator/shadow.h"

namespace cnpd::kernels::emulator {

// Copies in flight, which are not in the order of the threads.
bool check_copies(const Cell& cell, const Actor& me, Access access, const void* code) {
    if (cell.write.warp_epoch == kInFlight) {
        report_at(code, fmt::format("{} shared memory that an asynchronous copy of {} writes, "
                                    "which has not been waited for",
                                    verb(access), by(cell.writer)));
        return false;
    }
    if (cell.writer == kBox && !knows_copy(me, *me.block, cell.fences)) {
        report_at(code, fmt::format("{} shared memory that a copy of a box writes, without having "
                                    "waited for its barrier",
                                    verb(access)));
        return false;
    }
    return true;
}

// A store to dynamic shared memory, which products may still read.
void note_store(BlockState& state, std::size_t offset, const void* code) {
    state.shadow->stored[offset / kLineBytes] = state.serial;
    if (!state.hopper) return;
    const auto at = static_cast<std::size_t>(state.dynamic_shared - shared_base()) + offset;
    const Line& line = state.hopper->lines[at / kLineBytes];
    for (unsigned warp = 0; warp < state.warp_epoch.size(); ++warp)
        if (line.read[warp] &&
            !knows_products({&state, running.rank}, state, warp, line.read[warp]))
            return report_at(code, fmt::format("writes shared memory that products of thread {} "
                                               "may still read",
                                               thread_name(warp * kWarp)));
}

void begin_async_write(const void* address, std::size_t bytes, const void* code) {
    check_vector(address, bytes, true, code);
    if (!kSeesPlainAccesses) return;
    Cell* cell = shared_cells(*running.block, address, bytes);
    if (!cell) return report_at(code, "an asynchronous copy to memory that is not shared");
    for (std::size_t i = 0; i < bytes; i += kCellBytes) cell++->write.warp_epoch = kInFlight;
}

void end_of_async_write(const void* address, std::size_t bytes) {
    if (!kSeesPlainAccesses) return;
    BlockState& state = *running.block;
    Cell* cell = shared_cells(state, address, bytes);
    for (std::size_t i = 0; i < bytes; i += kCellBytes)
        cell++->write = stamp_of(state, running.rank);
}

void begin_box_write(const std::byte* to, std::size_t bytes, const Actor& by_whom,
                     std::uint32_t copy) {
    if (!kSeesPlainAccesses) return;
    BlockState& state = *running.block;
    Cell* cell = shared_cells(state, to, bytes);
    for (std::size_t i = 0; i < bytes; i += kCellBytes, ++cell) {
        if (cell->serial == state.serial) {
            const bool written =
                cell->writer != kBox && (cell->write.warp_epoch == kInFlight ||
                                         !before(by_whom, state, cell->writer, cell->write));
            if (written || !before(by_whom, state, cell->reader, cell->read))
                return report(fmt::format("starts a copy to shared memory that {} {}, with no "
                                          "barrier in between",
                                          by(written ? cell->writer : cell->reader),
                                          written ? "writes" : "reads")
                                  .c_str());
        }
        *cell = {.serial = state.serial, .writer = kBox, .fences = copy};
    }
}

bool is_written_by_stores(const std::byte* line) {
    const BlockState& state = *running.block;
    const std::size_t offset = dynamic_offset(state, line);
    return state.shadow && offset < kMostShared &&
           state.shadow->stored[offset / kLineBytes] == state.serial;
}

void check_async_read(const std::byte* address, std::size_t bytes) {
    BlockState& state = *running.block;
    const Actor me{&state, running.rank};
    Cell* cell = shared_cells(state, address, bytes);
    for (std::size_t i = 0; i < bytes; i += kCellBytes, ++cell) {
        if (cell->serial != state.serial || cell->writer == kNobody)
            return report("multiplies shared memory that no thread has written");
        if (!check_copies(*cell, me, Access::read, nullptr)) return;
        if (cell->writer >= kBox) continue;
        if (!before(me, state, cell->writer, cell->write))
            return report(fmt::format("multiplies shared memory that {} writes, with no barrier "
                                      "in between",
                                      by(cell->writer))
                              .c_str());
        const auto& fences = state.fences[cell->writer];
        if (fences.size() <= cell->fences || !before(me, state, cell->writer, fences[cell->fences]))
            return report(fmt::format("multiplies shared memory that {} has written without "
                                      "fence_proxy_async() before the barrier",
                                      by(cell->writer))
                              .c_str());
    }
}

}  // namespace cnpd::kernels::emulator
