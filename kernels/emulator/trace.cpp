#include "kernels/emulator/trace.h"

#include <algorithm>
#include <array>
#include <set>

#include "kernels/emulator/state.h"

namespace cnpd::kernels::emulator {
namespace {

constexpr std::uintptr_t kSector = 32, kBankBytes = 4, kBanks = 32;

thread_local Trace* current_trace = nullptr;

// The largest number of different words that one bank has to deliver.
std::int64_t wavefronts(const std::set<std::uintptr_t>& words) {
    std::array<std::int64_t, kBanks> in_bank{};
    for (const std::uintptr_t word : words) ++in_bank[word % kBanks];
    return *std::max_element(in_bank.begin(), in_bank.end());
}

}  // namespace

Trace::Trace() {
    CNPD_CHECK(!current_trace, "another trace is active on this thread");
    current_trace = this;
}

Trace::~Trace() {
    current_trace = nullptr;
}

Trace* Trace::current() {
    return current_trace;
}

void Trace::access(const Access& access) {
    const unsigned rank = running.rank;
    const std::uint32_t block = running.block->serial;
    const std::uint32_t time = times_[{block, rank, access.code}]++;
    Together& together = steps_[{block, rank / kWarp, access.code, time}];
    together.bytes = access.bytes;
    together.write = access.write;
    together.shared = access.shared;
    together.addresses.emplace_back(rank % kWarp, reinterpret_cast<std::uintptr_t>(access.address));
}

void Trace::block_end(const char* kernel, std::uint32_t block) {
    MemoryCounts& counts = counts_[kernel];
    const auto first = steps_.lower_bound({block, 0, nullptr, 0}),
               end = steps_.lower_bound({block + 1, 0, nullptr, 0});
    for (auto at = first; at != end; ++at) {
        const Together& together = at->second;
        const auto bytes = static_cast<std::int64_t>(together.bytes * together.addresses.size());
        if (!together.shared) {
            std::set<std::uintptr_t> sectors;
            for (const auto& [lane, address] : together.addresses)
                for (auto sector = address / kSector;
                     sector <= (address + together.bytes - 1) / kSector; ++sector)
                    sectors.insert(sector);
            const auto moved = static_cast<std::int64_t>(sectors.size());
            (together.write ? counts.store_requests : counts.load_requests) += 1;
            (together.write ? counts.store_sectors : counts.load_sectors) += moved;
            (together.write ? counts.store_bytes : counts.load_bytes) += bytes;
            continue;
        }
        // Wide accesses are served for as many lanes at a time as move 128 bytes.
        const auto lanes_at_once =
            static_cast<unsigned>(kWarp / std::max<std::size_t>(1, together.bytes / kBankBytes));
        std::map<unsigned, std::set<std::uintptr_t>> parts;
        for (const auto& [lane, address] : together.addresses)
            for (auto word = address / kBankBytes;
                 word <= (address + together.bytes - 1) / kBankBytes; ++word)
                parts[lane / lanes_at_once].insert(word);
        ++counts.shared_requests;
        counts.shared_least_wavefronts += static_cast<std::int64_t>(parts.size());
        for (const auto& [part, words] : parts) counts.shared_wavefronts += wavefronts(words);
    }
    steps_.erase(first, end);
    times_.erase(times_.lower_bound({block, 0, nullptr}),
                 times_.lower_bound({block + 1, 0, nullptr}));
}

}  // namespace cnpd::kernels::emulator
