#include "cnpd/terminal/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "cnpd/terminal/log.h"

namespace cnpd {

namespace {

constexpr std::string_view kClearLine = "\r\x1b[K";
constexpr int kWidestBar = 30;
constexpr int kNarrowestBar = 8;

// Guards the terminal and `shown`, because any thread may log.
std::recursive_mutex terminal_mutex;
Progress* shown = nullptr;

double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::string rate(std::int64_t count, double elapsed, const std::string& unit) {
    const double each_second = elapsed > 0 ? static_cast<double>(count) / elapsed : 0;
    return fmt::format("{:.{}f} {}/s", each_second, each_second < 10 ? 1 : 0, unit);
}

}  // namespace

ProgressSettings default_progress_settings() {
    return {.quiet = verbosity() == Verbosity::quiet, .terminal = describe_terminal(STDERR_FILENO)};
}

Progress::Progress(std::string label, std::int64_t total, std::string unit,
                   ProgressSettings settings)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      settings_([&] {
          if (!settings.clock) settings.clock = steady_seconds;
          return std::move(settings);
      }()),
      start_(settings_.clock()) {
    const double first =
        settings_.terminal.interactive ? settings_.patience_seconds : settings_.line_seconds;
    next_draw_ = start_ + first;
    const std::lock_guard lock(terminal_mutex);
    if (!shown && !settings_.quiet) shown = this;
}

Progress::~Progress() {
    try {
        if (total_ > 0 && count_ >= total_) finish();
        const std::lock_guard lock(terminal_mutex);
        if (std::exchange(on_line_, false)) show("\n");
        if (shown == this) shown = nullptr;
    } catch (...) {
        // Errors in the last line are ignored.
    }
}

void Progress::resume_at(std::int64_t count) {
    count_ = earlier_ = count;
}

void Progress::advance(std::int64_t count) {
    const std::lock_guard lock(terminal_mutex);
    count_ += count;
    if (settings_.quiet || finished_) return;
    const double now = settings_.clock();
    if (now >= next_draw_) draw(now);
}

void Progress::note(std::string text) {
    const std::lock_guard lock(terminal_mutex);
    note_ = std::move(text);
}

void Progress::finish() {
    const std::lock_guard lock(terminal_mutex);
    if (std::exchange(finished_, true) || settings_.quiet) return;
    const double elapsed = settings_.clock() - start_;
    if (shown == this) shown = nullptr;
    if (!on_line_ && elapsed < settings_.patience_seconds) return;
    // The last line of a nested progress is printed above the outer one's line.
    Progress* outer = shown && shown->on_line_ ? shown : nullptr;
    show(fmt::format("{}{}\n", on_line_ || outer ? kClearLine : "", summary(elapsed)));
    on_line_ = false;
    if (outer) outer->draw(outer->settings_.clock());
}

void Progress::print_above(std::string_view line) {
    const std::lock_guard lock(terminal_mutex);
    if (shown && shown->on_line_) {
        shown->show(fmt::format("{}{}\n", kClearLine, line));
        shown->draw(shown->settings_.clock());
    } else {
        const std::string whole = fmt::format("{}\n", line);
        std::fwrite(whole.data(), 1, whole.size(), stderr);
    }
}

void Progress::draw(double now) {
    const double elapsed = now - start_;
    if (!settings_.terminal.interactive) {
        show(fmt::format("{}\n", status(elapsed)));
        next_draw_ = now + settings_.line_seconds;
        return;
    }
    if (shown != this) return;
    // The last column stays free, because some terminals wrap once it is filled.
    const int columns = settings_.terminal.columns - 1;
    std::string line = status(elapsed);
    const int room = columns - width_of(line) - 1;
    if (total_ > 0 && room >= kNarrowestBar)
        line.insert(label_.size(), fmt::format(" {}", bar(std::min(room, kWidestBar))));
    show(fmt::format("{}{}", kClearLine, fit_to(line, columns)));
    on_line_ = true;
    next_draw_ = now + settings_.redraw_seconds;
}

std::string Progress::status(double elapsed) const {
    std::string line = label_;
    if (total_ > 0) {
        line += fmt::format(" {:3.0f}% {}/{}", std::floor(100.0 * count_ / total_), count_, total_);
    } else {
        line += fmt::format(" {} {}", count_, unit_);
    }
    line +=
        fmt::format("  {}  {} elapsed", rate(count_ - earlier_, elapsed, unit_), duration(elapsed));
    if (total_ > 0 && count_ > earlier_)
        line += fmt::format(
            "  {} left",
            duration(elapsed * std::max<std::int64_t>(0, total_ - count_) / (count_ - earlier_)));
    return note_.empty() ? line : fmt::format("{}  {}", line, note_);
}

std::string Progress::bar(int columns) const {
    constexpr std::array kEighths = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const double done = std::clamp(static_cast<double>(count_) / total_, 0.0, 1.0) * columns;
    const int full = static_cast<int>(done);
    std::string text;
    for (int column = 0; column < columns; ++column) {
        const bool last = column == full;
        if (column < full)
            text += settings_.terminal.utf8 ? "█" : "#";
        else if (settings_.terminal.utf8)
            text += last ? kEighths[static_cast<int>((done - full) * 8)] : " ";
        else
            text += ".";
    }
    return text;
}

std::string Progress::summary(double elapsed) const {
    std::string line = fmt::format("{}  {} {} in {}  {}", label_, count_, unit_, duration(elapsed),
                                   rate(count_ - earlier_, elapsed, unit_));
    return note_.empty() ? line : fmt::format("{}  {}", line, note_);
}

void Progress::show(std::string_view text) const {
    if (settings_.sink) {
        settings_.sink(text);
    } else {
        std::fwrite(text.data(), 1, text.size(), stderr);
        std::fflush(stderr);
    }
}

std::string duration(double seconds) {
    // A rate near zero gives meaningless times.
    if (!(seconds < 1e9)) return "?";
    const auto whole = static_cast<std::int64_t>(std::max(0.0, std::round(seconds)));
    const auto hours = whole / 3600, minutes = whole / 60 % 60;
    return hours ? fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60)
                 : fmt::format("{}:{:02}", minutes, whole % 60);
}

}  // namespace cnpd
