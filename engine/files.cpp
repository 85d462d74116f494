#include "engine/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::engine {

namespace fs = std::filesystem;

std::atomic<WriteHook> write_hook{nullptr};

namespace {

// A file descriptor that closes itself.
class Descriptor {
  public:
    explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
    Descriptor(Descriptor&& other) noexcept : descriptor_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~Descriptor() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    int get() const { return descriptor_; }
    int release() { return std::exchange(descriptor_, -1); }
    explicit operator bool() const { return descriptor_ >= 0; }

  private:
    int descriptor_;
};

std::string reason(int error) {
    return std::generic_category().message(error);
}

[[noreturn]] void cannot_write(const fs::path& path, int error) {
    throw FileError(path.string(), "cannot be written: " + reason(error));
}

[[noreturn]] void cannot_read(const fs::path& path, int error) {
    throw FileError(path.string(), "cannot be read: " + reason(error));
}

void write_all(int descriptor, std::span<const std::byte> bytes, const fs::path& path) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        // If zero bytes were written without an error, the loop would not end.
        if (written <= 0) cannot_write(path, written < 0 ? errno : ENOSPC);
        bytes = bytes.subspan(written);
    }
}

void sync(int descriptor, const fs::path& path) {
    // Some file systems cannot sync some kinds of file and return EINVAL.
    if (::fsync(descriptor) < 0 && errno != EINVAL && errno != ENOTSUP) cannot_write(path, errno);
}

void reached(WriteStage stage, const fs::path& path) {
    if (const WriteHook hook = write_hook.load()) hook(stage, path);
}

// Opens and locks a file; returns an empty descriptor if another process holds the lock. Messages
// name the path `blamed`.
Descriptor open_locked(const fs::path& path, const fs::path& blamed) {
    while (true) {
        Descriptor file(
            ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
        if (!file) cannot_write(blamed, errno);
        // Continue without a lock on file systems that do not support locks.
        if (::flock(file.get(), LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) return Descriptor();
        // The previous holder may have renamed or removed the file after we opened it.
        struct stat opened {
        }, named{};
        if (::fstat(file.get(), &opened) < 0) cannot_write(blamed, errno);
        if (!S_ISREG(opened.st_mode)) cannot_write(blamed, EEXIST);
        if (::lstat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
            named.st_dev == opened.st_dev)
            return file;
    }
}

// The temporary file that is to replace `target`. Removed by the destructor unless it has.
class Temporary {
  public:
    explicit Temporary(const fs::path& target)
        : target_(target),
          path_(directory() / fmt::format(".{}.tmp", target.filename().string())) {}
    void open() {
        file_ = open_locked(path_, target_);
        if (!file_) throw FileError(target_.string(), "is being written by another process");
        // Left by a killed process.
        if (::ftruncate(file_.get(), 0) < 0) cannot_write(target_, errno);
        reached(WriteStage::opened, target_);
    }
    ~Temporary() {
        if (file_) ::unlink(path_.c_str());
    }
    Temporary(const Temporary&) = delete;
    void write(std::span<const std::byte> bytes) { write_all(file_.get(), bytes, target_); }
    void replace_target() {
        sync(file_.get(), target_);
        reached(WriteStage::synced, target_);
        if (::rename(path_.c_str(), target_.c_str()) < 0) cannot_write(target_, errno);
        file_ = Descriptor();
        reached(WriteStage::renamed, target_);
        const Descriptor parent(::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!parent) cannot_write(target_, errno);
        sync(parent.get(), target_);
    }

  private:
    fs::path directory() const {
        return target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    }
    const fs::path& target_;
    const fs::path path_;
    Descriptor file_;
};

template <class Container>
Container read_whole(const fs::path& path, std::int64_t max_bytes) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) < 0) cannot_read(path, errno);
    if (!S_ISREG(status.st_mode))
        throw FileError(path.string(), S_ISDIR(status.st_mode) ? "is a directory" : "is not a file",
                        "a regular file");
    if (status.st_size > max_bytes)
        throw FileError(path.string(), fmt::format("holds {} bytes", status.st_size),
                        fmt::format("at most {}", max_bytes));
    Container contents(status.st_size, {});
    std::size_t count = 0;
    while (count < contents.size()) {
        const ssize_t got = ::read(file.get(), contents.data() + count, contents.size() - count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) cannot_read(path, errno);
        if (got == 0)
            throw FileError(path.string(), fmt::format("ends after {} bytes", count),
                            fmt::format("{}", contents.size()));
        count += got;
    }
    return contents;
}

}  // namespace

