// Work on many files at once, any of which may turn out to be bad.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>

#include "kernels/common/parallel.h"

namespace cnpd::datasets {

// Calls body(i) for 0 <= i < count on all cores. Of those that throw, the exception of the smallest
// i leaves here, whichever thread came first.
template <class Body>
void for_each_index(std::int64_t count, const Body& body) {
    std::mutex mutex;
    std::int64_t failed = count;
    std::exception_ptr error;
    kernels::parallel_for(count, 8, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) try {
                body(i);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (i < failed) {
                    failed = i;
                    error = std::current_exception();
                }
                return;
            }
    });
    if (error) std::rethrow_exception(error);
}

}  // namespace cnpd::datasets
