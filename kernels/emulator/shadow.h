// Who accessed a block's shared memory last, in cells of two bytes.
#pragma once

#include <sys/mman.h>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/emulator/hopper_state.h"
#include "kernels/emulator/state.h"

namespace cnpd::kernels::emulator {

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
    ~Cells() { ::munmap(cells_, count_ * sizeof(Cell)); }
    Cells(const Cells&) = delete;
    Cells& operator=(const Cells&) = delete;
    Cell* of(std::size_t offset) { return cells_ + offset / kCellBytes; }

    bool contains(const Cell* cell) const { return cell >= cells_ && cell < cells_ + count_; }

  private:
    std::size_t count_;
    Cell* cells_;
};

struct Shadow {
    Shadow();

    Cells statics, dynamic;
    std::uint32_t serial = 0;  // of the block that the following members belong to
    // Cells of static variables that the block has accessed, and their values while another block
    // runs.
    std::vector<std::uint32_t> used;
    std::vector<std::array<char, kCellBytes>> values;
    std::size_t static_bytes = 0;  // that the block has accessed
    // The block that has stored to a line of 128 bytes of dynamic memory.
    std::array<std::uint32_t, kMostShared / kLineBytes> stored{};

    void begin(std::uint32_t block) {
        if (serial == block) return;
        serial = block;
        used.clear();
        values.clear();
        static_bytes = 0;
    }
};

// The cells of these bytes; null: not in the block's shared memory.
Cell* shared_cells(BlockState& state, const void* address, std::size_t bytes);

// Position in the block's dynamic shared memory; beyond its end if the address is elsewhere.
inline std::size_t dynamic_offset(const BlockState& state, const void* address) {
    return static_cast<std::size_t>(static_cast<const std::byte*>(address) - state.dynamic_shared);
}

// Whether what thread `other` of a block did at this time happened before what `who` does now.
bool before(const Actor& who, const BlockState& block, std::uint16_t other, const Stamp& stamp);

// For messages: "thread (x, y, z)", "reads", and a report that names the place in the program.
std::string by(std::uint16_t other);
const char* verb(Access access);
void report_at(const void* code, const std::string& what);

// async_checks.cpp: whether an access may not happen because a copy is in flight, which is
// reported; and a store to dynamic shared memory, which products may still read.
bool check_copies(const Cell& cell, const Actor& me, Access access, const void* code);
void note_store(BlockState& state, std::size_t offset, const void* code);

}  // namespace cnpd::kernels::emulator
