#include "kernels/emulator/block.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>

#include "kernels/emulator/barriers.h"
#include "kernels/emulator/device_memory.h"
#include "kernels/emulator/state.h"
#include "kernels/emulator/trace.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

constinit thread_local uint3 threadIdx{}, blockIdx{};
constinit thread_local dim3 blockDim{}, gridDim{};

namespace cnpd::kernels::emulator {
namespace {

namespace context = boost::context;

constexpr unsigned kMaxThreads = 1024;
constexpr std::size_t kStackBytes = 256 << 10;

// Tells AddressSanitizer which stack is in use: constructed before a switch to another stack,
// destroyed when this one runs again.
class StackSwitch {
  public:
#if defined(__SANITIZE_ADDRESS__)
    StackSwitch(const void* bottom, std::size_t bytes) {
        __sanitizer_start_switch_fiber(&fake_, bottom, bytes);
    }
    ~StackSwitch() {
        __sanitizer_finish_switch_fiber(fake_, nullptr, nullptr);
    }
    static void arrive(const void** from, std::size_t* bytes) {
        __sanitizer_finish_switch_fiber(nullptr, from, bytes);
    }
    static void leave(const void* bottom, std::size_t bytes) {
        __sanitizer_start_switch_fiber(nullptr, bottom, bytes);
    }

  private:
    void* fake_ = nullptr;
#else
    StackSwitch(const void*, std::size_t) {}
    ~StackSwitch() {}
    static void arrive(const void**, std::size_t*) {}
    static void leave(const void*, std::size_t) {}
#endif
};

// A stack for CUDA threads that run one after the other.
class Worker {
  public:
    template <typename Body>
    explicit Worker(Body body) {
        context::protected_fixedsize_stack allocator(kStackBytes);
        const context::stack_context stack = allocator.allocate();
        bytes_ = stack.size;
        bottom_ = static_cast<std::byte*>(stack.sp) - bytes_;
        fiber_ =
            context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack),
                           allocator, body);
    }
    ~Worker() {
        const StackSwitch there(bottom_, bytes_);
        fiber_ = {};  // unwinds its frames
    }
    bool holds(const void* address) const {
        return static_cast<std::size_t>(static_cast<const std::byte*>(address) - bottom_) < bytes_;
    }
    void resume() {
        const StackSwitch there(bottom_, bytes_);
        fiber_ = std::move(fiber_).resume();
    }

  private:
    context::fiber fiber_;
    const std::byte* bottom_ = nullptr;
    std::size_t bytes_ = 0;
};

struct Thread {
    std::unique_ptr<Worker> worker;  // null: not started
    void* brought = nullptr;         // argument of the collective in which it waits
    bool waits = false, done = false;
};

// A collective that some lanes of a warp have reached.
struct Meeting {
    unsigned mask = 0, arrived = 0;  // mask 0: no lane waits
    Combine combine = nullptr;
};

// Exactly the requested size, so that AddressSanitizer finds accesses beyond its end.
class SharedMemory {
  public:
    explicit SharedMemory(std::size_t bytes)
        : data_(bytes ? static_cast<std::byte*>(::operator new(bytes, kAlignment)) : nullptr) {}
    ~SharedMemory() { ::operator delete(data_, kAlignment); }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    std::byte* data() const { return data_; }

  private:
    static constexpr std::align_val_t kAlignment{128};
    std::byte* data_;
};

class Runner {
  public:
    void run(const Launch& launch, const Kernel& kernel);

    void block_barrier(std::source_location where);
    void warp_barrier(unsigned mask, std::source_location where);
    void let_others_run();
    // True for the last lane to arrive.
    bool collective(unsigned mask, Combine combine, void* mine);
    bool on_stack_of_thread(const void* address) const;
    void set_seed(std::uint64_t seed) {
        random_ = seed * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u;
    }

    // xorshift64*; good enough for the order of threads.
    std::uint64_t draw(std::uint64_t bound);

    BlockState state;

  private:
    void run_block();
    void start(unsigned thread);
    bool take_new(unsigned& thread);
    void resume(unsigned thread);
    context::fiber work(context::fiber&& scheduler);
    void leave();
    void run_threads();
    void wait();
    void release(unsigned thread);
    void report_stuck();
    std::unique_ptr<Worker> worker();

    const Kernel* kernel_ = nullptr;
    unsigned count_ = 0, ended_ = 0, at_barrier_ = 0;
    std::vector<Thread> threads_;
    std::vector<std::vector<Meeting>> meetings_;  // of each warp: several where masks are disjoint
    std::vector<unsigned> not_started_, ready_;
    std::vector<std::unique_ptr<Worker>> idle_;
    const Worker* running_ = nullptr;
    context::fiber scheduler_;
    const void* host_stack_ = nullptr;
    std::size_t host_stack_bytes_ = 0;
    std::uint64_t random_ = 1;
};

Runner& runner() {
    thread_local Runner runner;
    thread_local const bool seeded = [] {
        const char* seed = std::getenv("CNPD_EMULATOR_SEED");
        runner.set_seed(seed ? std::strtoull(seed, nullptr, 10) : 0);
        return true;
    }();
    (void)seeded;
    return runner;
}

