// The protocol in which bench/compare.py drives a benchmark, and its stand-alone form: "ready" once
// set up, then for each line "step" on stdin one line of JSON with the seconds that the work took
// and the process's peak memory; "quit" or the end of the input ends it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "engine/storage.h"

namespace cnpd::bench {

// Runs work() once and returns the seconds. The work returns fields of JSON to add: ", \"name\":
// 1".
template <class Work>
double timed(const Work& work, std::string& fields) {
    const auto start = std::chrono::steady_clock::now();
    fields = work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Mode {
    bool interactive = false;
    int warm_up = 3, repeats = 10;
};

template <class Work>
int run(const Mode& mode, const Work& work) {
    std::string fields;
    const auto print = [&](double seconds) {
        std::cout << fmt::format("{{\"seconds\": {}, \"peak_rss_bytes\": {}{}}}", seconds,
                                 engine::peak_resident_bytes(), fields)
                  << std::endl;
    };
    if (!mode.interactive) {
        for (int i = 0; i < mode.warm_up; ++i) timed(work, fields);
        std::vector<double> seconds(mode.repeats);
        for (double& s : seconds) s = timed(work, fields);
        std::sort(seconds.begin(), seconds.end());
        fields +=
            fmt::format(", \"fastest\": {}, \"slowest\": {}", seconds.front(), seconds.back());
        print(seconds[seconds.size() / 2]);
        return 0;
    }
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
        if (line != "step") {
            std::cerr << "unknown command '" << line << "'; expected step or quit\n";
            return 2;
        }
        print(timed(work, fields));
    }
    return 0;
}

}  // namespace cnpd::bench
