// Loops over all cores, on the threads of team.h. OpenMP's setting says how many there are.
//
// The same bits for any number of threads: a sum is cut into parts whose number follows from sizes
// alone, each part is summed by one thread, and the parts are added up in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>

#include <omp.h>

#include "kernels/common/team.h"

namespace cnpd::kernels {

// The most parts that a sum is cut into. Enough to balance the load of many threads.
inline constexpr std::int64_t kMostParts = 32;

// Threads that parallel loops use.
inline int thread_count() {
    return omp_get_max_threads();
}

// Threads for so many floating-point operations. A thread that spins answers within 1 us, but half
// of the data comes from the cache of the core that computed the layer before: a single image of a
// narrow network is faster on one core.
inline int team_for(std::int64_t operations) {
    constexpr std::int64_t kShare = 4 << 20;
    if (in_team()) return 1;
    return static_cast<int>(std::clamp<std::int64_t>(operations / kShare, 1, thread_count()));
}

// Calls body(first, last) on disjoint ranges that together are [0, count), each at least about
// `grain` long if there is more than one. The ranges depend on the number of threads, so an
// element's result must not depend on its range. Long ranges begin at multiples of 64: an element
// then always has the same place in a vector and is computed by the same instructions. The body
// must not throw.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
    constexpr std::int64_t kLong = 1024, kUnit = 64;
    if (count <= 0) return;
    const std::int64_t parts =
        std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1, thread_count());
    if (parts == 1 || in_team()) {
        body(std::int64_t{0}, count);
        return;
    }
    const std::int64_t unit = grain >= kLong ? kUnit : 1;
    const auto begin = [=](std::int64_t part) {
        return part == parts ? count : count * part / parts / unit * unit;
    };
    run_pieces(parts, static_cast<int>(parts),
               [&](std::int64_t part, int) { body(begin(part), begin(part + 1)); });
}

// For the lifetime of the object, work called by this thread runs on this thread alone: oneDNN asks
// OpenMP how many threads it may use.
class OneThread {
  public:
    OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
    ~OneThread() { omp_set_num_threads(before_); }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

  private:
    int before_;
};

// The number of threads that share so many pieces.
inline int team_size(std::int64_t pieces) {
    if (in_team()) return 1;
    return static_cast<int>(std::clamp<std::int64_t>(pieces, 1, thread_count()));
}

// Calls body(piece, thread) once for each piece in [0, pieces), each on one thread; threads are
// numbered from 0 to team_size(pieces) - 1. Pieces may be of unequal size. An exception of the body
// is rethrown.
template <class Body>
void for_each_piece(std::int64_t pieces, const Body& body) {
    const int threads = team_size(pieces);
    if (threads == 1) {
        const OneThread alone;
        for (std::int64_t piece = 0; piece < pieces; ++piece) body(piece, 0);
        return;
    }
    std::exception_ptr failure;
    std::mutex mutex;
    const OneThread alone;
    run_pieces(pieces, threads, [&](std::int64_t piece, int thread) {
        try {
            body(piece, thread);
        } catch (...) {
            const std::lock_guard lock(mutex);
            failure = std::current_exception();
        }
    });
    if (failure) std::rethrow_exception(failure);
}

}  // namespace cnpd::kernels
