// The only file that includes libarchive's headers.
#include "datasets/files/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "datasets/files/file_tree.h"
#include "datasets/files/names.h"
#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kFormats = "a .zip, .tar.gz or .tar file";
constexpr std::string_view kOnlyFiles = "an archive of files and folders only";
constexpr std::size_t kMaxPathBytes = 512;

struct Path {
    std::string text = {};
    std::string_view clutter = {};  // the first part for which is_clutter() holds
};

// Removes empty and "." parts. Throws FileError for a path that leads out of the archive.
Path normalised(std::string_view path, std::string_view archive_name) {
    const auto refuse = [&](std::string_view expected) {
        throw FileError(archive_name, "holds the name " + engine::in_quotes(path), expected);
    };
    if (path.size() > kMaxPathBytes) refuse(fmt::format("at most {} bytes", kMaxPathBytes));
    if (path.starts_with('/')) refuse("names inside the archive");
    Path result;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string_view part = path.substr(begin, end - begin);
        begin = end + 1;
        if (part == "..") refuse("names inside the archive");
        if (part.empty() || part == ".") continue;
        result.text = join(result.text, part);
        if (result.clutter.empty() && is_clutter(part)) result.clutter = part;
    }
    if (result.clutter.empty() && !is_printable(path)) refuse(kPrintable);
    return result;
}

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80; });
}

// libarchive converts names to the character set of the thread's locale and loses characters that
// it lacks. This sets a UTF-8 locale while libarchive runs, independent of the user's.
class Utf8Locale {
  public:
    Utf8Locale() {
        static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
        if (utf8) before_ = ::uselocale(utf8);
    }
    Utf8Locale(const Utf8Locale&) = delete;
    Utf8Locale& operator=(const Utf8Locale&) = delete;
    ~Utf8Locale() {
        if (before_) ::uselocale(before_);
    }

  private:
    locale_t before_ = nullptr;
};

std::string_view path_of(archive_entry* entry) {
    // Converted from the archive's character set; unconverted if that fails.
    const char* path = archive_entry_pathname_utf8(entry);
    if (!path) path = archive_entry_pathname(entry);
    return path ? path : "";
}

}  // namespace

void ArchiveReader::Close::operator()(archive* handle) const {
    archive_read_free(handle);
}

ArchiveReader::ArchiveReader(const fs::path& path)
    : name_(path.string()), handle_(archive_read_new()) {
    CNPD_CHECK(handle_, "out of memory while opening an archive");
    std::error_code error;
    const auto size = static_cast<std::int64_t>(fs::file_size(path, error));
    if (error) throw FileError(name_, "cannot be opened: " + error.message());
    if (size == 0) throw FileError(name_, "is empty", kFormats);
    constexpr std::int64_t kMostCompressed = 100, kSlack = 64 << 20;
    limit_ = size > kMaxUnpackedBytes / kMostCompressed
                 ? kMaxUnpackedBytes
                 : std::min(kMaxUnpackedBytes, kMostCompressed * size + kSlack);

    archive* handle = handle_.get();
    // The seekable reader uses a zip's table of contents, which is at its end and authoritative.
    archive_read_support_format_zip_seekable(handle);
    archive_read_support_format_tar(handle);
    archive_read_support_filter_gzip(handle);
    constexpr std::size_t kBlockBytes = 1 << 16;
    if (archive_read_open_filename(handle, path.c_str(), kBlockBytes) != ARCHIVE_OK) fail(0);
}

void ArchiveReader::fail(int status) const {
    const char* reason = archive_error_string(handle_.get());
    const std::string quoted = engine::in_quotes(reason ? reason : "unknown");
    if (entries_ == 0 && status != ARCHIVE_WARN)
        throw FileError(name_, fmt::format("is not an archive ({})", quoted), kFormats);
    throw FileError(current_.empty() ? name_ : join(name_, current_),
                    fmt::format("is damaged ({})", quoted), "a complete archive");
}