std::vector<std::byte> read_file(const fs::path& path, std::int64_t max_bytes) {
    return read_whole<std::vector<std::byte>>(path, max_bytes);
}

std::string read_text_file(const fs::path& path, std::int64_t max_bytes) {
    return read_whole<std::string>(path, max_bytes);
}

void write_file_atomically(const fs::path& path,
                           std::span<const std::span<const std::byte>> pieces) {
    struct stat status {};
    // Renaming onto a device would replace it, /dev/null for example.
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        throw FileError(path.string(), S_ISDIR(status.st_mode) ? "is a directory" : "is not a file",
                        "a regular file to replace");
    if (!path.has_filename()) throw FileError(path.string(), "is not a file name");

    std::size_t until_half = 0;
    for (const auto& piece : pieces) until_half += piece.size();
    until_half /= 2;
    bool second_half = false;
    Temporary temporary(path);
    temporary.open();
    for (auto piece : pieces) {
        if (!second_half && piece.size() >= until_half) {
            temporary.write(piece.first(until_half));
            piece = piece.subspan(until_half);
            second_half = true;
            reached(WriteStage::half_written, path);
        }
        temporary.write(piece);
        until_half -= std::min(until_half, piece.size());
    }
    reached(WriteStage::written, path);
    temporary.replace_target();
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
    write_file_atomically(path, std::span(&bytes, 1));
}

void write_file_atomically(const fs::path& path, std::string_view text) {
    write_file_atomically(path, std::as_bytes(std::span(text)));
}

void append_to_file(const fs::path& path, std::string_view text) {
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    struct stat before {};
    if (!file || ::fstat(file.get(), &before) < 0) cannot_write(path, errno);
    try {
        write_all(file.get(), std::as_bytes(std::span(text)), path);
        sync(file.get(), path);
    } catch (const FileError&) {
        // The failure above is the one to report.
        [[maybe_unused]] const int ignored = ::ftruncate(file.get(), before.st_size);
        throw;
    }
}

std::vector<fs::path> make_directories(const fs::path& path) {
    std::error_code error;
    std::vector<fs::path> made;
    fs::path built;
    for (const fs::path& part : path) {
        built /= part;
        if (fs::is_directory(built, error)) continue;
        if (fs::create_directory(built, error)) {
            made.push_back(built);
        } else {
            std::error_code ignored;
            // Another process may have created it in the meantime.
            if (fs::is_directory(built, ignored)) continue;
            for (auto last = made.rbegin(); last != made.rend(); ++last) ::rmdir(last->c_str());
            if (fs::exists(built, ignored))
                throw FileError(built.string(), "is a file", "a directory");
            throw FileError(path.string(), "cannot be created: " + error.message());
        }
    }
    return made;
}

std::optional<FileLock> FileLock::try_lock(const fs::path& path) {
    Descriptor file = open_locked(path, path);
    if (!file) return std::nullopt;
    return FileLock(path, file.release());
}

FileLock::FileLock(fs::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
    if (descriptor_ < 0) return;
    // In this order: once unlocked, the file may belong to another process.
    ::unlink(path_.c_str());
    ::close(descriptor_);
}

std::string in_quotes(std::string_view text) {
    constexpr std::size_t kLongest = 80;
    std::string result = "\"";
    for (const char c : text.substr(0, kLongest)) {
        if (c == '"' || c == '\\')
            result += fmt::format("\\{}", c);
        else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e)
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            result += c;
    }
    return result + (text.size() > kLongest ? "...\"" : "\"");
}

}  // namespace cnpd::engine
