#include "cnpd/terminal/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "kernels/common/error.h"

namespace cnpd {

namespace {

// In a handler only lock-free atomics are safe.
std::atomic<bool> flag{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void handle(int) {
    const int before = errno;
    constexpr std::string_view kMessage =
        "\nStopping at the next step; once more to stop at once.\n";
    flag = true;
    // Nobody reads the answer to a failed message.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
    // The next one is the system's, whichever of the two it is.
    for (const int other : {SIGINT, SIGTERM}) std::signal(other, SIG_DFL);
    errno = before;
}

}  // namespace

void install_interrupt_handler() {
    struct sigaction action {};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    // The two must not interrupt each other's handler.
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
