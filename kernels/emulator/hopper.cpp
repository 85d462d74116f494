#include "kernels/common/hopper.h"

#include <cstring>
#include <set>

#include "kernels/emulator/state.h"

namespace cnpd::kernels::emulator {

struct HopperState {
    std::set<const void*> barriers;  // that have been initialised
};

}  // namespace cnpd::kernels::emulator

namespace cnpd::kernels::hopper {
namespace {

emulator::HopperState& state() {
    auto& state = emulator::running.block->hopper;
    if (!state) state = std::make_shared<emulator::HopperState>();
    return *state;
}

bool check_initialised(const Barrier& barrier) {
    if (state().barriers.contains(&barrier)) return true;
    emulator::report("uses a barrier in shared memory that is not initialised");
    return false;
}

constexpr std::uintptr_t kAlignment = 1024;

// Of the running block.
std::byte* shared_base() {
    const auto begin = reinterpret_cast<std::uintptr_t>(emulator::dynamic_shared());
    return reinterpret_cast<std::byte*>(begin / kAlignment * kAlignment);
}
std::byte* at_address(std::uint32_t address) {
    return shared_base() + address;
}

void end_phase_if_complete(Barrier& barrier) {
    if (barrier.missing < 0) emulator::report("more arrivals at a barrier than its phase expects");
    if (barrier.missing != 0 || barrier.bytes != 0) return;
    barrier.phase ^= 1;
    barrier.missing = barrier.arrivals;
    emulator::wake(&barrier);
}

void write_completes(Barrier& barrier, std::int32_t bytes) {
    barrier.bytes -= bytes;
    end_phase_if_complete(barrier);
}

float element(const std::byte* at) {
    bfloat16 value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// Lines [first, first + count) of an operand, 16 k of each.
void read_operand(std::uint64_t description, int first, int count, float (*lines)[16]) {
    const auto begin = static_cast<std::uint32_t>(description & 0x3FFF) << 4;
    const auto group = static_cast<std::uint32_t>(description >> 32 & 0x3FFF) << 4;
    if (description >> 62 != 1 || (description >> 49 & 7) != 0)
        emulator::report("an operand of wgmma is not aligned or not in the 128-byte swizzle");
    for (int i = 0; i < count; ++i) {
        const auto line = static_cast<std::uint32_t>(first + i);
        const std::uint32_t start = begin + line / 8 * group + line % 8 * 128;
        for (std::uint32_t k = 0; k < 16; ++k)
            lines[i][k] = element(at_address(swizzled(start + 2 * k)));
    }
}

struct Lane {
    float* sum;
    std::uint64_t a, b;
    bool add;
    int warp;  // in its warpgroup
};

// The 16 rows of one warp.
void multiply_rows(std::span<void* const, emulator::kWarp> of_lane) {
    const Lane& any = *static_cast<Lane*>(of_lane[0]);
    float rows[16][16], columns[128][16];
    read_operand(any.a, 16 * any.warp, 16, rows);
    read_operand(any.b, 0, 128, columns);
    for (int l = 0; l < emulator::kWarp; ++l) {
        float* sum = static_cast<Lane*>(of_lane[l])->sum;
        for (int i = 0; i < 64; ++i) {
            const int j = i / 4, h = i / 2 % 2, e = i % 2;
            const float* row = rows[l / 4 + 8 * h];
            const float* column = columns[8 * j + 2 * (l % 4) + e];
            float total = any.add ? sum[i] : 0;
            for (int k = 0; k < 16; ++k) total += row[k] * column[k];
            sum[i] = total;
        }
    }
}

void copy(const TensorMap& map, const std::int64_t (&first)[5], void* to, Barrier& barrier) {
    const TensorBoxes& b = map.boxes;
    std::int64_t box[5], index[5];
    for (int d = 0; d < 5; ++d) box[d] = d < b.rank ? b.box[d] : 1;
    std::uint32_t address = shared_address(to);
    const std::uint32_t begin = address;
    if (box[0] != 64) emulator::report("the lines of a box are not 128 bytes long");
    for (index[4] = 0; index[4] < box[4]; ++index[4])
        for (index[3] = 0; index[3] < box[3]; ++index[3])
            for (index[2] = 0; index[2] < box[2]; ++index[2])
                for (index[1] = 0; index[1] < box[1]; ++index[1])
                    for (index[0] = 0; index[0] < box[0]; ++index[0], address += 2) {
                        bool inside = true;
                        std::int64_t offset = 0;
                        for (int d = 0; d < b.rank; ++d) {
                            const std::int64_t i = first[d] + index[d];
                            inside &= i >= 0 && i < static_cast<std::int64_t>(b.size[d]);
                            offset += i * static_cast<std::int64_t>(d ? b.stride[d - 1] : 2);
                        }
                        std::byte* const target = at_address(swizzled(address));
                        if (inside)
                            std::memcpy(target, reinterpret_cast<const char*>(map.data) + offset,
                                        2);
                        else
                            std::memset(target, 0, 2);
                    }
    write_completes(barrier, static_cast<std::int32_t>(address - begin));
}

// A place in shared memory, the same in all blocks of a cluster.
class Place {
  public:
    explicit Place(void* address)
        : static_(static_cast<std::byte*>(address)),
          offset_(static_cast<std::size_t>(static_ - emulator::running.block->dynamic_shared)),
          dynamic_(offset_ < emulator::running.launch->dynamic_shared) {}
    // In the running block.
    template <typename T>
    T& in_block() const {
        return *reinterpret_cast<T*>(dynamic_ ? emulator::running.block->dynamic_shared + offset_
                                              : static_);
    }

  private:
    std::byte* static_;
    std::size_t offset_;
    bool dynamic_;
};

template <typename Action>
void with_block(unsigned rank_in_cluster, const Action& action) {
    emulator::BlockState* const block = emulator::block_of_rank(rank_in_cluster);
    if (!block)
        return emulator::report(
            "accesses the shared memory of a block of the cluster that has "
            "ended or does not exist");
    const emulator::InBlock there(*block);
    action();
}

}  // namespace

TensorMap tensor_map(const bfloat16* data, const TensorBoxes& boxes) {
    for (int d = 0; d + 1 < boxes.rank; ++d)
        CNPD_CHECK(boxes.stride[d] % 16 == 0, "tensor map: a stride is not a multiple of 16 bytes");
    CNPD_CHECK(reinterpret_cast<std::uintptr_t>(data) % 16 == 0, "tensor map: not aligned");
    return {data, boxes};
}

void init(Barrier& barrier, unsigned arrivals) {
    emulator::claim_shared(&barrier, sizeof barrier);
    const auto count = static_cast<std::int32_t>(arrivals);
    barrier = {count, count, 0, 0};
    state().barriers.insert(&barrier);
}
void arrive(Barrier& barrier) {
    if (!check_initialised(barrier)) return;
    --barrier.missing;
    end_phase_if_complete(barrier);
}
void arrive_at(Barrier& barrier, unsigned block_of_cluster) {
    with_block(block_of_cluster,
               [&, place = Place(&barrier)] { arrive(place.in_block<Barrier>()); });
}
void arrive_expecting(Barrier& barrier, unsigned bytes) {
    if (check_initialised(barrier)) barrier.bytes += static_cast<std::int32_t>(bytes);
    arrive(barrier);
}
void wait(Barrier& barrier, unsigned parity) {
    while (check_initialised(barrier) && barrier.phase == parity) emulator::sleep_on(&barrier);
}

unsigned block_of_cluster() {
    return emulator::running.block->rank_in_cluster;
}
void cluster_barrier(std::source_location here) {
    emulator::cluster_barrier(here, [] {});
}

std::uint32_t shared_address(const void* address) {
    return static_cast<std::uint32_t>(static_cast<const std::byte*>(address) - shared_base());
}

void copy_box(const TensorMap& map, int x, int y, int z, void* to, Barrier& barrier) {
    copy(map, {x, y, z, 0, 0}, to, barrier);
}
void copy_box(const TensorMap& map, int x, int y, int z, int w, void* to, Barrier& barrier) {
    copy(map, {x, y, z, w, 0}, to, barrier);
}
void copy_box_to(unsigned blocks, const TensorMap& map, int x, int y, int z, void* to,
                 Barrier& barrier) {
    const Place target(to), end(&barrier);
    for (unsigned rank = 0; blocks >> rank != 0; ++rank)
        if (blocks >> rank & 1)
            with_block(rank, [&] {
                copy(map, {x, y, z, 0, 0}, &target.in_block<std::byte>(), end.in_block<Barrier>());
            });
}

void multiply(float (&sum)[64], std::uint64_t a, std::uint64_t b, bool add) {
    Lane mine{sum, a, b, add, static_cast<int>(emulator::running.rank / emulator::kWarp % 4)};
    emulator::warp_collective(~0u, multiply_rows, &mine);
}

}  // namespace cnpd::kernels::hopper
