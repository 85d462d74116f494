// Images as the bytes of a JPEG file.
#pragma once

#include <string>

#include <doctest/doctest.h>

// The library does not export its image writer, so tests that write JPEGs include their own copy.
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

#include "datasets/image.h"

namespace cnpd::tests {

// Quality 95.
inline std::string jpeg(const datasets::Image& image) {
    std::string file;
    const auto append = [](void* context, void* data, int size) {
        static_cast<std::string*>(context)->append(static_cast<const char*>(data), size);
    };
    REQUIRE(stbi_write_jpg_to_func(append, &file, static_cast<int>(image.w),
                                   static_cast<int>(image.h), static_cast<int>(image.c),
                                   image.pixels.data(), 95));
    return file;
}

}  // namespace cnpd::tests
