#include "cnpd/store/run_directory.h"

#include <csignal>
#include <limits>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/support/files.h"

namespace fs = std::filesystem;
using namespace cnpd;
using namespace cnpd::tests;
using namespace cnpd::store;
using nlohmann::ordered_json;

namespace {

std::string contents(const fs::path& path) {
    return engine::read_text_file(path, 1 << 20);
}

ordered_json metrics(int epoch) {
    return {{"epoch", epoch}, {"train_loss", 0.5}};
}

}  // namespace

TEST_CASE("a run directory is made, written and read") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "runs/badnets";
    {
        RunDirectory run(path);
        CHECK(run.path() == path);
        CHECK_FALSE(run.resumes());
        run.write_json(run_files::config, {{"seed", 3}, {"attack", "badnets"}});
        run.write_json(run_files::indices, {{"poisoned", {1, 2, 3}}});
        run.append_metrics(metrics(1));
        run.append_metrics(metrics(2));
    }
    CHECK(contents(path / "config.json") == "{\n  \"seed\": 3,\n  \"attack\": \"badnets\"\n}\n");
    CHECK(contents(path / "indices.json") == "{\"poisoned\":[1,2,3]}\n");
    CHECK(contents(path / "metrics.jsonl") ==
          "{\"epoch\":1,\"train_loss\":0.5}\n{\"epoch\":2,\"train_loss\":0.5}\n");
    CHECK(read_json(path / "config.json")["seed"] == 3);
    CHECK(read_metrics(path / "metrics.jsonl").size() == 2);
    CHECK(read_metrics(path / "none.jsonl").empty());
    CHECK_FALSE(fs::exists(path / ".lock"));
}

TEST_CASE("a command that fails leaves no new directory") {
    const TemporaryDirectory directory;
    { const RunDirectory run(directory / "a/b/c"); }
    CHECK(fs::is_empty(directory.path()));
    { RunDirectory(directory / "a/b/c").keep(); }
    CHECK(fs::is_empty(directory / "a/b/c"));
    // An existing directory is kept.
    { const RunDirectory run(directory / "a/b/c/"); }
    CHECK(fs::is_empty(directory / "a/b/c"));
    // Files of others are kept.
    {
        const RunDirectory run(directory / "d/e");
        engine::write_file_atomically(directory / "d/f", "text");
    }
    CHECK(contents(directory / "d/f") == "text");
    CHECK_FALSE(fs::exists(directory / "d/e"));
}

TEST_CASE("an existing run is refused, resumed or overwritten") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "run";
    RunDirectory(path).write_json(run_files::config, {{"seed", 1}});
    engine::write_file_atomically(path / "notes.txt", "mine");
    CHECK(message_of([&] { RunDirectory run(path); }) ==
          path.string() +
              ": holds a run that was interrupted; expected --resume to continue it, "
              "--overwrite to start again, or another directory (--out)");
    RunDirectory(path, {.resume = true}).write_json(run_files::result, {{"acc", 1}});
    CHECK(message_of([&] {
              RunDirectory run(path);
          }).ends_with("; expected another directory (--out), or --overwrite to replace the run"));
    {
        const RunDirectory run(path, {.resume = true});
        CHECK(run.resumes());
    }
    CHECK(read_json(path / "config.json")["seed"] == 1);
    { const RunDirectory run(path, {.overwrite = true}); }
    CHECK(read_json(path / "config.json")["seed"] == 1);
    {
        RunDirectory run(path, {.overwrite = true});
        CHECK_FALSE(run.resumes());
        run.keep();
        CHECK_FALSE(fs::exists(path / "config.json"));
        run.append_metrics(metrics(1));
    }
    CHECK(contents(path / "notes.txt") == "mine");
    CHECK(contents(path / "metrics.jsonl") == "{\"epoch\":1,\"train_loss\":0.5}\n");
    const RunDirectory fresh(directory / "new", {.resume = true});
    CHECK_FALSE(fresh.resumes());
    CHECK(message_of([&] { RunDirectory run(path, {.resume = true, .overwrite = true}); }) ==
          "--resume and --overwrite cannot be combined");
}

TEST_CASE("unwritable directories are named") {
    const TemporaryDirectory directory;
    engine::write_file_atomically(directory / "file", "text");
    for (const char* name : {"file", "file/run", "file/a/b"})
        CHECK(message_of([&] { RunDirectory run(directory / name); }) ==
              (directory / "file").string() + ": is a file; expected a directory");
    CHECK_THROWS_AS(RunDirectory("/proc/cnpd/run"), FileError);
    CHECK_THROWS_AS(RunDirectory("/proc"), FileError);
}

