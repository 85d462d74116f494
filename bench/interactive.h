// The protocol between bench/compare.py and a benchmark program, and the program's stand-alone
// mode. The program prints "ready" after its setup; for each line "step" on stdin it prints one
// line of JSON with the seconds of the work and the process's peak memory; "quit" or the end of the
// input ends it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>

#include "cnpd/training/precision.h"
#include "engine/device.h"
#include "engine/storage.h"
#include "kernels/common/error.h"
#ifdef CNPD_HAS_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::bench {

struct Mode {
    engine::Device device;
    training::Precision precision = training::Precision::fp32;
    bool interactive = false;
    int warm_up = 3, repeats = 10;

    void add_to(CLI::App& app) {
        app.add_option_function<std::string>(
               "--device",
               [this](const std::string& name) {
                   try {
                       device = engine::device_from_name(name);
                   } catch (const Error& error) {
                       throw CLI::ValidationError("--device", error.what());
                   }
               },
               "cpu, cuda or emulated")
            ->default_str("cpu");
        app.add_option_function<std::string>(
               "--precision",
               [this](const std::string& name) {
                   try {
                       precision = settings::value_named<training::Precision>("--precision", name);
                   } catch (const Error& error) {
                       throw CLI::ValidationError("--precision", error.what());
                   }
               },
               "fp32, tf32 or bf16")
            ->default_str("fp32");
        app.add_option_function<int>("--threads", [](int count) { omp_set_num_threads(count); })
            ->default_str(std::to_string(omp_get_max_threads()));
        app.add_option("--warm-up", warm_up)->capture_default_str();
        app.add_option("--repeats", repeats)->capture_default_str();
        app.add_flag("--interactive", interactive, "Read commands from stdin");
    }
    // The type of a network's activations. Prepares the process for the precision; if there are no
    // kernels for it, prints a message and exits.
    engine::DType prepare() const {
        const training::Compute compute{.device = device, .precision = precision};
        try {
            training::prepare(compute);
        } catch (const Error& error) {
            std::cerr << error.what() << '\n';
            std::exit(2);
        }
        return compute.activations();
    }
};

// Runs work() once and returns the seconds until the device has finished. The work returns
// additional JSON fields: ", \"name\": 1".
template <class Work>
double timed(const Mode& mode, const Work& work, std::string& fields) {
    const auto start = std::chrono::steady_clock::now();
    fields = work();
#ifdef CNPD_HAS_CUDA
    if (mode.device.backend != engine::Backend::cpu) kernels::gpu::synchronize();
#else
    (void)mode;
#endif
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class Work>
int run(const Mode& mode, const Work& work) {
    std::string fields;
    const auto print = [&](double seconds) {
        std::cout << fmt::format(
                         "{{\"seconds\": {}, \"peak_rss_bytes\": {}, \"peak_device_bytes\": {}{}}}",
                         seconds, engine::peak_resident_bytes(),
                         engine::memory_statistics(mode.device).peak, fields)
                  << std::endl;
    };
    if (!mode.interactive) {
        for (int i = 0; i < mode.warm_up; ++i) timed(mode, work, fields);
        std::vector<double> seconds(mode.repeats);
        for (double& s : seconds) s = timed(mode, work, fields);
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
        print(timed(mode, work, fields));
    }
    return 0;
}

}  // namespace cnpd::bench
