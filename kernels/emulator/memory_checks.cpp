// Checks every memory access of a kernel. The .cu files of an emulated build are compiled with
// -fsanitize=thread but linked with the functions below instead of ThreadSanitizer's: the compiler
// inserts a call of one of them before every load and store. They store for each shared byte of the
// block who accessed it last and which barriers have been passed since, and report
//
//   - reads of shared memory that was not written since the block began,
//   - accesses of two threads to the same shared bytes, at least one a write, without a barrier in
//     between,
//   - accesses that are not aligned to their size,
//   - accesses to host memory: not allocated on the device, not shared, not the thread's own and
//     not a constant of the program.
#include <fmt/format.h>

#include "kernels/emulator/device_memory.h"
#include "kernels/emulator/global_checks.h"
#include "kernels/emulator/shadow.h"
#include "kernels/emulator/trace.h"

// Defined by the linker: the program and its constants lie between them.
extern "C" {
extern char __executable_start[], __data_start[];
}

namespace cnpd::kernels::emulator {
namespace {

bool is_builtin_variable(const void* address) {
    const auto inside = [&](const auto& variable) {
        return static_cast<std::size_t>(static_cast<const char*>(address) -
                                        reinterpret_cast<const char*>(&variable)) < sizeof variable;
    };
    return inside(threadIdx) || inside(blockIdx) || inside(blockDim) || inside(gridDim);
}

bool is_constant(const void* address) {
    const auto* const at = static_cast<const char*>(address);
    return at >= __executable_start && at < __data_start;
}

// The first access of a block to these two bytes.
void begin_cell(Cell& cell, BlockState& state) {
    cell = {.serial = state.serial};
    Shadow& shadow = *state.shadow;
    if (!shadow.statics.contains(&cell)) return;
    shadow.static_bytes += kCellBytes;
    if (shadow.static_bytes + running.launch->dynamic_shared > kMostShared)
        report("more than 227 KiB of static and dynamic shared memory");
}

void check_cell(Cell& cell, BlockState& state, Access access, const void* code) {
    if (cell.serial != state.serial) begin_cell(cell, state);
    const Actor me{&state, running.rank};
    if (!check_copies(cell, me, access, code)) return;
    const Stamp now = stamp_of(state, running.rank);

    if (access != Access::write && cell.writer == kNobody) {
        report_at(code, "reads shared memory that no thread has written");
        cell.writer = static_cast<std::uint16_t>(running.rank);  // report only once
        cell.write = now;
    }
    const bool among_atomics = access == Access::atomic && cell.writer == kAtomics;
    if (!among_atomics && cell.writer != kBox && !before(me, state, cell.writer, cell.write))
        report_at(code, fmt::format("{} shared memory that {} writes, with no barrier in between",
                                    verb(access), by(cell.writer)));
    if (access != Access::read && !before(me, state, cell.reader, cell.read))
        report_at(code,
                  fmt::format("writes shared memory that {} reads, with no barrier in between",
                              by(cell.reader)));

    if (access == Access::read) {
        // If no barrier separates the readers, it is enough to know that there are several.
        const bool alone = before(me, state, cell.reader, cell.read);
        cell.reader = alone ? static_cast<std::uint16_t>(running.rank) : kSeveral;
        cell.read = now;
    } else {
        cell.writer =
            access == Access::atomic ? kAtomics : static_cast<std::uint16_t>(running.rank);
        cell.write = now;
        cell.fences = static_cast<std::uint32_t>(state.fences[running.rank].size());
    }
}

void check(const void* address, std::size_t bytes, Access access, const void* code) {
    if (!running.launch) return;  // the host's part of a .cu file
    BlockState& state = *running.block;
    if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0)
        report_at(code, fmt::format("an access of {} bytes is not aligned to its size", bytes));
    if (!kSeesPlainAccesses) return;

    Cell* cell = shared_cells(state, address, bytes);
    // Variables on a thread's stack would be in registers on a GPU.
    if (Trace* trace = Trace::current(); trace && (cell || is_device_memory(address)))
        trace->access({.address = address,
                       .bytes = bytes,
                       .write = access != Access::read,
                       .shared = cell != nullptr,
                       .code = code});
    if (!cell) {
        if (!is_device_memory(address) && !is_builtin_variable(address) && !is_constant(address) &&
            !on_stack_of_thread(address))
            report_at(code, "an access to the host's memory");
        if (running.checks_global && is_device_memory(address))
            check_global(address, bytes, access, code);
        return;
    }
    if (bytes < kCellBytes)
        return report_at(code, "accesses to single bytes of shared memory are not supported");
    for (std::size_t i = 0; i < bytes; i += kCellBytes) check_cell(*cell++, state, access, code);
    if (access == Access::read) return;
    if (const std::size_t offset = dynamic_offset(state, address);
        offset < running.launch->dynamic_shared)
        note_store(state, offset, code);
}

}  // namespace

void check_atomic(const void* address, std::size_t bytes, const void* code) {
    check(address, bytes, Access::atomic, code);
}

void check_vector(const void* address, std::size_t bytes, bool write, const void* code) {
    check(address, bytes, write ? Access::write : Access::read, code);
}

}  // namespace cnpd::kernels::emulator

#define CNPD_ACCESS(name, bytes, access)                                                        \
    extern "C" void __tsan_##name(void* address) {                                              \
        cnpd::kernels::emulator::check(address, bytes, cnpd::kernels::emulator::Access::access, \
                                       __builtin_return_address(0));                            \
    }
#define CNPD_ACCESSES(bytes)                        \
    CNPD_ACCESS(read##bytes, bytes, read)           \
    CNPD_ACCESS(write##bytes, bytes, write)         \
    CNPD_ACCESS(unaligned_read##bytes, bytes, read) \
    CNPD_ACCESS(unaligned_write##bytes, bytes, write)

CNPD_ACCESSES(1)
CNPD_ACCESSES(2)
CNPD_ACCESSES(4)
CNPD_ACCESSES(8)
CNPD_ACCESSES(16)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void*) {}
void __tsan_vptr_update(void*, void*) {}
// Called by host code to check whether a function's static variable is initialised.
unsigned char __tsan_atomic8_load(const volatile unsigned char* guard, int) {
    return __atomic_load_n(guard, __ATOMIC_ACQUIRE);
}
// Structures that are copied as a whole. Shared memory is accessed element by element.
void __tsan_read_range(void*, unsigned long) {}
void __tsan_write_range(void*, unsigned long) {}
}
