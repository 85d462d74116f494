// ./run ladder [OPERATION...]: prints the ladders of these operations, by default of all.
//
// The program of the emulated build prints the tables, with the measured times of the file TIMES if
// --times TIMES is given. The program of a build for real GPUs measures them and writes the file:
// lines "operation version seconds".
#include <algorithm>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "bench/ladder/ladder.h"
#include "bench/ladder/report.h"
#include "kernels/common/error.h"
#include "kernels/common/gpu.h"

namespace {

using namespace cnpd;
using namespace cnpd::bench;

std::vector<Ladder> all_ladders() {
    std::vector<Ladder> all;
    for (const auto make : {polarizer_ladder, polarizer_wgrad_ladder, convolution_ladder,
                            batch_norm_ladder, pgd_ladder})
        all.push_back(make());
    return all;
}

// Those that are named, all if none is. Throws InputError.
std::vector<Ladder> chosen(const std::vector<std::string>& names) {
    std::vector<Ladder> ladders = all_ladders();
    std::string known;
    for (const Ladder& ladder : ladders) known += (known.empty() ? "" : ", ") + ladder.operation;
    for (const std::string& name : names)
        if (std::none_of(ladders.begin(), ladders.end(),
                         [&](const Ladder& ladder) { return ladder.operation == name; }))
            throw InputError(fmt::format("no ladder {}; there are {}", name, known));
    std::erase_if(ladders, [&](const Ladder& ladder) {
        return !names.empty() &&
               std::find(names.begin(), names.end(), ladder.operation) == names.end();
    });
    return ladders;
}

#ifndef CNPD_EMULATED
// The median of 20 runs, with the caches filled with other data before each.
double seconds_of(const Call& call) {
    constexpr std::size_t kLargerThanCaches = 256 << 20;
    void* const other = kernels::gpu::allocate(kLargerThanCaches);
    std::vector<double> times;
    for (int i = 0; i < 23; ++i) {
        kernels::gpu::set_zero(other, kLargerThanCaches);
        kernels::gpu::Event start, end;
        start.record();
        call.launch();
        end.record();
        end.synchronize();
        if (i >= 3) times.push_back(end.seconds_since(start));
    }
    kernels::gpu::release(other);
    std::nth_element(times.begin(), times.begin() + 10, times.end());
    return times[10];
}
#endif

int run(const std::vector<std::string>& names, const std::string& times) {
#ifdef CNPD_EMULATED
    Times measured;
    std::ifstream in(times);
    for (std::string operation, version; in >> operation >> version;)
        in >> measured[{operation, version}];
    for (const Ladder& ladder : chosen(names)) print(ladder, measured);
#else
    std::ofstream out(times);
    for (const Ladder& ladder : chosen(names))
        for (const Rung& rung : ladder.rungs)
            out << ladder.operation << ' ' << rung.version << ' ' << seconds_of(rung.prepare(true))
                << '\n';
#endif
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> names(argv + 1, argv + argc);
    std::string times;
    if (names.size() >= 2 && names.front() == "--times") {
        times = names[1];
        names.erase(names.begin(), names.begin() + 2);
    }
    try {
        return run(names, times);
    } catch (const InputError& error) {
        fmt::print(stderr, "ladder: {}\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        fmt::print(stderr, "ladder: {}\n", error.what());
        return 1;
    }
}
