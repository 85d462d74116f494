// wgmma: products of a warpgroup. Each is carried out at a random moment between its start and the
// wait for its group; until then the registers of the sums hold NaN.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/common/hopper.h"
#include "kernels/emulator/hopper_state.h"

namespace cnpd::kernels::hopper {

using namespace emulator;

namespace {

constexpr int kRowsOfWarp = 16, kColumns = 128, kDepth = 16;
constexpr std::uint32_t kInFlight = 0x7FBADBAD;  // a NaN

using Lanes = std::span<void* const, kWarp>;

unsigned my_warp() {
    return running.rank / kWarp;
}
WarpProducts& products_of(unsigned warp) {
    return hopper_state(*running.block).warps[warp];
}

// Where an operand's elements are. `i` is its m or n. K-major: lines of k, one for each i. MN-major
// ("transposed"): lines of 64 i, one for each k.
struct Operand {
    bool transposed;
    std::uint32_t begin, leading, stride;  // address, and the descriptor's two strides

    std::uint32_t address(int i_of, int k_of) const {
        const auto i = static_cast<std::uint32_t>(i_of), k = static_cast<std::uint32_t>(k_of);
        if (transposed)
            return begin + i / 64 * leading + k / 8 * stride + k % 8 * kLineBytes + i % 64 * 2;
        return begin + i / 8 * stride + i % 8 * kLineBytes + k * 2;
    }
    // visit(address, bytes): the parts of lines with all k of i = first ... first + count - 1.
    template <typename Visit>
    void for_each_line(int first, int count, const Visit& visit) const {
        constexpr int kOfLine = 64;
        if (!transposed)
            for (int i = first; i < first + count; ++i) visit(address(i, 0), 2 * kDepth);
        else
            for (int i = first; i < first + count; i += kOfLine)
                for (int k = 0; k < kDepth; ++k) visit(address(i, k), 2 * std::min(count, kOfLine));
    }
};

Operand operand_of(std::uint64_t description, bool transposed) {
    const auto field = [description](int bit) {
        return static_cast<std::uint32_t>(description >> bit & 0x3FFF) << 4;
    };
    return {transposed, field(0), field(16), field(32)};
}

// Elements i = first ... first + count - 1 of an operand.
void read(const Operand& operand, int first, int count, float (*lines)[kDepth]) {
    for (int i = 0; i < count; ++i)
        for (int k = 0; k < kDepth; ++k) {
            bfloat16 value;
            std::memcpy(&value, shared_base() + swizzled(operand.address(first + i, k)),
                        sizeof value);
            lines[i][k] = value;
        }
}

int first_row(unsigned warp) {
    return static_cast<int>(warp % 4) * kRowsOfWarp;  // of the warpgroup's 64
}

// The 16 rows of one warp.
void carry_out(unsigned warp, WarpProducts& of_warp, const Product& product) {
    float rows[kRowsOfWarp][kDepth], columns[kColumns][kDepth];
    read(operand_of(product.a, product.transposed), first_row(warp), kRowsOfWarp, rows);
    read(operand_of(product.b, product.transposed), 0, kColumns, columns);
    for (std::size_t l = 0; l < kWarp; ++l) {
        Sums& sums = of_warp.in_flight.at(product.sum[l]);
        for (std::size_t i = 0; i < sums.values.size(); ++i) {
            const std::size_t j = i / 4, h = i / 2 % 2, e = i % 2;
            const float* row = rows[l / 4 + 8 * h];
            const float* column = columns[8 * j + 2 * (l % 4) + e];
            float total = product.add ? sums.values[i] : 0;
            for (int k = 0; k < kDepth; ++k) total += row[k] * column[k];
            sums.values[i] = total;
        }
    }
}

void carry_out_first(unsigned warp) {
    WarpProducts& of_warp = products_of(warp);
    carry_out(warp, of_warp, of_warp.queue.front());
    of_warp.queue.pop_front();
}

// Whether the line's data has arrived, and notes that this group reads it.
void check_line(std::uint32_t address, int bytes, std::uint32_t group) {
    BlockState& block = *running.block;
    HopperState& state = *block.hopper;
    const std::uint32_t at = address / kLineBytes;
    if (at >= state.lines.size())
        return report("an operand of wgmma is outside of the block's shared memory");
    Line& line = state.lines[at];
    if (line.copy && !knows_copy({&block, running.rank}, block, line.copy))
        return report(
            "multiplies shared memory that a copy writes, without having waited for "
            "its barrier");
    if (is_written_by_stores(at * kLineBytes + shared_base()))
        for (std::uint32_t piece = 0; piece < static_cast<std::uint32_t>(bytes); piece += 16)
            check_async_read(shared_base() + swizzled(address + piece), 16);
    line.read[my_warp()] = group;
}

void check_operand(std::uint64_t description, bool transposed, int first, int count,
                   std::uint32_t group) {
    if (description >> 62 != 1 || (description >> 49 & 7) != 0)
        return report("an operand of wgmma is not aligned or not in the 128-byte swizzle");
    const Operand operand = operand_of(description, transposed);
    // Along k, a K-major operand may begin within its lines.
    const std::uint32_t most = transposed ? 0 : 96;
    if (operand.begin / kLineBytes % 8 != 0 || operand.begin % kLineBytes > most)
        return report("an operand of wgmma does not begin at a multiple of 1024 bytes");
    operand.for_each_line(first, count, [group](std::uint32_t address, int bytes) {
        if (!is_faulty()) check_line(address, bytes, group);
    });
}

struct Lane {
    float* sum;
    std::uint64_t a, b;
    bool add, transposed;
};

void check_untouched(const float* sum) {
    const auto changed = [](float value) {
        return std::bit_cast<std::uint32_t>(value) != kInFlight;
    };
    if (std::any_of(sum, sum + 64, changed)) report("changes the registers of a product in flight");
}

void take_registers_of(WarpProducts& of_warp, std::size_t lane, float* sum) {
    const auto [found, is_new] = of_warp.in_flight.try_emplace(sum);
    Sums& sums = found->second;
    if (is_new) {
        std::copy_n(sum, sums.values.size(), sums.values.begin());
        if (!(of_warp.fenced >> lane & 1))
            report("starts a product without begin_products() after other uses of its registers");
    } else {
        check_untouched(sum);
    }
    std::fill_n(sum, sums.values.size(), std::bit_cast<float>(kInFlight));
    sums.group = of_warp.groups + 1;
}

void start(Lanes of_lane) {
    const Lane& any = *static_cast<Lane*>(of_lane[0]);
    const unsigned warp = my_warp();
    WarpProducts& of_warp = products_of(warp);
    Product product{of_warp.next_id++,  any.a, any.b, any.add, any.transposed,
                    of_warp.groups + 1, {}};
    check_operand(any.a, any.transposed, first_row(warp), kRowsOfWarp, product.group);
    check_operand(any.b, any.transposed, 0, kColumns, product.group);
    if (is_faulty()) return;
    for (std::size_t l = 0; l < kWarp; ++l) {
        product.sum[l] = static_cast<Lane*>(of_lane[l])->sum;
        take_registers_of(of_warp, l, product.sum[l]);
    }
    of_warp.queue.push_back(product);
    later(*running.block, [warp, id = product.id] {
        const auto& queue = products_of(warp).queue;
        if (!queue.empty() && queue.front().id <= id) carry_out_first(warp);
    });
}

// Sums of complete groups become the lanes' again.
void give_registers_back(WarpProducts& of_warp, std::uint32_t over) {
    for (auto at = of_warp.in_flight.begin(); at != of_warp.in_flight.end();) {
        const auto& [sum, sums] = *at;
        if (sums.group > over) {
            ++at;
            continue;
        }
        check_untouched(sum);
        std::copy(sums.values.begin(), sums.values.end(), sum);
        of_warp.fenced = 0;
        at = of_warp.in_flight.erase(at);
    }
}

void wait_for(std::uint32_t pending) {
    const unsigned warp = my_warp();
    WarpProducts& of_warp = products_of(warp);
    const std::uint32_t over = of_warp.groups - std::min(of_warp.groups, pending);
    while (!of_warp.queue.empty() && of_warp.queue.front().group <= over) carry_out_first(warp);
    give_registers_back(of_warp, over);
    know_products(warp, over);
}

}  // namespace

void fence_proxy_async() {
    running.block->fences[running.rank].push_back(stamp_of(*running.block, running.rank));
}

void begin_products() {
    products_of(my_warp()).fenced |= 1u << running.rank % kWarp;
}

void commit_products() {
    warp_collective(
        ~0u, [](Lanes) { ++products_of(my_warp()).groups; }, nullptr);
}

void wait_for_products_but(int pending) {
    warp_collective(
        ~0u, [](Lanes of_lane) { wait_for(*static_cast<const unsigned*>(of_lane[0])); }, &pending);
}

void multiply(float (&sum)[64], std::uint64_t a, std::uint64_t b, bool add) {
    Lane mine{sum, a, b, add, false};
    warp_collective(~0u, start, &mine);
}

void multiply_transposed(float (&sum)[64], std::uint64_t a, std::uint64_t b, bool add) {
    Lane mine{sum, a, b, add, true};
    warp_collective(~0u, start, &mine);
}

}  // namespace cnpd::kernels::hopper

void cnpd::kernels::emulator::check_products_at_end(const BlockState& block) {
    if (!block.hopper) return;
    for (unsigned warp = 0; warp < block.hopper->warps.size(); ++warp)
        if (!block.hopper->warps[warp].in_flight.empty()) {
            running.rank = warp * kWarp;
            report("ends without having waited for its products");
        }
}
