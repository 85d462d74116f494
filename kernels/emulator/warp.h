// Interaction of one thread of an emulated block with the others: barriers, and the collectives of
// its warp. Every function here may let other threads run before it returns.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <span>

namespace cnpd::kernels::emulator {

constexpr int kWarp = 32;

// The calling thread's lane in its warp.
int lane();

// All threads of the block. `where` is the barrier's place in the source: see barriers.h.
void block_barrier(std::source_location where);
// The lanes of the mask, which must contain the caller.
void warp_barrier(unsigned mask, std::source_location where);

// A step that the lanes of a mask take together. The last lane to arrive calls `combine` with the
// arguments of all lanes ([32], null for lanes outside of the mask); then all lanes continue. As in
// CUDA, it does not order their memory accesses.
using Combine = void (*)(std::span<void* const, kWarp> of_lane);
void warp_collective(unsigned mask, Combine combine, void* mine);

// Reports a fault of the running kernel, which ends: launch() throws. Returns if called from inside
// of a memory access, because the compiler expects accesses not to throw.
void report(const char* what);

template <typename T>
T shuffle(unsigned mask, T value, int source) {
    struct Exchange {
        T in, out;
        int source;
    } mine{value, value, source};
    warp_collective(
        mask,
        [](std::span<void* const, kWarp> of_lane) {
            for (void* const each : of_lane)
                if (auto* taker = static_cast<Exchange*>(each)) {
                    const auto* giver = static_cast<Exchange*>(of_lane[taker->source & 31]);
                    if (giver)
                        taker->out = giver->in;
                    else
                        report("a shuffle from a lane outside of its mask");
                }
        },
        &mine);
    return mine.out;
}

inline unsigned ballot(unsigned mask, bool predicate) {
    struct Vote {
        bool in;
        unsigned out;
    } mine{predicate, 0};
    warp_collective(
        mask,
        [](std::span<void* const, kWarp> of_lane) {
            unsigned votes = 0;
            for (int i = 0; i < kWarp; ++i)
                if (of_lane[i] && static_cast<Vote*>(of_lane[i])->in) votes |= 1u << i;
            for (void* const each : of_lane)
                if (each) static_cast<Vote*>(each)->out = votes;
        },
        &mine);
    return mine.out;
}

// The lanes of the mask that passed the same value.
template <typename T>
unsigned match(unsigned mask, T value) {
    struct Value {
        T in;
        unsigned alike;
    } mine{value, 0};
    warp_collective(
        mask,
        [](std::span<void* const, kWarp> of_lane) {
            for (void* const each : of_lane)
                if (auto* one = static_cast<Value*>(each))
                    for (int i = 0; i < kWarp; ++i)
                        if (of_lane[i] && static_cast<Value*>(of_lane[i])->in == one->in)
                            one->alike |= 1u << i;
        },
        &mine);
    return mine.alike;
}

// __threadfence()
void thread_fence(std::source_location where);

// Checked by memory_checks.cpp, like all other accesses. `code` is the address in the program.
void check_atomic(const void* address, std::size_t bytes, const void* code);
void check_vector(const void* address, std::size_t bytes, bool write, const void* code);

// The compiler's checks are off here: threads may access the same place in an atomic.
template <typename T, typename Change>
__attribute__((no_sanitize("thread"), noinline)) T atomically(T* address, Change change) {
    check_atomic(address, sizeof(T), __builtin_return_address(0));
    const T old = *address;
    *address = change(old);
    return old;
}

}  // namespace cnpd::kernels::emulator
