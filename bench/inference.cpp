// The cost of a purified model at inference, compared with the victim alone: the prefix runs once,
// the suffix twice, and every polarizer except the ensemble is one affine map for each image.
//
//     bench_inference --width 16 --batch 1 256
//
// The weights are random: speed does not depend on them. Victim and purified models alternate, and
// the ratio is that of the fastest times, because the machine may be shared.
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

}  // namespace

int main(int argc, char** argv) {
    engine::wait_passively(argv);
    models::ModelOptions options{.width = 16};
    std::vector<std::int64_t> batches{1, 256};
    std::int64_t size = 32;
    bench::Mode mode{.device = {}, .warm_up = 3, .repeats = 30};
    CLI::App app("Times purified models and compares them with the victim alone.");
    app.add_option("--model", options.name)->capture_default_str();
    app.add_option("--width", options.width)->capture_default_str();
    app.add_option("--classes", options.classes)->capture_default_str();
    app.add_option("--size", size, "Pixels per side")->capture_default_str();
    app.add_option("--batch", batches)->capture_default_str();
    mode.add_to(app);
    CLI11_PARSE(app, argc, argv);

    options.activations = mode.prepare();
    engine::Generator generator(0);
    const auto victim = models::make_model(options, generator, mode.device);
    victim->freeze();
    const engine::NoGrad no_grad;
    std::cout << "batch,method,seconds,of_victim\n";
    for (const std::int64_t batch : batches) {
        const engine::Tensor input =
            engine::normal_tensor(generator, {batch, size, size, 3}, 1, mode.device);
        const std::int64_t channels = victim->prefix(input, victim->insertion_point()).z.shape()[3];
        auto contenders = contenders_for(*victim, channels, mode.device);
        for (int i = 0; i < mode.warm_up + mode.repeats; ++i)
            for (Contender& each : contenders) {
                std::string fields;
                const double seconds = bench::timed(
                    mode,
                    [&] {
                        if (each.model)
                            each.model->predict(input);
                        else
                            victim->forward(input);
                        return "";
                    },
                    fields);
                if (i >= mode.warm_up) each.fastest = std::min(each.fastest, seconds);
            }
        for (const Contender& each : contenders)
            std::cout << fmt::format("{},{},{:.6f},{:.3f}\n", batch, each.name, each.fastest,
                                     each.fastest / contenders.front().fastest);
    }
}