void select(unsigned rank, const dim3& block) {
    threadIdx = {rank % block.x, rank / block.x % block.y, rank / block.x / block.y};
}

std::uint64_t Runner::draw(std::uint64_t bound) {
    random_ ^= random_ >> 12;
    random_ ^= random_ << 25;
    random_ ^= random_ >> 27;
    return (random_ * 0x2545F4914F6CDD1Du >> 32) * bound >> 32;
}

void Runner::run(const Launch& launch, const Kernel& kernel) {
    CNPD_CHECK(!state.launch, fmt::format("kernel {} launched from inside a kernel", launch.name));
    count_ = launch.block.x * launch.block.y * launch.block.z;
    if (count_ == 0 || count_ > kMaxThreads)
        throw KernelFault(fmt::format("kernel {}: {} threads per block (1 to 1024 are possible)",
                                      launch.name, count_));
    if (launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0 || launch.grid.y > 65535 ||
        launch.grid.z > 65535)
        throw KernelFault(fmt::format("kernel {}: a grid of {} x {} x {} blocks is not possible",
                                      launch.name, launch.grid.x, launch.grid.y, launch.grid.z));
    kernel_ = &kernel;
    state.launch = &launch;
    state.fault.clear();
    const SharedMemory dynamic(launch.dynamic_shared);
    state.dynamic_shared = dynamic.data();
    blockDim = launch.block;
    gridDim = launch.grid;
    for (unsigned z = 0; z < launch.grid.z && state.fault.empty(); ++z)
        for (unsigned y = 0; y < launch.grid.y && state.fault.empty(); ++y)
            for (unsigned x = 0; x < launch.grid.x && state.fault.empty(); ++x) {
                blockIdx = {x, y, z};
                run_block();
            }
    state.launch = nullptr;
    if (!state.fault.empty()) throw KernelFault(std::exchange(state.fault, {}));
}

void Runner::run_block() {
    ++state.serial;
    state.block_epoch = 0;
    const unsigned warps = (count_ + kWarp - 1) / kWarp;
    state.warp_epoch.assign(warps, 0);
    state.copies.assign(count_, {});
    meetings_.assign(warps, {});
    threads_.clear();
    threads_.resize(count_);
    ready_.clear();
    ended_ = at_barrier_ = 0;
    not_started_.resize(count_);
    for (unsigned i = 0; i < count_; ++i) {
        const auto other = static_cast<unsigned>(draw(i + 1));
        not_started_[i] = not_started_[other];
        not_started_[other] = i;
    }
    while (ended_ < count_ && state.fault.empty()) {
        unsigned next = 0;
        if (!ready_.empty() && (not_started_.empty() || draw(2))) {
            std::swap(ready_[draw(ready_.size())], ready_.back());
            next = ready_.back();
            ready_.pop_back();
        } else if (!take_new(next)) {
            report_stuck();
            break;
        }
        resume(next);
    }
    if (Trace* trace = Trace::current()) trace->block_end(state.launch->name);
    threads_.clear();  // after a fault: unwinds the waiting threads
}

bool Runner::take_new(unsigned& thread) {
    if (not_started_.empty()) return false;
    thread = not_started_.back();
    not_started_.pop_back();
    return true;
}

std::unique_ptr<Worker> Runner::worker() {
    if (idle_.empty())
        return std::make_unique<Worker>(
            [this](context::fiber&& scheduler) { return work(std::move(scheduler)); });
    auto worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
}

void Runner::resume(unsigned thread) {
    Thread& next = threads_[thread];
    if (!next.worker) next.worker = worker();
    state.rank = thread;
    select(thread, blockDim);
    running_ = next.worker.get();
    next.worker->resume();
    // Another thread may be the last one that ran on this stack: see run_threads.
    Thread& last = threads_[state.rank];
    if (&last != &next) last.worker = std::move(next.worker);
    if (last.done) idle_.push_back(std::move(last.worker));
}

// The body of a worker: runs threads until the worker is destroyed.
context::fiber Runner::work(context::fiber&& scheduler) {
    StackSwitch::arrive(&host_stack_, &host_stack_bytes_);
    scheduler_ = std::move(scheduler);
    try {
        for (;;) {
            run_threads();
            leave();
        }
    } catch (const context::detail::forced_unwind&) {
        StackSwitch::leave(host_stack_, host_stack_bytes_);
        throw;
    }
}

void Runner::leave() {
    const StackSwitch away(host_stack_, host_stack_bytes_);
    scheduler_ = std::move(scheduler_).resume();
}

// A thread that ends leaves its stack to one that has not started, without a switch.
void Runner::run_threads() {
    for (;;) {
        try {
            (*kernel_)();
        } catch (const context::detail::forced_unwind&) {
            throw;
        } catch (const std::exception& error) {
            report(error.what());
        }
        threads_[state.rank].done = true;
        ++ended_;
        unsigned next = 0;
        if (!state.fault.empty() || (!ready_.empty() && draw(2)) || !take_new(next)) return;
        state.rank = next;
        select(next, blockDim);
    }
}

