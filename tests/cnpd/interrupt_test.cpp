#include "cnpd/terminal/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "tests/support/files.h"

using namespace cnpd;
using namespace cnpd::tests;

TEST_CASE("the first signal sets the flag, the second ends the process") {
    for (const int first : {SIGINT, SIGTERM}) {
        for (const int second : {SIGINT, SIGTERM}) {
            const int status = status_of_child([&] {
                ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
                install_interrupt_handler();
                if (interrupted()) return 1;
                throw_if_interrupted();
                ::raise(first);
                if (!interrupted()) return 2;
                try {
                    throw_if_interrupted();
                    return 3;
                } catch (const Interrupted&) {
                }
                ::raise(second);
                return 4;
            });
            REQUIRE(WIFSIGNALED(status));
            CHECK(WTERMSIG(status) == second);
        }
    }
}

TEST_CASE("without the handler nothing is interrupted") {
    CHECK_FALSE(interrupted());
    CHECK_NOTHROW(throw_if_interrupted());
}
