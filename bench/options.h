// The command line of the programs that time kernels, in addition to Google Benchmark's flags:
//     --device cpu|cuda|emulated   (default: cuda if there is a GPU)
//     --batch N                    images; other sizes follow (default: 128, on cuda 512, emulated
//                                  2)
// bench/gpu.sh runs every one of these programs that it finds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/device.h"
#include "kernels/common/error.h"
#ifdef CNPD_REAL_CUDA
#include "kernels/common/gpu.h"
#endif

namespace cnpd::bench {

struct Options {
    engine::Device device = engine::default_device();
    std::int64_t batch = 0;
    bool on_host() const { return device.backend == engine::Backend::cpu; }
    bool emulated() const { return device.backend == engine::Backend::emulated; }
};
inline Options& options() {
    static Options options;
    return options;
}

inline std::int64_t default_batch(engine::Backend backend) {
    if (backend == engine::Backend::emulated) return 2;
    return backend == engine::Backend::cuda ? 512 : 128;
}

// Takes our options from the command line and passes the others to Google Benchmark.
inline void initialize(int& argc, char** argv) {
    std::vector<char*> rest{argv[0]};
    const auto value_of = [&](int& i, std::string_view name) -> const char* {
        const std::string_view argument = argv[i];
        if (argument == name && i + 1 < argc) return argv[++i];
        if (argument.starts_with(name) && argument.substr(name.size()).starts_with('='))
            return argv[i] + name.size() + 1;
        return nullptr;
    };
    try {
        for (int i = 1; i < argc; ++i) {
            if (const char* device = value_of(i, "--device"))
                options().device = engine::device_from_name(device);
            else if (const char* batch = value_of(i, "--batch"))
                options().batch = std::strtoll(batch, nullptr, 10);
            else
                rest.push_back(argv[i]);
        }
    } catch (const Error& error) {
        std::cerr << argv[0] << ": " << error.what() << '\n';
        std::exit(2);
    }
    if (options().batch < 1) options().batch = default_batch(options().device.backend);
    argc = static_cast<int>(rest.size());
    std::copy(rest.begin(), rest.end(), argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) std::exit(2);
    benchmark::AddCustomContext("device", options().device.str());
    benchmark::AddCustomContext("batch", std::to_string(options().batch));
#ifdef CNPD_REAL_CUDA
    if (!options().on_host()) benchmark::AddCustomContext("gpu", kernels::gpu::properties().name);
#endif
}

}  // namespace cnpd::bench
