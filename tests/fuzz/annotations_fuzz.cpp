// Reads: datasets/annotations.cpp datasets/gtsrb/table.cpp datasets/tiny_imagenet/tables.cpp
#include "datasets/gtsrb/gtsrb.h"
#include "datasets/tiny_imagenet/tiny_imagenet.h"
#include "engine/utf8.h"
#include "kernels/common/error.h"

namespace {

using namespace cnpd;
using namespace cnpd::datasets;

const std::vector<std::string> kIds = {"n00000001", "n00000002", "n00000003"};

void check(const std::vector<Annotation>& annotations, std::int32_t classes) {
    std::int64_t line = 0;
    for (const Annotation& annotation : annotations) {
        if (annotation.label < 0 || annotation.label >= classes) __builtin_trap();
        if (annotation.line <= line) __builtin_trap();
        line = annotation.line;
    }
}

void read_gtsrb(std::string_view table) {
    check(gtsrb::read_table(table, "fuzz"), gtsrb::kClasses);
}

void read_kaggle(std::string_view table) {
    check(gtsrb::read_kaggle_table(table, "fuzz"), gtsrb::kClasses);
}

void read_tiny_annotations(std::string_view table) {
    check(tiny_imagenet::read_annotations(table, "fuzz", kIds), 3);
}

void read_tiny_ids(std::string_view table) {
    const auto ids = tiny_imagenet::read_ids(table, "fuzz");
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (ids[i].size() != 9 || (i > 0 && ids[i] <= ids[i - 1])) __builtin_trap();
}

void read_tiny_names(std::string_view table) {
    const auto names = tiny_imagenet::read_names(table, "fuzz", kIds);
    if (names.size() != kIds.size()) __builtin_trap();
    for (const std::string& name : names)
        if (name.empty() || !engine::is_utf8(name)) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view table(reinterpret_cast<const char*>(data), size);
    for (const auto read :
         {read_gtsrb, read_kaggle, read_tiny_annotations, read_tiny_ids, read_tiny_names})
        try {
            read(table);
        } catch (const FileError& error) {
            if (std::string_view(error.what()).find('\n') != std::string_view::npos)
                __builtin_trap();
        }
    return 0;
}
