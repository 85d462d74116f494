#include "kernels/emulator/async_copy.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/emulator/state.h"
#include "kernels/emulator/trace.h"

namespace cnpd::kernels {

namespace emulator {
namespace {

void carry_out(ThreadCopy& copy) {
    if (std::exchange(copy.done, true)) return;
    if (copy.from)
        std::memcpy(copy.to, copy.from, kAsyncCopyBytes);
    else
        std::memset(copy.to, 0, kAsyncCopyBytes);
}

ThreadCopies& copies_of_thread() {
    return running.block->copies[running.rank];
}

}  // namespace

void wait_for_copy_groups(int pending) {
    ThreadCopies& mine = copies_of_thread();
    const std::int64_t last = mine.groups - pending;
    const auto waited = [&](const ThreadCopy& copy) { return copy.group < last; };
    for (ThreadCopy& copy : mine.copies)
        if (waited(copy)) {
            carry_out(copy);
            end_of_async_write(copy.to, kAsyncCopyBytes);
        }
    std::erase_if(mine.copies, waited);
}

}  // namespace emulator

__attribute__((noinline)) void copy_16_bytes(void* to_shared, const void* from, bool exists) {
    using namespace emulator;
    const void* const code = __builtin_return_address(0);
    if (exists) check_vector(from, kAsyncCopyBytes, false, code);
    begin_async_write(to_shared, kAsyncCopyBytes, code);
    if (is_faulty()) return;
    if (Trace* const trace = Trace::current(); trace && exists)
        trace->copy(running.launch->name, kAsyncCopyBytes);
    ThreadCopies& mine = copies_of_thread();
    mine.copies.push_back({static_cast<std::byte*>(to_shared),
                           exists ? static_cast<const std::byte*>(from) : nullptr, mine.groups,
                           false});
    // Some copies are fast.
    if (draw(2)) carry_out(mine.copies[draw(mine.copies.size())]);
}

void commit_copies() {
    ++emulator::copies_of_thread().groups;
}

}  // namespace cnpd::kernels
