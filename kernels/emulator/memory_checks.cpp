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
#include <dlfcn.h>
#include <sys/mman.h>
#include <array>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "kernels/emulator/device_memory.h"
#include "kernels/emulator/hopper_state.h"
#include "kernels/emulator/state.h"
#include "kernels/emulator/trace.h"

// Defined by the linker: the program, its constants and its static variables lie between them.
extern "C" {
extern char __executable_start[], __data_start[], _end[];
}

namespace cnpd::kernels::emulator {
namespace {

constexpr std::uint16_t kNobody = 0xFFFF, kSeveral = 0xFFFE, kAtomics = 0xFFFD, kBox = 0xFFFC;

// Two bytes of shared memory: the last writer and reader, and their epochs. Zeroed pages are a
// valid initial state: no block has serial 0.
struct Cell {
    std::uint32_t serial;  // the block that wrote the other members
    std::uint16_t writer = kNobody, reader = kNobody;
    Stamp write{}, read{};
    std::uint32_t fences = 0;  // of the writer before its write; of a box: the copy's number
};
constexpr std::size_t kCellBytes = 2;
// In place of the epoch of a write: a copy is still writing.
constexpr std::uint32_t kInFlight = 0xFFFFFFFF;
constexpr std::size_t kMaxDynamic = 256 << 10;

// AddressSanitizer replaces the compiler's calls; the remaining calls for atomics and vectors are
// not enough to check who wrote what.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSeesPlainAccesses = false;
#else
constexpr bool kSeesPlainAccesses = true;
#endif

enum class Access { read, write, atomic };

class Cells {
  public:
    explicit Cells(std::size_t bytes) : count_(bytes / kCellBytes + 1) {
        void* pages = ::mmap(nullptr, count_ * sizeof(Cell), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED) std::abort();
        cells_ = static_cast<Cell*>(pages);
    }
    Cell* of(std::size_t offset) { return cells_ + offset / kCellBytes; }

  private:
    std::size_t count_;
    Cell* cells_;
};

char* statics() {
    return __data_start;
}
std::size_t static_bytes() {
    return static_cast<std::size_t>(_end - __data_start);
}

}  // namespace

struct Shadow {
    Cells statics{static_bytes()}, dynamic{kMaxDynamic};
    std::uint32_t serial = 0;  // of the block that the following members belong to
    // Cells of static variables that the block has accessed, and their values while another block
    // runs.
    std::vector<std::uint32_t> used;
    std::vector<std::array<char, kCellBytes>> values;
    // The block that has stored to a line of 128 bytes of dynamic memory.
    std::array<std::uint32_t, kMaxDynamic / kLineBytes> stored{};

    void begin(std::uint32_t block) {
        if (serial == block) return;
        serial = block;
        used.clear();
        values.clear();
    }
};

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

std::string place(const void* code) {
    Dl_info info{};
    if (!::dladdr(code, &info) || !info.dli_fbase) return "";
    return fmt::format(" [code at +{:#x}]",
                       static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase));
}

void report_at(const void* code, const std::string& what) {
    report((what + place(code)).c_str());
}

// Whether what thread `other` of a block did at this time happened before what `who` does now.
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

void check_cell(Cell& cell, BlockState& state, Access access, const void* code) {
    if (cell.serial != state.serial) cell = {.serial = state.serial};
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

void note_static_cells(const BlockState& state, std::size_t offset, std::size_t bytes) {
    Shadow& shadow = *state.shadow;
    for (std::size_t i = 0; i < bytes; i += kCellBytes)
        if (shadow.statics.of(offset + i)->serial != state.serial)
            shadow.used.push_back(static_cast<std::uint32_t>((offset + i) / kCellBytes));
}

// Position in the block's dynamic shared memory; beyond its end if the address is elsewhere.
std::size_t dynamic_offset(const BlockState& state, const void* address) {
    return static_cast<std::size_t>(static_cast<const std::byte*>(address) - state.dynamic_shared);
}

// The cells of these bytes; null: not in the block's shared memory.
Cell* shared_cells(BlockState& state, const void* address, std::size_t bytes) {
    if (!state.shadow) state.shadow = std::make_shared<Shadow>();
    Shadow& shadow = *state.shadow;
    shadow.begin(state.serial);
    const auto offset = static_cast<std::size_t>(static_cast<const char*>(address) - statics());
    if (offset < static_bytes()) {
        if (running.launch->cluster > 1) note_static_cells(state, offset, bytes);
        return shadow.statics.of(offset);
    }
    const std::size_t inside = dynamic_offset(state, address);
    return inside < running.launch->dynamic_shared ? shadow.dynamic.of(inside) : nullptr;
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

void begin_async_write(const void* address, std::size_t bytes, const void* code) {
    check(address, bytes, Access::write, code);
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
    return state.shadow && offset < kMaxDynamic &&
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
