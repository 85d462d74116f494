// Writes the predicted times of docs/kernels.md and docs/kernels-polarizer.md:
//     predict_kernels docs
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "bench/model/kernel_table.h"
#include "bench/model/polarizer_steps.h"

namespace {

template <typename Update>
void rewrite(const std::filesystem::path& file, const Update& update) {
    std::ifstream in(file);
    const std::string page{std::istreambuf_iterator<char>(in), {}};
    in.close();
    const std::string updated = update(page);
    std::ofstream(file) << updated;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: {} docs\n", argv[0]);
        return 2;
    }
    try {
        const std::filesystem::path docs = argv[1];
        rewrite(docs / "kernels.md", cnpd::bench::with_predictions);
        rewrite(docs / "kernels-polarizer.md", cnpd::bench::with_steps);
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}: {}\n", argv[0], error.what());
        return 1;
    }
    return 0;
}
