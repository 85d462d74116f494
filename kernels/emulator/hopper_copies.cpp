// Copies of boxes: started by a thread, carried out at a random later moment.
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "kernels/common/hopper.h"
#include "kernels/emulator/hopper_state.h"
#include "kernels/emulator/place.h"
#include "kernels/emulator/trace.h"

namespace cnpd::kernels::hopper {

using namespace emulator;

namespace {

constexpr std::uintptr_t kAlignment = 1024;
constexpr int kMostRank = 5;
constexpr std::uint32_t kMostBox = 256;
constexpr std::uint64_t kMostStride = std::uint64_t{1} << 40, kMostSize = std::uint64_t{1} << 32;

std::uint32_t box_bytes(const TensorBoxes& boxes) {
    std::uint32_t bytes = sizeof(bfloat16);
    for (int d = 0; d < boxes.rank; ++d) bytes *= boxes.box[d];
    return bytes;
}

struct Box {
    TensorMap map;
    std::int64_t first[kMostRank];
};

// Element `i` of the box, zero outside of the tensor.
bfloat16 element(const Box& box, std::uint32_t i) {
    const TensorBoxes& b = box.map.boxes;
    std::int64_t offset = 0;
    for (int d = 0; d < b.rank; i /= b.box[d], ++d) {
        const std::int64_t at = box.first[d] + i % b.box[d];
        if (at < 0 || at >= static_cast<std::int64_t>(b.size[d])) return bfloat16::from_bits(0);
        offset += at * static_cast<std::int64_t>(d ? b.stride[d - 1] : sizeof(bfloat16));
    }
    bfloat16 value;
    std::memcpy(&value, reinterpret_cast<const char*>(box.map.data) + offset, sizeof value);
    return value;
}

// The part of the box that is inside of the tensor.
std::int64_t bytes_to_read(const Box& box) {
    const TensorBoxes& b = box.map.boxes;
    std::int64_t bytes = sizeof(bfloat16);
    for (int d = 0; d < b.rank; ++d) {
        const auto size = static_cast<std::int64_t>(b.size[d]);
        const std::int64_t begin = std::clamp<std::int64_t>(box.first[d], 0, size);
        bytes *= std::clamp<std::int64_t>(box.first[d] + b.box[d], begin, size) - begin;
    }
    return bytes;
}

void note(const Box& box) {
    if (Trace* const trace = Trace::current())
        trace->copy(running.launch->name, bytes_to_read(box));
}

void write(const Box& box, std::byte* to) {
    const std::uint32_t begin = shared_address(to), count = box_bytes(box.map.boxes) / 2;
    for (std::uint32_t i = 0; i < count; ++i) {
        const bfloat16 value = element(box, i);
        std::memcpy(shared_base() + swizzled(begin + 2 * i), &value, sizeof value);
    }
}

// Whether the lines may be overwritten: nobody reads or writes them any more, as far as the thread
// that starts the copy can know.
void check_target(const Actor& who, std::uint32_t begin, std::uint32_t bytes) {
    const BlockState& block = *running.block;
    const HopperState& state = *block.hopper;
    for (std::uint32_t at = begin / kLineBytes; at < (begin + bytes) / kLineBytes; ++at) {
        const Line& line = state.lines[at];
        if (line.copy && !knows_copy(who, block, line.copy))
            return report(
                "starts a copy to shared memory that another copy writes, without "
                "having waited for it");
        for (unsigned warp = 0; warp < state.warps.size(); ++warp)
            if (line.read[warp] && !knows_products(who, block, warp, line.read[warp]))
                return report(fmt::format("starts a copy to shared memory that products of thread "
                                          "{} may still read: no arrival after their wait",
                                          thread_name(warp * kWarp))
                                  .c_str());
    }
}

// In the running block, on behalf of a thread that may belong to another.
void start(const Actor& who, const Box& box, std::byte* to, Barrier& barrier) {
    BarrierRecord* const record = barrier_record(barrier);
    if (!record) return;
    if (!record->published)
        report("copies to a barrier that has not been published for the copy engine");
    HopperState& state = *running.block->hopper;
    const std::uint32_t begin = shared_address(to), bytes = box_bytes(box.map.boxes);
    check_target(who, begin, bytes);
    const auto number = static_cast<std::uint32_t>(state.copies.size());
    begin_box_write(to, bytes, who, number);
    if (is_faulty()) return;
    state.copies.push_back({.barrier = record->index, .phase = 0, .in_flight = true});
    for (std::uint32_t at = begin / kLineBytes; at < (begin + bytes) / kLineBytes; ++at)
        state.lines[at].copy = number;
    later(*running.block, [=, &barrier] {
        write(box, to);
        HopperState& there = *running.block->hopper;
        there.copies[number].in_flight = false;
        there.copies[number].phase = barrier_record(barrier)->phases;
        write_completes(barrier, static_cast<std::int32_t>(bytes));
    });
}

void check_arguments(const TensorMap& map, int rank, const Place& target) {
    if (map.boxes.rank != rank)
        report(fmt::format("a copy with {} coordinates of a tensor of {} dimensions", rank,
                           map.boxes.rank)
                   .c_str());
    if (!target.is_dynamic()) report("copies of boxes to static shared memory are not emulated");
    if (shared_address(&target.here<std::byte>()) % kLineBytes != 0)
        report("a copy to shared memory that is not aligned to 128 bytes");
    const std::byte* const end = &target.here<std::byte>() + box_bytes(map.boxes);
    if (end > running.block->dynamic_shared + running.launch->dynamic_shared)
        report("a copy beyond the end of the block's shared memory");
}

void copy_here(const Box& box, int rank, void* to, Barrier& barrier) {
    check_arguments(box.map, rank, Place(to));
    if (is_faulty()) return;
    note(box);
    start({running.block, running.rank}, box, static_cast<std::byte*>(to), barrier);
}

void check_boxes(const bfloat16* data, const TensorBoxes& boxes) {
    const auto refuse = [](const std::string& why) { throw CudaError("tensor map: " + why); };
    if (boxes.rank < 1 || boxes.rank > kMostRank)
        refuse(fmt::format("{} dimensions (1 to 5 are possible)", boxes.rank));
    if (reinterpret_cast<std::uintptr_t>(data) % 16 != 0) refuse("not aligned to 16 bytes");
    if (boxes.box[0] * sizeof(bfloat16) != kLineBytes)
        refuse("the lines of a box are not 128 bytes long, the period of the swizzle");
    for (int d = 0; d < boxes.rank; ++d) {
        if (boxes.size[d] == 0 || boxes.size[d] > kMostSize)
            refuse(fmt::format("size {} is not between 1 and 2^32", boxes.size[d]));
        if (boxes.box[d] == 0 || boxes.box[d] > kMostBox)
            refuse(fmt::format("a box of {} elements in one dimension (1 to 256 are possible)",
                               boxes.box[d]));
        if (d > 0 && (boxes.stride[d - 1] % 16 != 0 || boxes.stride[d - 1] >= kMostStride))
            refuse(fmt::format("a stride of {} bytes is not a multiple of 16 or too large",
                               boxes.stride[d - 1]));
    }
}

}  // namespace

TensorMap tensor_map(const bfloat16* data, const TensorBoxes& boxes) {
    check_boxes(data, boxes);
    return {data, boxes};
}

std::uint32_t shared_address(const void* address) {
    return static_cast<std::uint32_t>(static_cast<const std::byte*>(address) - shared_base());
}

void copy_box(const TensorMap& map, int x, int y, int z, void* to, Barrier& barrier) {
    copy_here({map, {x, y, z}}, 3, to, barrier);
}
void copy_box(const TensorMap& map, int x, int y, int z, int w, void* to, Barrier& barrier) {
    copy_here({map, {x, y, z, w}}, 4, to, barrier);
}
void copy_box_to(unsigned blocks, const TensorMap& map, int x, int y, int z, void* to,
                 Barrier& barrier) {
    const Place target(to), end(&barrier);
    check_arguments(map, 3, target);
    const Actor me{running.block, running.rank};
    const Box box{map, {x, y, z}};
    if (!is_faulty()) note(box);
    for (unsigned rank = 0; blocks >> rank != 0 && !is_faulty(); ++rank)
        if (blocks >> rank & 1)
            in_block_of_rank(
                rank, [&] { start(me, box, &target.here<std::byte>(), end.here<Barrier>()); });
}

}  // namespace cnpd::kernels::hopper

std::byte* cnpd::kernels::emulator::shared_base() {
    const auto begin = reinterpret_cast<std::uintptr_t>(running.block->dynamic_shared);
    return reinterpret_cast<std::byte*>(begin / hopper::kAlignment * hopper::kAlignment);
}
