// Progress of long operations, on stderr.
//
// On a terminal, one line is rewritten:
//
//     epoch 3/100 ███████▌        45% 22500/50000  1234 images/s  0:18 elapsed  0:22 left  loss
//     0.41
//
// Otherwise a plain line is printed every ten seconds. Both print a last line at the end. With
// --quiet nothing is printed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "cnpd/terminal/terminal.h"

namespace cnpd {

struct ProgressSettings {
    bool quiet = false;
    Terminal terminal;
    // Seconds from a fixed origin; the system's steady clock if empty.
    std::function<double()> clock = {};
    // Receives the output; stderr if empty.
    std::function<void(std::string_view)> sink = {};
    // Operations shorter than this show nothing.
    double patience_seconds = 1;
    double redraw_seconds = 0.1;
    // Interval between lines without a terminal.
    double line_seconds = 10;
};

// For the current stderr, with the log's verbosity.
ProgressSettings default_progress_settings();

// If several exist on a terminal, only the first is shown.
class Progress {
  public:
    // A total of 0 means unknown.
    Progress(std::string label, std::int64_t total, std::string unit = "images",
             ProgressSettings settings = default_progress_settings());
    // Calls finish() if the total has been reached; otherwise only ends the line.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void advance(std::int64_t count);
    // Call before the first advance(): the count done by an earlier run, excluded from the rate.
    void resume_at(std::int64_t count);
    // Free text at the end of the line: "loss 0.41".
    void note(std::string text);
    // Shows the last line. Further calls do nothing.
    void finish();

    // Prints a line on stderr, above the progress line if there is one.
    static void print_above(std::string_view line);

  private:
    void draw(double now);
    std::string status(double elapsed) const;
    std::string bar(int columns) const;
    std::string summary(double elapsed) const;
    void show(std::string_view text) const;

    const std::string label_;
    const std::int64_t total_;
    const std::string unit_;
    const ProgressSettings settings_;
    std::string note_;
    std::int64_t count_ = 0;
    std::int64_t earlier_ = 0;  // part of count_ done before the start
    double start_ = 0;
    double next_draw_ = 0;
    // On a terminal: the cursor is at the end of this object's line.
    bool on_line_ = false;
    bool finished_ = false;
};

// "0:09", "12:34", "1:02:03"
std::string duration(double seconds);

}  // namespace cnpd
