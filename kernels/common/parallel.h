// Loops over all cores. OpenMP underneath, shared with oneDNN, so that there is one pool of
// threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include <omp.h>

namespace cnpd::kernels {

// Threads that parallel loops use.
inline int thread_count() {
    return omp_get_max_threads();
}

// Calls body(first, last) on disjoint ranges that together are [0, count), each at least `grain`
// long while there is more than one. The split depends on `count`, `grain` and the number of
// threads alone, so results that depend on it repeat from run to run. The body must not throw.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
    if (count <= 0) return;
    const std::int64_t parts =
        std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1, thread_count());
    if (parts == 1 || omp_in_parallel()) {
        body(std::int64_t{0}, count);
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(parts))
    for (std::int64_t part = 0; part < parts; ++part)
        body(count * part / parts, count * (part + 1) / parts);
}

}  // namespace cnpd::kernels
