// Reads: datasets/image.cpp
#include "datasets/image.h"
#include "kernels/common/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace cnpd;
    using namespace cnpd::datasets;
    try {
        const Image image = decode_image(std::as_bytes(std::span(data, size)), "fuzz");
        if (static_cast<std::int64_t>(image.pixels.size()) != image.h * image.w * image.c)
            __builtin_trap();
        if (image.h * image.w < 1 << 12) resize(image, 5, 7);
    } catch (const FileError& error) {
        if (std::string_view(error.what()).find('\n') != std::string_view::npos) __builtin_trap();
    }
    return 0;
}
