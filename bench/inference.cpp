// The cost of a purified model at inference, compared with the victim alone: the prefix runs once,
// the suffix twice, and every polarizer except the ensemble is one affine map for each image.
//
//     bench_inference --width 16 --batch 1 256
//
// The weights are random: speed does not depend on them. Victim and purified models alternate, and
// the ratio is that of the fastest times, because the machine may be shared. bench/compare.py
// compares the victim with other runtimes.
#include <algorithm>
#include <limits>

#include "bench/interactive.h"
#include "cnpd/defenses/polarizing/polarizers/purified_model.h"
#include "cnpd/defenses/polarizing/polarizing.h"
#include "engine/autograd.h"
#include "engine/passive_waiting.h"
#include "models/classifier.h"

using namespace cnpd;

namespace {

struct Contender {
    std::string name;
    std::unique_ptr<polarizers::Polarizer> polarizer;  // null: the victim alone
    std::unique_ptr<polarizers::PurifiedModel> model;
    double fastest = std::numeric_limits<double>::infinity();
};

std::vector<Contender> contenders_for(const models::Classifier& victim, std::int64_t channels,
                                      engine::Device device) {
    std::vector<Contender> all;
    all.push_back({.name = "victim", .polarizer = nullptr, .model = nullptr});
    const auto add = [&](const std::string& name, const std::string& polarizer,
                         polarizers::Routing routing) {
        auto made = defenses::untrained_polarizer(
            {.method = polarizer},
            {.classes = victim.classes(), .channels = channels, .device = device}, 0);
        auto model = std::make_unique<polarizers::PurifiedModel>(
            victim, *made,
            polarizers::PurifiedOptions{.insertion_point = victim.insertion_point(),
                                        .routing = routing});
        all.push_back({.name = name, .polarizer = std::move(made), .model = std::move(model)});
    };
    for (const std::string& method : defenses::methods_with_polarizers())
        add(method, method, polarizers::Routing::prediction);
    add("ensemble", "r-cnpd", polarizers::Routing::ensemble);
    return all;
}

void call(const Contender& contender, const models::Classifier& victim,
          const engine::Tensor& input) {
    if (contender.model)
        contender.model->predict(input);
    else
        victim.forward(input);
}

// Times one call of each contender.
void take_turns(const bench::Mode& mode, const models::Classifier& victim,
                const engine::Tensor& input, std::vector<Contender>& contenders,
                std::vector<std::vector<double>>& seconds) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
        std::string none;
        seconds[i].push_back(bench::timed(
            mode, [&] { return call(contenders[i], victim, input), std::string(); }, none));
        contenders[i].fastest = std::min(contenders[i].fastest, seconds[i].back());
    }
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// For each line "step" on stdin: calls the victim and r-cnpd alternately for a while, and prints
// the medians as JSON.
int serve(const bench::Mode& mode, const models::Classifier& victim, const engine::Tensor& input,
          std::vector<Contender> contenders, double limit) {
    contenders.resize(2);
    std::vector<std::vector<double>> warm_up(contenders.size());
    for (int i = 0; i < mode.warm_up; ++i) take_turns(mode, victim, input, contenders, warm_up);
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line) && line == "step";) {
        std::vector<std::vector<double>> seconds(contenders.size());
        for (Contender& each : contenders) each.fastest = std::numeric_limits<double>::infinity();
        const auto start = std::chrono::steady_clock::now();
        do take_turns(mode, victim, input, contenders, seconds);
        while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() <
               limit);
        std::cout << fmt::format(
                         "{{\"seconds\": {}, \"fastest\": {}, \"purified\": {}, "
                         "\"purified_fastest\": {}, \"calls\": {}}}",
                         median(seconds[0]), contenders[0].fastest, median(seconds[1]),
                         contenders[1].fastest, seconds[0].size())
                  << std::endl;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    models::ModelOptions options{.width = 16};
    std::vector<std::int64_t> batches{1, 256};
    std::int64_t size = 32;
    double limit = 0.1;
    bench::Mode mode{.device = {}, .warm_up = 3, .repeats = 30};
    CLI::App app("Times purified models and compares them with the victim alone.");
    app.add_option("--model", options.name)->capture_default_str();
    app.add_option("--width", options.width)->capture_default_str();
    app.add_option("--classes", options.classes)->capture_default_str();
    app.add_option("--size", size, "Pixels per side")->capture_default_str();
    app.add_option("--batch", batches)->capture_default_str();
    app.add_option("--seconds", limit, "With --interactive: of one step")->capture_default_str();
    mode.add_to(app);
    CLI11_PARSE(app, argc, argv);

    options.activations = mode.prepare();
    engine::Generator generator(0);
    const auto victim = models::make_model(options, generator, mode.device);
    victim->freeze();
    const engine::NoGrad no_grad;
    const auto input_of = [&](std::int64_t batch) {
        return engine::normal_tensor(generator, {batch, size, size, 3}, 1, mode.device);
    };
    const auto contenders_of = [&](const engine::Tensor& input) {
        return contenders_for(
            *victim, victim->prefix(input, victim->insertion_point()).z.shape()[3], mode.device);
    };
    if (mode.interactive) {
        const engine::Tensor input = input_of(batches.front());
        return serve(mode, *victim, input, contenders_of(input), limit);
    }
    std::cout << "batch,method,seconds,of_victim\n";
    for (const std::int64_t batch : batches) {
        const engine::Tensor input = input_of(batch);
        auto contenders = contenders_of(input);
        std::vector<std::vector<double>> seconds(contenders.size());
        for (int i = 0; i < mode.warm_up + mode.repeats; ++i) {
            if (i == mode.warm_up)
                for (Contender& each : contenders)
                    each.fastest = std::numeric_limits<double>::infinity();
            take_turns(mode, *victim, input, contenders, seconds);
        }
        for (const Contender& each : contenders)
            std::cout << fmt::format("{},{},{:.6f},{:.3f}\n", batch, each.name, each.fastest,
                                     each.fastest / contenders.front().fastest);
    }
}
