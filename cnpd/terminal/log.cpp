#include "cnpd/terminal/log.h"

#include <unistd.h>

#include <atomic>
#include <memory>

#include <spdlog/details/null_mutex.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include "cnpd/terminal/progress.h"
#include "cnpd/terminal/terminal.h"

namespace cnpd {

namespace {

std::atomic<Verbosity> chosen{Verbosity::normal};

class ProgressSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        std::string line;
        if (message.level == spdlog::level::warn)
            line = describe_terminal(STDERR_FILENO).interactive ? "\x1b[1mwarning:\x1b[0m "
                                                                : "warning: ";
        line.append(message.payload.data(), message.payload.size());
        Progress::print_above(line);
    }
    void flush_() override {}
};

spdlog::logger& logger() {
    static spdlog::logger instance("cnpd", std::make_shared<ProgressSink>());
    instance.set_level(chosen == Verbosity::quiet ? spdlog::level::warn : spdlog::level::info);
    return instance;
}

spdlog::string_view_t view(std::string_view message) {
    return {message.data(), message.size()};
}

}  // namespace

void set_verbosity(Verbosity verbosity) {
    chosen = verbosity;
}

Verbosity verbosity() {
    return chosen;
}

void log_info(std::string_view message) {
    logger().log(spdlog::level::info, view(message));
}

void log_warning(std::string_view message) {
    logger().log(spdlog::level::warn, view(message));
}

}  // namespace cnpd
