// Reads: datasets/cifar10/pickle.cpp datasets/cifar10/python.cpp
#include "datasets/cifar10/cifar10.h"
#include "datasets/cifar10/pickle.h"
#include "kernels/common/error.h"

namespace {

using namespace cnpd;
using namespace cnpd::datasets;

void parse(std::span<const std::byte> file) {
    const cifar10::Pickle pickle(file, "fuzz");
    // The contents of an array must be in memory.
    const auto* value = pickle.find("data");
    const auto* array = value ? std::get_if<cifar10::Pickle::Array>(value) : nullptr;
    unsigned sum = 0;
    if (array)
        for (const char byte : array->bytes) sum += static_cast<unsigned char>(byte);
    if (sum == 1u << 31) __builtin_trap();
}

void read_batch(std::span<const std::byte> file) {
    Images images;
    cifar10::read_python_batch(file, "fuzz", 1, images);
    if (images.n != 1 || images.labels[0] < 0 || images.labels[0] > 9) __builtin_trap();
}

void read_names(std::span<const std::byte> file) {
    if (cifar10::read_python_names(file, "fuzz").size() != 10) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const auto read : {parse, read_batch, read_names}) try {
            read(std::as_bytes(std::span(data, size)));
        } catch (const FileError& error) {
            if (std::string_view(error.what()).find('\n') != std::string_view::npos)
                __builtin_trap();
        }
    return 0;
}
