#include "engine/files.h"

#include <sys/stat.h>

#include <array>
#include <csignal>
#include <stdexcept>
#include <utility>

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "tests/support/files.h"

namespace fs = std::filesystem;
using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

std::string contents(const fs::path& path) {
    return read_text_file(path, 1 << 20);
}

int entries(const fs::path& directory) {
    return static_cast<int>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

constexpr std::array kStages = {WriteStage::opened, WriteStage::half_written, WriteStage::written,
                                WriteStage::synced, WriteStage::renamed};
WriteStage chosen_stage;

struct HookGuard {
    explicit HookGuard(WriteHook hook) { write_hook = hook; }
    ~HookGuard() { write_hook = nullptr; }
};

}  // namespace

TEST_CASE("a file is written and read back") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    for (const std::string& text : {std::string(), std::string("x"), std::string(70001, 'a')}) {
        write_file_atomically(path, text);
        CHECK(contents(path) == text);
        CHECK(entries(directory.path()) == 1);
    }
    const std::string first = "one, ", second = "two, ", third = "three";
    const std::array pieces = {std::as_bytes(std::span(first)), std::as_bytes(std::span(second)),
                               std::span<const std::byte>(), std::as_bytes(std::span(third))};
    write_file_atomically(path, pieces);
    CHECK(contents(path) == "one, two, three");
    CHECK(read_file(path, 15).size() == 15);
}

TEST_CASE("a name without a directory is written in the current one") {
    const TemporaryDirectory directory;
    const fs::path before = fs::current_path();
    fs::current_path(directory.path());
    write_file_atomically("file", "text");
    fs::current_path(before);
    CHECK(contents(directory / "file") == "text");
}

TEST_CASE("reading refuses directories, devices and files that are too large") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    CHECK(message_of([&] { read_file(path, 10); }) ==
          path.string() + ": cannot be read: No such file or directory");
    CHECK(message_of([&] { read_file(directory.path(), 10); }) ==
          directory.path().string() + ": is a directory; expected a regular file");
    write_file_atomically(path, "12345678901");
    CHECK(message_of([&] { read_file(path, 10); }) ==
          path.string() + ": holds 11 bytes; expected at most 10");
    CHECK(message_of([&] { read_file("/dev/zero", 10); }) ==
          "/dev/zero: is not a file; expected a regular file");
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK(message_of([&] { read_file(directory / "fifo", 10); }).find("is not a file") !=
          std::string::npos);
}

TEST_CASE("a full disk leaves the old file and no other") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    write_file_atomically(path, "old");
    std::string message;
    {
        const FullDisk full(1000);
        message = message_of([&] { write_file_atomically(path, std::string(100000, 'n')); });
    }
    CHECK(message == path.string() + ": cannot be written: File too large");
    CHECK(contents(path) == "old");
    CHECK(entries(directory.path()) == 1);
}

TEST_CASE("appending to a full disk leaves the file as it was") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    append_to_file(path, "first\n");
    append_to_file(path, "second\n");
    CHECK(contents(path) == "first\nsecond\n");
    std::string message;
    {
        const FullDisk full(20);
        message = message_of([&] { append_to_file(path, std::string(50, 'n')); });
    }
    CHECK(message == path.string() + ": cannot be written: File too large");
    CHECK(contents(path) == "first\nsecond\n");
    CHECK(message_of([] { append_to_file("/dev/full", "line\n"); }) ==
          "/dev/full: cannot be written: No space left on device");
}

TEST_CASE("messages name the path that cannot be written") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "file", "text");
    const fs::path below = directory / "file/below";
    CHECK(message_of([&] { write_file_atomically(below, "x"); }) ==
          below.string() + ": cannot be written: Not a directory");
    const fs::path missing = directory / "missing/file";
    CHECK(message_of([&] { write_file_atomically(missing, "x"); }) ==
          missing.string() + ": cannot be written: No such file or directory");
    CHECK(message_of([&] { write_file_atomically(directory.path(), "x"); }) ==
          directory.path().string() + ": is a directory; expected a regular file to replace");
    CHECK(message_of([] { write_file_atomically("/dev/null", "x"); }) ==
          "/dev/null: is not a file; expected a regular file to replace");
    CHECK(message_of([] {
              write_file_atomically("/proc/cnpd", "x");
          }).starts_with("/proc/cnpd: cannot be written: "));
    if (::geteuid() != 0) {
        fs::permissions(directory.path(), fs::perms::owner_read | fs::perms::owner_exec);
        CHECK(message_of([&] { write_file_atomically(directory / "new", "x"); }) ==
              (directory / "new").string() + ": cannot be written: Permission denied");
        fs::permissions(directory.path(), fs::perms::owner_all);
    }
}

