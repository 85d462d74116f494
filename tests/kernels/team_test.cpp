#include "kernels/common/team.h"

#include <atomic>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "kernels/common/parallel.h"
#include "tests/support/teams.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// How often each piece was computed, and whether every thread's number was below `threads`.
struct Record {
    std::vector<std::atomic<int>> times;
    std::atomic<bool> numbers_fit{true};

    Record(std::int64_t pieces, int threads) : times(static_cast<std::size_t>(pieces)) {
        run_pieces(pieces, threads, [&](std::int64_t piece, int thread) {
            ++times[static_cast<std::size_t>(piece)];
            if (thread < 0 || thread >= threads) numbers_fit = false;
        });
    }
    bool each_once() const {
        for (const auto& count : times)
            if (count != 1) return false;
        return true;
    }
};

}  // namespace

TEST_CASE("team: every piece is computed once, in many loops after each other") {
    for (const int threads : {1, 2, 3, 8})
        for (int loop = 0; loop < 300; ++loop) {
            const Record record(loop % 37, threads);
            REQUIRE(record.each_once());
            REQUIRE(record.numbers_fit);
        }
}

TEST_CASE("team: helpers that went to sleep come back") {
    for (int loop = 0; loop < 3; ++loop) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        REQUIRE(Record(1000, 3).each_once());
    }
}

// A thread's pieces share its memory, so no two of them may run at the same time.
TEST_CASE("team: two threads of a loop have different numbers") {
    std::vector<std::atomic<int>> busy(4);
    std::atomic<bool> alone{true};
    for (int loop = 0; loop < 20; ++loop)
        run_pieces(64, 4, [&](std::int64_t, int thread) {
            if (busy[static_cast<std::size_t>(thread)]++ != 0) alone = false;
            std::this_thread::sleep_for(std::chrono::microseconds(20));
            --busy[static_cast<std::size_t>(thread)];
        });
    CHECK(alone);
}

TEST_CASE("team: a loop in a piece runs on the piece's thread") {
    std::atomic<int> inner{0};
    std::atomic<bool> same_thread{true};
    CHECK_FALSE(in_team());
    run_pieces(8, 4, [&](std::int64_t, int) {
        const auto outer = std::this_thread::get_id();
        if (!in_team()) same_thread = false;
        run_pieces(5, 4, [&](std::int64_t, int thread) {
            ++inner;
            if (std::this_thread::get_id() != outer || thread != 0) same_thread = false;
        });
    });
    CHECK(inner == 40);
    CHECK(same_thread);
    CHECK_FALSE(in_team());
}

TEST_CASE("team: several threads of the program may run loops at the same time") {
    std::atomic<bool> right{true};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([&] {
            for (int loop = 0; loop < 200; ++loop)
                if (!Record(23, 3).each_once()) right = false;
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(right);
}

TEST_CASE("team: an exception in a piece reaches the caller, and the next loop works") {
    const TeamOf team(3);
    CHECK_THROWS_AS(for_each_piece(9,
                                   [](std::int64_t piece, int) {
                                       if (piece == 5) throw cnpd::Error("of a piece");
                                   }),
                    cnpd::Error);
    CHECK(Record(9, 3).each_once());
}
