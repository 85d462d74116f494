// Runs a kernel with several numbers of threads.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include "tests/support/compare.h"

namespace cnpd::tests {

// OpenMP's number of threads during a scope.
class TeamOf {
  public:
    explicit TeamOf(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
    ~TeamOf() { omp_set_num_threads(before_); }
    TeamOf(const TeamOf&) = delete;
    TeamOf& operator=(const TeamOf&) = delete;

  private:
    int before_;
};

template <class T>
std::int64_t first_difference(const std::vector<T>& one, const std::vector<T>& other) {
    for (std::size_t i = 0; i < one.size(); ++i)
        if (std::memcmp(&one[i], &other[i], sizeof(T)) != 0) return static_cast<std::int64_t>(i);
    return -1;
}

// run(outputs...) with 1, 2, 3 and 7 threads must give the same bytes in all outputs, which are
// reset to their initial values before each run.
template <class Run, class... Outputs>
void same_on_every_team(const Run& run, const Outputs&... outputs) {
    const auto on_team = [&](int threads) {
        std::tuple<Outputs...> copies(outputs...);
        const TeamOf team(threads);
        std::apply([&](auto&... each) { run(each.data()...); }, copies);
        return copies;
    };
    const auto expected = on_team(1);
    for (const int threads : {2, 3, 7}) {
        const auto actual = on_team(threads);
        int which = 0;
        const auto compare = [&](const auto& one, const auto& other) {
            const std::int64_t at = first_difference(one, other);
            CHECK_MESSAGE(
                at < 0, fmt::format("output {}: element {} is {} with 1 thread, {} with {}", which,
                                    at, at < 0 ? 0.0 : static_cast<double>(one[at]),
                                    at < 0 ? 0.0 : static_cast<double>(other[at]), threads));
            ++which;
        };
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (compare(std::get<I>(expected), std::get<I>(actual)), ...);
        }
        (std::index_sequence_for<Outputs...>());
    }
}

// NaNs, so that elements that are not written are detected.
//
inline std::vector<float> unwritten(std::int64_t count) {
    return std::vector<float>(static_cast<std::size_t>(count),
                              std::numeric_limits<float>::quiet_NaN());
}

}  // namespace cnpd::tests
