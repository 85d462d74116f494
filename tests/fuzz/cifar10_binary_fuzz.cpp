// Reads: datasets/cifar10/binary.cpp
#include "datasets/cifar10/cifar10.h"
#include "kernels/common/error.h"

namespace {

using namespace cnpd;
using namespace cnpd::datasets;

void read_batch(std::span<const std::byte> file) {
    const auto count = static_cast<std::int64_t>(file.size() / (1 + cifar10::kImageBytes));
    Images images;
    cifar10::read_binary_batch(file, "fuzz", count, images);
    if (images.n != count) __builtin_trap();
    for (const std::int32_t label : images.labels)
        if (label < 0 || label > 9) __builtin_trap();
}

void read_names(std::span<const std::byte> file) {
    const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
    if (cifar10::read_text_names(text, "fuzz").size() != 10) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const auto read : {read_batch, read_names}) try {
            read(std::as_bytes(std::span(data, size)));
        } catch (const FileError& error) {
            if (std::string_view(error.what()).find('\n') != std::string_view::npos)
                __builtin_trap();
        }
    return 0;
}