// Lets other threads run until this thread is released.
void Runner::wait() {
    threads_[state.rank].waits = true;
    leave();
}

void Runner::release(unsigned thread) {
    threads_[thread].waits = false;
    ready_.push_back(thread);
}

void Runner::let_others_run() {
    ready_.push_back(state.rank);
    leave();
}

void Runner::block_barrier(std::source_location where) {
    if (is_left_out(where)) return;
    if (++at_barrier_ < count_) {
        threads_[state.rank].brought = nullptr;
        return wait();
    }
    at_barrier_ = 0;
    ++state.block_epoch;
    note_barrier(where, state.launch->name);
    for (unsigned i = 0; i < count_; ++i)
        if (i != state.rank) release(i);
}

void Runner::warp_barrier(unsigned mask, std::source_location where) {
    if (is_left_out(where)) return;
    if (collective(mask, nullptr, nullptr)) note_barrier(where, state.launch->name);
}

bool Runner::collective(unsigned mask, Combine combine, void* mine) {
    const unsigned warp = state.rank / kWarp, first = warp * kWarp, me = state.rank;
    const unsigned present = count_ - first >= kWarp ? ~0u : (1u << (count_ - first)) - 1;
    mask &= present;
    const unsigned my_bit = 1u << (me - first);
    if (!(mask & my_bit)) {
        report("the mask of a warp collective does not contain the calling lane");
        return false;
    }

    auto& meetings = meetings_[warp];
    auto meeting = std::find_if(meetings.begin(), meetings.end(),
                                [&](const Meeting& each) { return (each.mask & mask) != 0; });
    if (meeting == meetings.end())
        meeting = meetings.insert(meetings.end(), {.mask = mask, .arrived = 0, .combine = combine});
    if (meeting->mask != mask || meeting->combine != combine) {
        report("lanes of a warp call different collectives or pass different masks");
        return false;
    }
    meeting->arrived |= my_bit;
    threads_[me].brought = mine;
    if (meeting->arrived != mask) {
        wait();
        return false;
    }

    void* of_lane[kWarp] = {};
    for (int i = 0; i < kWarp; ++i)
        if (mask >> i & 1) of_lane[i] = threads_[first + static_cast<unsigned>(i)].brought;
    meetings.erase(meeting);
    if (combine)
        combine(std::span<void* const, kWarp>(of_lane));
    else
        ++state.warp_epoch[warp];  // only a barrier orders the lanes' memory accesses
    for (int i = 0; i < kWarp; ++i)
        if (const unsigned other = first + static_cast<unsigned>(i); mask >> i & 1 && other != me)
            release(other);
    return true;
}

bool Runner::on_stack_of_thread(const void* address) const {
    return (running_ && running_->holds(address)) ||
           std::any_of(threads_.begin(), threads_.end(), [address](const Thread& each) {
               return each.worker && each.worker->holds(address);
           });
}

void Runner::report_stuck() {
    const auto waiting = std::find_if(threads_.begin(), threads_.end(),
                                      [](const Thread& each) { return each.waits; });
    state.rank = static_cast<unsigned>(waiting - threads_.begin());
    select(state.rank, blockDim);
    report(at_barrier_ > 0
               ? fmt::format("waits at a barrier that {} of the block's {} threads have reached",
                             at_barrier_, count_)
                     .c_str()
               : "waits in a warp collective that not all lanes of its mask have reached");
}

}  // namespace

BlockState& block_state() {
    return runner().state;
}

bool on_stack_of_thread(const void* address) {
    return runner().on_stack_of_thread(address);
}

std::string thread_name(unsigned rank) {
    return fmt::format("({}, {}, {})", rank % blockDim.x, rank / blockDim.x % blockDim.y,
                       rank / blockDim.x / blockDim.y);
}

void launch(const Launch& launch, const Kernel& kernel) {
    const DeviceAccess access;
    runner().run(launch, kernel);
}

std::uint64_t draw(std::uint64_t bound) {
    return runner().draw(bound);
}

void* dynamic_shared() {
    return block_state().dynamic_shared;
}

void set_seed(std::uint64_t seed) {
    runner().set_seed(seed);
}

int lane() {
    return static_cast<int>(block_state().rank % kWarp);
}

void block_barrier(std::source_location where) {
    runner().block_barrier(where);
}

void let_others_run() {
    runner().let_others_run();
}

void warp_barrier(unsigned mask, std::source_location where) {
    runner().warp_barrier(mask, where);
}

void warp_collective(unsigned mask, Combine combine, void* mine) {
    runner().collective(mask, combine, mine);
}

void report(const char* what) {
    BlockState& state = block_state();
    if (!state.fault.empty()) return;
    state.fault = fmt::format("kernel {}, block ({}, {}, {}), thread {}: {}", state.launch->name,
                              blockIdx.x, blockIdx.y, blockIdx.z, thread_name(state.rank), what);
}

}  // namespace cnpd::kernels::emulator
