// Archives made by tests: valid ones with a folder's files, and invalid entries.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::tests {

struct ArchiveEntry {
    std::string name, contents = {};
    unsigned type = AE_IFREG;
    std::string link = {};  // the target of a link
    bool is_hard_link = false;
};

// Writes a zip if the name ends so, otherwise a tar with gzip, or without for ".tar".
class ArchiveWriter {
  public:
    explicit ArchiveWriter(const std::filesystem::path& path, const char* password = nullptr)
        : handle_(archive_write_new(), archive_write_free) {
        archive* handle = handle_.get();
        if (path.extension() == ".zip") {
            archive_write_set_format_zip(handle);
            if (password) {
                archive_write_set_options(handle, "zip:encryption=zipcrypt");
                archive_write_set_passphrase(handle, password);
            }
        } else {
            archive_write_set_format_pax_restricted(handle);
            if (path.extension() != ".tar") archive_write_add_filter_gzip(handle);
        }
        CNPD_CHECK(archive_write_open_filename(handle, path.c_str()) == ARCHIVE_OK,
                   archive_error_string(handle));
    }
    ArchiveWriter& add(const ArchiveEntry& entry) {
        const std::unique_ptr<archive_entry, void (*)(archive_entry*)> header(archive_entry_new(),
                                                                              archive_entry_free);
        archive_entry_set_pathname(header.get(), entry.name.c_str());
        archive_entry_set_filetype(header.get(), entry.type);
        archive_entry_set_perm(header.get(), 0644);
        archive_entry_set_size(header.get(), static_cast<la_int64_t>(entry.contents.size()));
        if (entry.is_hard_link)
            archive_entry_set_hardlink(header.get(), entry.link.c_str());
        else if (!entry.link.empty())
            archive_entry_set_symlink(header.get(), entry.link.c_str());
        archive* handle = handle_.get();
        const std::string& contents = entry.contents;
        // Warnings are about names that are not ASCII.
        CNPD_CHECK(archive_write_header(handle, header.get()) >= ARCHIVE_WARN,
                   archive_error_string(handle));
        CNPD_CHECK(archive_write_data(handle, contents.data(), contents.size()) >= 0,
                   archive_error_string(handle));
        return *this;
    }

  private:
    std::unique_ptr<archive, int (*)(archive*)> handle_;
};

inline void write_archive(const std::filesystem::path& path,
                          const std::vector<ArchiveEntry>& entries) {
    ArchiveWriter writer(path);
    for (const ArchiveEntry& entry : entries) writer.add(entry);
}

// All files below the folder, not in the order of their names.
inline void write_archive_of(const std::filesystem::path& folder, const std::filesystem::path& path,
                             const std::string& prefix = "") {
    namespace fs = std::filesystem;
    std::vector<ArchiveEntry> entries;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        const std::string name = prefix + fs::relative(entry.path(), folder).string();
        if (entry.is_directory())
            entries.push_back({.name = name + "/", .type = AE_IFDIR});
        else
            entries.push_back(
                {.name = name, .contents = engine::read_text_file(entry.path(), 1 << 28)});
    }
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.name > b.name; });
    write_archive(path, entries);
}

}  // namespace cnpd::tests
