// Writes the column of predicted times of docs/kernels.md: predict_kernels docs/kernels.md
#include <exception>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "bench/model/kernel_table.h"

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: {} docs/kernels.md\n", argv[0]);
        return 2;
    }
    try {
        std::ifstream in(argv[1]);
        const std::string page{std::istreambuf_iterator<char>(in), {}};
        in.close();
        const std::string updated = cnpd::bench::with_predictions(page);
        std::ofstream(argv[1]) << updated;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}: {}\n", argv[0], error.what());
        return 1;
    }
    return 0;
}