bool ArchiveReader::is_zip() const {
    return (archive_format(handle_.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
}

void ArchiveReader::count(std::int64_t bytes) {
    declared_ += bytes;
    // archive_filter_bytes: for a tar, the bytes unpacked so far; for a zip, the file position.
    if (std::max(declared_, std::int64_t{archive_filter_bytes(handle_.get(), 0)}) > limit_)
        throw FileError(name_, fmt::format("unpacks to over {} MiB", limit_ >> 20),
                        "an archive of images, which compress less");
}

std::optional<ArchiveReader::Entry> ArchiveReader::next() {
    const Utf8Locale locale;
    archive* handle = handle_.get();
    while (true) {
        current_.clear();
        archive_entry* entry = nullptr;
        const int status = archive_read_next_header(handle, &entry);
        if (status == ARCHIVE_EOF) return std::nullopt;
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail(status);
        // libarchive has detected the format once it has read the first entry.
        if (entries_ == 0 && archive_filter_count(handle) > 2)
            throw FileError(name_, "is compressed more than once", kFormats);
        if (++entries_ > kMaxArchiveEntries)
            throw FileError(name_, fmt::format("holds over {} entries", kMaxArchiveEntries));
        std::optional<Entry> result = check(entry);
        if (!result) continue;
        // Warnings concern names beyond ASCII, which check() has validated, or an inconsistent zip.
        if (status == ARCHIVE_WARN && is_zip() && is_ascii(current_)) fail(status);
        if (!result->path.empty()) return result;
    }
}

std::optional<ArchiveReader::Entry> ArchiveReader::check(archive_entry* entry) {
    Path path = normalised(path_of(entry), name_);
    const auto type = archive_entry_filetype(entry);
    if (!path.clutter.empty()) {
        if (type != AE_IFDIR) skipped_.add(path.clutter);
        count(std::clamp<std::int64_t>(archive_entry_size(entry), 0, kMaxUnpackedBytes));
        return std::nullopt;
    }
    Entry result{.path = std::move(path.text), .is_folder = false};
    current_ = result.path;
    const std::string full_name = join(name_, current_);
    if (archive_entry_hardlink(entry) || type == AE_IFLNK)
        throw FileError(full_name, "is a link", kOnlyFiles);
    result.is_folder = type == AE_IFDIR;
    if (type != AE_IFREG && type != AE_IFDIR)
        throw FileError(full_name, "is a device or another special file", kOnlyFiles);
    if (archive_entry_is_encrypted(entry))
        throw FileError(full_name, "is encrypted", "an archive that needs no password");
    // Other compression methods are rare in zips. They are refused to avoid their decoders' bugs.
    if (const std::string_view format = archive_format_name(handle_.get());
        is_zip() && !format.ends_with("(deflation)") && !format.ends_with("(uncompressed)"))
        throw FileError(full_name, "is compressed with an unsupported method",
                        "deflate or no compression");
    expected_ = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
    if (expected_ > kMaxEntryBytes)
        throw FileError(full_name, fmt::format("holds {} bytes", expected_),
                        fmt::format("at most {}", kMaxEntryBytes));
    count(std::max<std::int64_t>(expected_, 0));
    return result;
}

std::vector<std::byte> ArchiveReader::read(std::int64_t max_bytes) {
    archive* handle = handle_.get();
    const std::int64_t most = std::min(max_bytes, kMaxEntryBytes);
    const auto refuse = [&](std::int64_t bytes, std::string_view least) {
        throw FileError(join(name_, current_), fmt::format("holds {}{} bytes", least, bytes),
                        fmt::format("at most {}", most));
    };
    if (expected_ > most) refuse(expected_, "");
    std::vector<std::byte> contents;
    constexpr std::int64_t kFirst = 1 << 16;
    std::int64_t size = 0;
    while (true) {
        // Memory grows with the data received, not with the declared size.
        const std::int64_t room = std::min(std::max(2 * size, kFirst), most + 1);
        if (size < room) contents.resize(room);
        const auto got = archive_read_data(handle, contents.data() + size, room - size);
        if (got < 0) fail(static_cast<int>(got));
        if (got == 0) break;
        size += got;
        if (size > most) refuse(most, "over ");
    }
    if (expected_ >= 0 && size != expected_)
        throw FileError(join(name_, current_), fmt::format("holds {} bytes", size),
                        fmt::format("the {} that the archive declares", expected_));
    if (expected_ < 0) count(size);
    contents.resize(size);
    contents.shrink_to_fit();
    return contents;
}

}  // namespace cnpd::datasets