TEST_CASE("a failure at any stage leaves the old file or the new one") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    for (const WriteStage stage : kStages) {
        write_file_atomically(path, "the old contents");
        chosen_stage = stage;
        {
            const HookGuard guard([](WriteStage reached, const fs::path&) {
                if (reached == chosen_stage) throw std::runtime_error("hook");
            });
            CHECK_THROWS_WITH_AS(write_file_atomically(path, "new contents"), "hook",
                                 std::runtime_error);
        }
        CHECK(contents(path) ==
              (stage == WriteStage::renamed ? "new contents" : "the old contents"));
        CHECK(entries(directory.path()) == 1);
    }
}

TEST_CASE("a process killed at any stage leaves the old file or the new one") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    for (const WriteStage stage : kStages) {
        write_file_atomically(path, "the old contents");
        chosen_stage = stage;
        const int status = status_of_child([&] {
            write_hook = [](WriteStage reached, const fs::path&) {
                if (reached == chosen_stage) ::raise(SIGKILL);
            };
            write_file_atomically(path, "new contents");
            return 0;
        });
        REQUIRE(WIFSIGNALED(status));
        CHECK(contents(path) ==
              (stage == WriteStage::renamed ? "new contents" : "the old contents"));
        if (stage == WriteStage::half_written) CHECK(contents(directory / ".file.tmp") == "new co");
        // The next write removes the leftover file.
        write_file_atomically(path, "newest");
        CHECK(contents(path) == "newest");
        CHECK(entries(directory.path()) == 1);
    }
}

TEST_CASE("two writers of one file exclude each other") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "file";
    static std::string inner;
    static bool nested;
    nested = false;
    const HookGuard guard([](WriteStage stage, const fs::path& target) {
        if (stage != WriteStage::half_written || std::exchange(nested, true)) return;
        inner = message_of([&] { write_file_atomically(target, "second"); });
    });
    write_file_atomically(path, "first");
    CHECK(inner == path.string() + ": is being written by another process");
    CHECK(contents(path) == "first");
    CHECK(entries(directory.path()) == 1);
}

TEST_CASE("a link in the temporary file's place is not followed") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "precious", "text");
    fs::create_symlink(directory / "precious", directory / ".file.tmp");
    CHECK_THROWS_AS(write_file_atomically(directory / "file", "x"), FileError);
    CHECK(contents(directory / "precious") == "text");
}

TEST_CASE("directories are created with their missing parents") {
    const TemporaryDirectory directory;
    const fs::path path = directory / "a/b/c";
    CHECK(make_directories(path).size() == 3);
    CHECK(fs::is_directory(path));
    CHECK(make_directories(path).empty());
    CHECK(make_directories(directory / "a/d/").size() == 1);
    write_file_atomically(directory / "file", "text");
    CHECK(message_of([&] { make_directories(directory / "file"); }) ==
          (directory / "file").string() + ": is a file; expected a directory");
    CHECK(message_of([&] { make_directories(directory / "file/below"); }) ==
          (directory / "file").string() + ": is a file; expected a directory");
    CHECK_THROWS_AS(make_directories("/proc/cnpd/run"), FileError);
}

TEST_CASE("one process holds a lock, until it ends") {
    const TemporaryDirectory directory;
    const fs::path path = directory / ".lock";
    {
        const auto lock = FileLock::try_lock(path);
        REQUIRE(lock);
        CHECK_FALSE(FileLock::try_lock(path));
        CHECK(status_of_child([&] { return FileLock::try_lock(path) ? 1 : 0; }) == 0);
    }
    CHECK_FALSE(fs::exists(path));
    const int status = status_of_child([&] {
        const auto lock = FileLock::try_lock(path);
        return ::raise(SIGKILL);
    });
    CHECK(WIFSIGNALED(status));
    CHECK(fs::exists(path));
    CHECK(FileLock::try_lock(path));
}

TEST_CASE("text from files is escaped for messages") {
    CHECK(in_quotes("conv1.weight") == "\"conv1.weight\"");
    CHECK(in_quotes("a\n\x1b[31m\"b\\") == R"("a\x0a\x1b[31m\"b\\")");
    CHECK(in_quotes("\xc3\xa9") == R"("\xc3\xa9")");
    CHECK(in_quotes(std::string(81, 'x')) == "\"" + std::string(80, 'x') + "...\"");
}