TEST_CASE("only one process at a time can write a run") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "run";
    {
        RunDirectory run(path);
        const std::string message = message_of([&] { RunDirectory other(path, {.resume = true}); });
        CHECK(message == path.string() +
                             ": is being written by another process; expected a run "
                             "directory of its own");
        CHECK(fs::exists(path));
        run.keep();
    }
    // A process that was killed does not block the next.
    CHECK(WIFSIGNALED(status_of_child([&] {
        RunDirectory run(path);
        run.append_metrics(metrics(1));
        return ::raise(SIGKILL);
    })));
    RunDirectory next(path, {.resume = true});
    next.append_metrics(metrics(2));
    CHECK(read_metrics(path / "metrics.jsonl").size() == 2);
}

TEST_CASE("metrics after a checkpoint are removed") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "metrics.jsonl";
    RunDirectory run(directory.path());
    run.truncate_metrics(3);
    CHECK_FALSE(fs::exists(path));
    for (int epoch = 1; epoch <= 5; ++epoch) run.append_metrics(metrics(epoch));
    const std::string five = contents(path);
    run.truncate_metrics(5);
    CHECK(contents(path) == five);
    engine::append_to_file(path, "{\"epoch\":6,\"tra");
    CHECK(read_metrics(path).size() == 5);
    run.truncate_metrics(9);
    CHECK(contents(path) == five);
    run.truncate_metrics(3);
    CHECK(read_metrics(path).size() == 3);
    CHECK(contents(path) == five.substr(0, five.size() * 3 / 5));
    run.truncate_metrics(0);
    CHECK(contents(path).empty());
}

TEST_CASE("removing metrics keeps the other lines unchanged") {
    const TemporaryDirectory directory;
    RunDirectory run(directory.path());
    const fs::path path = directory / "metrics.jsonl";
    const std::string first = "{\"epoch\":1, \"loss\":0.10000000000000001, \"a\":1e-5}\n";
    engine::write_file_atomically(path, first + "{\"epoch\":2}\n");
    run.truncate_metrics(1);
    CHECK(contents(path) == first);
}

TEST_CASE("damaged files of a run are refused in one line") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    const auto complaint = [&](std::string_view text) {
        engine::write_file_atomically(path, text);
        const std::string message = message_of([&] { read_json(path); });
        CHECK(message.find('\n') == std::string::npos);
        return message;
    };
    CHECK(complaint("{\"a\": }") == path.string() + ": invalid JSON at byte 7; expected JSON");
    CHECK(complaint(std::string(100000, '[')) ==
          path.string() + ": deep nesting; expected at most 32 levels");
    CHECK(complaint("1e999") == path.string() + ": a number out of range; expected JSON");
    CHECK(complaint(std::string_view("{}\0", 3)) ==
          path.string() + ": invalid JSON at byte 3; expected JSON");
    CHECK(complaint("").find("invalid JSON") != std::string::npos);
    CHECK(complaint(std::string((16 << 20) + 1, ' ')).find("at most 16777216") !=
          std::string::npos);
    for (const std::string_view text : {"{}\n", "[]\n", "{\"epoch\":\"1\"}\n", "{\"epoch\":1.5}\n",
                                        "\n", "{\"epoch\":1}\nx\n{\"epoch\":3}\n"}) {
        CAPTURE(text);
        engine::write_file_atomically(path, text);
        CHECK_THROWS_AS(read_metrics(path), FileError);
    }
}

TEST_CASE("values that JSON cannot represent do not stop a run") {
    const TemporaryDirectory directory;
    RunDirectory run(directory.path());
    run.append_metrics({{"epoch", 1}, {"loss", std::numeric_limits<double>::quiet_NaN()}});
    CHECK(contents(directory / "metrics.jsonl") == "{\"epoch\":1,\"loss\":null}\n");
    run.write_json(run_files::config, {{"data", "\xff"}});
    CHECK(read_json(directory / "config.json")["data"] == "\xef\xbf\xbd");
}

TEST_CASE("a full disk does not damage the metrics") {
    const TemporaryDirectory directory;
    RunDirectory run(directory.path());
    run.append_metrics(metrics(1));
    {
        const FullDisk full(40);
        CHECK_THROWS_AS(run.append_metrics(metrics(2)), FileError);
    }
    CHECK(read_metrics(directory / "metrics.jsonl").size() == 1);
    CHECK(contents(directory / "metrics.jsonl").ends_with("}\n"));
}
