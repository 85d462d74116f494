// Parallel work on files, any of which may be invalid.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>

#include "kernels/common/parallel.h"

namespace cnpd::datasets {

// The smallest index that failed, and its exception; `index` is the count if none failed.
struct Failure {
    std::int64_t index;
    std::exception_ptr error = {};

    void rethrow() const {
        if (error) std::rethrow_exception(error);
    }
};

// Calls body(i) for 0 <= i < count on all cores. All indices before the failed one are done, and
// possibly some after it.
template <class Body>
[[nodiscard]] Failure for_each_index(std::int64_t count, const Body& body) {
    std::mutex mutex;
    Failure failure{.index = count};
    kernels::parallel_for(count, 8, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) try {
                body(i);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (i < failure.index) failure = {.index = i, .error = std::current_exception()};
                return;
            }
    });
    return failure;
}

}  // namespace cnpd::datasets
