// Progress of whatever takes longer than a moment, on stderr.
//
// On a terminal, one line that is rewritten:
//
//     epoch 3/100 ███████▌        45% 22500/50000  1234 images/s  0:18 elapsed  0:22 left  loss
//     0.41
//
// elsewhere a plain line every ten seconds; in both a line at the end. Nothing under --quiet.
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
    // Seconds since some moment; the system's steady clock when empty.
    std::function<double()> clock = {};
    // Takes what is to be shown; stderr when empty.
    std::function<void(std::string_view)> sink = {};
    // What is over after so many seconds shows nothing.
    double patience_seconds = 1;
    double redraw_seconds = 0.1;
    // Between lines where there is no terminal.
    double line_seconds = 10;
};

// For stderr as it is, quiet as the log is.
ProgressSettings default_progress_settings();

// On a terminal the first of several is shown.
class Progress {
  public:
    // A total of 0 is unknown.
    Progress(std::string label, std::int64_t total, std::string unit = "images",
             ProgressSettings settings = default_progress_settings());
    // Finishes when the total has been reached; otherwise only leaves the line.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void advance(std::int64_t count);
    // Before the first advance(): so much was done by an earlier run and counts for no rate.
    void resume_at(std::int64_t count);
    // Free text at the end of the line: "loss 0.41".
    void note(std::string text);
    // Shows the last line. Does nothing the second time.
    void finish();

    // Prints a line on stderr, above the one that is being rewritten if there is one.
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
    std::int64_t earlier_ = 0;  // of count_, what was done before the start
    double start_ = 0;
    double next_draw_ = 0;
    // On a terminal: the cursor is behind our line.
    bool on_line_ = false;
    bool finished_ = false;
};

// "0:09", "12:34", "1:02:03"
std::string duration(double seconds);

}  // namespace cnpd
