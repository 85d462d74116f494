#include "kernels/common/team.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <omp.h>

namespace cnpd::kernels {
namespace {

using Clock = std::chrono::steady_clock;

// A helper spins this long after its last loop. Longer than the serial code between two layers,
// short enough not to disturb other programs.
constexpr auto kSpin = std::chrono::microseconds(100);
// The caller spins this long for the last pieces, then sleeps: a helper may have lost its core.
constexpr auto kSpinForPieces = std::chrono::microseconds(50);

constexpr std::size_t kLine = 64;
constexpr int kMostThreads = 256;

thread_local bool computing = false;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

// True as soon as done() is, false after `limit`.
template <class Done>
bool spin(const Done& done, Clock::duration limit) {
    constexpr int kChecks = 64;  // between two looks at the clock
    const auto end = Clock::now() + limit;
    do {
        for (int i = 0; i < kChecks; ++i) {
            if (done()) return true;
            pause();
        }
    } while (Clock::now() < end);
    return false;
}

// The pieces that one thread begins with.
struct alignas(kLine) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
};

struct Loop {
    team::Body call = nullptr;
    const void* body = nullptr;
    int threads = 0;
    std::array<Share, kMostThreads> shares{};

    void compute(int thread) {
        for (int i = 0; i < threads; ++i) {
            Share& share = shares[(thread + i) % threads];
            for (;;) {
                if (share.next.load(std::memory_order_relaxed) >= share.end) break;
                const std::int64_t piece = share.next.fetch_add(1, std::memory_order_relaxed);
                if (piece >= share.end) break;
                call(body, piece, thread);
            }
        }
    }
};

class Pool {
  public:
    // False if another thread uses the helpers.
    bool run(std::int64_t pieces, int threads, team::Body call, const void* body) {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock) return false;
        // After a fork no helper ever comes, and the caller computes everything.
        start_helpers(threads - 1);
        loop_.call = call;
        loop_.body = body;
        loop_.threads = threads;
        for (int t = 0; t < threads; ++t) {
            loop_.shares[t].end = pieces * (t + 1) / threads;
            loop_.shares[t].next.store(pieces * t / threads, std::memory_order_relaxed);
        }
        present_.fetch_and(~kClosed, std::memory_order_release);
        const int helpers = std::min(threads - 1, static_cast<int>(helpers_.size()));
        for (int h = 0; h < helpers; ++h) {
            helpers_[h]->loops.fetch_add(1, std::memory_order_release);
            helpers_[h]->loops.notify_one();
        }
        computing = true;
        loop_.compute(0);
        computing = false;
        present_.fetch_or(kClosed, std::memory_order_acquire);
        const auto gone = [&] { return present_.load(std::memory_order_acquire) == kClosed; };
        while (!spin(gone, kSpinForPieces)) {
            const int now = present_.load(std::memory_order_acquire);
            if (now != kClosed) present_.wait(now, std::memory_order_acquire);
        }
        return true;
    }

  private:
    // present_: the helpers that may be computing pieces, and this bit between two loops.
    static constexpr int kClosed = 1 << 30;

    struct alignas(kLine) Helper {
        std::atomic<int> loops{0};  // that it was called to
    };

    void start_helpers(int count) {
        while (static_cast<int>(helpers_.size()) < count) try {
                helpers_.push_back(std::make_unique<Helper>());
                Helper& helper = *helpers_.back();
                const int thread = static_cast<int>(helpers_.size());
                std::thread([this, &helper, thread] { help(helper, thread); }).detach();
            } catch (const std::system_error&) {
                helpers_.pop_back();
                return;  // no more threads: the others do the work
            }
    }

    // The life of a helper. It never ends: the process exits without it.
    void help(Helper& helper, int thread) {
        omp_set_num_threads(1);  // what oneDNN may use here
        computing = true;
        for (int seen = 0;;) {
            const auto called = [&] {
                return helper.loops.load(std::memory_order_acquire) != seen;
            };
            if (!spin(called, kSpin)) helper.loops.wait(seen, std::memory_order_acquire);
            seen = helper.loops.load(std::memory_order_acquire);
            // A helper that is late finds the loop closed, or joins the one after it.
            if (!(present_.fetch_add(1, std::memory_order_acquire) & kClosed) &&
                thread < loop_.threads)
                loop_.compute(thread);
            if (present_.fetch_sub(1, std::memory_order_release) - 1 == kClosed)
                present_.notify_one();
        }
    }

    std::mutex mutex_;  // held during a loop
    std::vector<std::unique_ptr<Helper>> helpers_;
    Loop loop_;
    alignas(kLine) std::atomic<int> present_{kClosed};
};

// Never destroyed: helpers may still look at it while the process exits.
Pool& pool() {
    static auto* const instance = new Pool;
    return *instance;
}

}  // namespace

bool in_team() {
    return computing;
}

void team::run(std::int64_t pieces, int threads, Body call, const void* body) {
    threads = static_cast<int>(
        std::min<std::int64_t>({static_cast<std::int64_t>(threads), pieces, kMostThreads}));
    if (threads > 1 && !computing && pool().run(pieces, threads, call, body)) return;
    for (std::int64_t piece = 0; piece < pieces; ++piece) call(body, piece, 0);
}

}  // namespace cnpd::kernels
