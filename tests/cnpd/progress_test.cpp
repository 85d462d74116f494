#include "cnpd/terminal/progress.h"

#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cnpd/terminal/log.h"
#include "tests/support/files.h"

using namespace cnpd;
using namespace cnpd::tests;

namespace {

// A manual clock and the recorded output.
struct Stage {
    double now = 1000;
    std::vector<std::string> shown;

    ProgressSettings settings(Terminal terminal, bool quiet = false) {
        return {.quiet = quiet,
                .terminal = terminal,
                .clock = [this] { return now; },
                .sink = [this](std::string_view text) { shown.emplace_back(text); }};
    }
};

constexpr Terminal kUtf8{.interactive = true, .utf8 = true, .columns = 120};
constexpr Terminal kPipe{};

}  // namespace

TEST_CASE("on a terminal one line is rewritten") {
    Stage stage;
    {
        Progress progress("epoch 3/100", 1000, "images", stage.settings(kUtf8));
        stage.now += 0.9;
        progress.advance(100);
        CHECK(stage.shown.empty());
        stage.now += 3.1;
        progress.note("loss 0.41");
        progress.advance(300);
        progress.advance(100);
        REQUIRE(stage.shown.size() == 1);
        CHECK(stage.shown[0] ==
              "\r\x1b[Kepoch 3/100 ████████████                    40% 400/1000  100 images/s  "
              "0:04 elapsed  0:06 left  loss 0.41");
        stage.now += 6;
        progress.advance(500);
        REQUIRE(stage.shown.size() == 2);
        CHECK(stage.shown[1].find("100% 1000/1000  100 images/s  0:10 elapsed  0:00 left") !=
              std::string::npos);
    }
    REQUIRE(stage.shown.size() == 3);
    CHECK(stage.shown[2] == "\r\x1b[Kepoch 3/100  1000 images in 0:10  100 images/s  loss 0.41\n");
}

TEST_CASE("without UTF-8 the bar is ASCII, and lines fit narrow terminals") {
    Stage stage;
    for (const int columns : {1, 20, 60, 80, 200}) {
        Terminal terminal = kUtf8;
        terminal.utf8 = false;
        terminal.columns = columns;
        Progress progress("generating", 3, "images", stage.settings(terminal));
        stage.now += 5;
        progress.advance(2);
        REQUIRE(stage.shown.size() == 1);
        const std::string line = stage.shown[0].substr(4);
        CHECK(width_of(line) < columns);
        CHECK(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c < 0x7f; }));
        if (columns == 200)
            CHECK(line ==
                  "generating ####################..........  66% 2/3  0.4 images/s  0:05 "
                  "elapsed  0:03 left");
        progress.finish();
        stage.shown.clear();
    }
}

TEST_CASE("without a terminal there is a line every ten seconds and one at the end") {
    Stage stage;
    Progress progress("epoch 1/2", 100, "images", stage.settings(kPipe));
    for (int second = 1; second <= 25; ++second) {
        stage.now += 1;
        progress.advance(4);
    }
    CHECK(stage.shown == std::vector<std::string>{"epoch 1/2  40% 40/100  4.0 images/s  0:10 "
                                                  "elapsed  0:15 left\n",
                                                  "epoch 1/2  80% 80/100  4.0 images/s  0:20 "
                                                  "elapsed  0:05 left\n"});
    progress.finish();
    progress.finish();
    REQUIRE(stage.shown.size() == 3);
    CHECK(stage.shown[2] == "epoch 1/2  100 images in 0:25  4.0 images/s\n");
}

TEST_CASE("short or quiet operations show nothing") {
    Stage stage;
    {
        Progress quick("quick", 10, "images", stage.settings(kUtf8));
        quick.advance(10);
        stage.now += 0.5;
    }
    {
        Progress quick("quick", 10, "images", stage.settings(kPipe));
        quick.advance(10);
    }
    {
        Progress quiet("quiet", 10, "images", stage.settings(kUtf8, true));
        stage.now += 100;
        quiet.advance(10);
    }
    CHECK(stage.shown.empty());
}

TEST_CASE("an exception ends the unfinished line") {
    Stage stage;
    {
        Progress progress("epoch", 10, "images", stage.settings(kUtf8));
        stage.now += 2;
        progress.advance(5);
    }
    REQUIRE(stage.shown.size() == 2);
    CHECK(stage.shown[1] == "\n");
}

TEST_CASE("an unknown total shows neither bar nor time left") {
    Stage stage;
    Progress progress("reading", 0, "files", stage.settings(kUtf8));
    stage.now += 2;
    progress.advance(500);
    REQUIRE(stage.shown.size() == 1);
    CHECK(stage.shown[0] == "\r\x1b[Kreading 500 files  250 files/s  0:02 elapsed");
}

TEST_CASE("lines of the log go above the progress line") {
    Stage stage;
    Progress progress("epoch", 10, "images", stage.settings(kUtf8));
    stage.now += 2;
    progress.advance(5);
    log_info("checkpoint written");
    REQUIRE(stage.shown.size() == 3);
    CHECK(stage.shown[1] == "\r\x1b[Kcheckpoint written\n");
    CHECK(stage.shown[2] == stage.shown[0]);
    set_verbosity(Verbosity::quiet);
    CHECK(default_progress_settings().quiet);
    log_info("not asked for either");
    CHECK(stage.shown.size() == 3);
    log_warning("braces {} and % are text");
    REQUIRE(stage.shown.size() == 5);
    CHECK(stage.shown[3].find("braces {} and % are text\n") != std::string::npos);
    set_verbosity(Verbosity::normal);
}

TEST_CASE("a nested progress shows only its last line, above the outer one") {
    Stage stage;
    Progress outer("epochs", 10, "epochs", stage.settings(kUtf8));
    stage.now += 2;
    outer.advance(1);
    {
        Progress inner("test", 100, "images", stage.settings(kUtf8));
        stage.now += 5;
        inner.advance(100);
    }
    REQUIRE(stage.shown.size() == 3);
    CHECK(stage.shown[1] == "\r\x1b[Ktest  100 images in 0:05  20 images/s\n");
    CHECK(stage.shown[2].starts_with("\r\x1b[Kepochs"));
}

TEST_CASE("durations") {
    CHECK(duration(0.4) == "0:00");
    CHECK(duration(59.6) == "1:00");
    CHECK(duration(3723) == "1:02:03");
    CHECK(duration(-5) == "0:00");
    CHECK(duration(1.0 / 0.0) == "?");
}

TEST_CASE("the locale determines UTF-8 as in POSIX") {
    CHECK(is_utf8_locale(nullptr, nullptr, "en_GB.UTF-8"));
    CHECK(is_utf8_locale("", "de_DE.utf8", "C"));
    CHECK_FALSE(is_utf8_locale("C", "de_DE.utf8", "en_GB.UTF-8"));
    CHECK_FALSE(is_utf8_locale(nullptr, nullptr, nullptr));
}

TEST_CASE("widths count code points") {
    CHECK(width_of("a±b") == 3);
    CHECK(fit_to("a±b", 2) == "a±");
    CHECK(fit_to("a±b", 3) == "a±b");
    CHECK(fit_to("a±b", 0) == "");
    CHECK(fit_to("", 5) == "");
}
