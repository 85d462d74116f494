#include "cnpd/terminal/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "kernels/common/error.h"

namespace cnpd {

namespace {

// Only lock-free atomics are safe in a signal handler.
std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void handle(int) {
    const int before = errno;
    constexpr std::string_view kMessage =
        "\nStopping after this step; press Ctrl-C again to stop immediately.\n";
    flag = true;
    // A failed write is ignored.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
    // The next signal of either kind gets the default action.
    for (const int other : {SIGINT, SIGTERM}) std::signal(other, SIG_DFL);
    errno = before;
}

}  // namespace

void install_interrupt_handler() {
    struct sigaction action {};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    // Each signal is blocked in the other's handler.
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    flag = false;
    for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

bool interrupted() {
    return flag;
}

void throw_if_interrupted() {
    if (interrupted()) throw Interrupted("interrupted");
}

}  // namespace cnpd
