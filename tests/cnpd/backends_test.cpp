// The same training on every device of the build must give the same losses.
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "cnpd/defenses/polarizing/bilevel.h"
#include "cnpd/defenses/polarizing/polarizing.h"
#include "cnpd/ops/adversarial.h"
#include "datasets/batches.h"
#include "datasets/synthetic/synthetic.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "engine/step_graph.h"
#include "models/classifier.h"
#include "tests/support/compare.h"
#include "tests/support/notices.h"
#ifdef CNPD_EMULATED
#include "kernels/emulator/capture.h"
#endif

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;
using defenses::PolarizerKind;
using polarizers::BatchNormMode;

namespace {

std::vector<Device> other_devices() {
    std::vector<Device> devices;
    for (const Device& device : available_devices())
        if (device.backend != Backend::cpu) devices.push_back(device);
    return devices;
}

const datasets::Images& images() {
    static const datasets::Images images =
        datasets::synthetic::generate({.train = 40, .test = 1}).train;
    return images;
}

datasets::BatchSource source_on(Device device) {
    return {images(), {0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}, device};
}

std::unique_ptr<models::Classifier> model_on(Device device, DType activations = DType::float32,
                                             const std::string& name = "preact-resnet18") {
    Generator generator(5);
    const bool vgg = name.starts_with("vgg");
    return models::make_model(
        {.name = name, .width = 2, .head = vgg ? "cifar" : "", .activations = activations},
        generator, device);
}

PolarizerKind small(const std::string& method) {
    PolarizerKind kind{.method = method};
    if (method == "a-cnpd") kind.options.push_back({"experts", "3"});
    if (method == "a-cnpd" || method == "e-cnpd") kind.options.push_back({"embedding-width", "4"});
    return kind;
}

std::vector<PolarizerKind> all_polarizers() {
    std::vector<PolarizerKind> all;
    for (const std::string& method : defenses::methods_with_polarizers())
        all.push_back(small(method));
    all.push_back(small("e-cnpd"));
    all.back().options.push_back({"embedding", "film"});
    return all;
}

std::unique_ptr<polarizers::Polarizer> polarizer_on(Device device, const PolarizerKind& kind,
                                                    DType activations = DType::float32) {
    return defenses::untrained_polarizer(
        kind, {.classes = 10, .channels = 16, .device = device, .activations = activations}, 3);
}

const std::vector<std::int32_t>& batch(int step) {
    static const std::vector<std::int32_t> halves[] = {{0, 1, 2, 3, 4, 5, 6, 7},
                                                       {8, 9, 10, 11, 12, 13, 14, 15}};
    return halves[step % 2];
}

// Augmented batches, Nesterov SGD.
std::vector<double> training_losses(Device device, DType activations = DType::float32,
                                    const std::string& name = "preact-resnet18", int steps = 10) {
    const auto model = model_on(device, activations, name);
    const auto source = source_on(device);
    Sgd optimizer({{.parameters = model->parameters(), .weight_decay = 5e-4}},
                  {.momentum = 0.9, .nesterov = true});
    optimizer.set_learning_rate(0.002);
    std::vector<double> losses;
    for (int step = 0; step < steps; ++step) {
        const Tensor input = source.input(
            batch(step), datasets::Augmentation{.crop_padding = 4,
                                                .flip = true,
                                                .seed = 1,
                                                .epoch = static_cast<std::uint64_t>(step)});
        const Tensor loss =
            engine::ops::cross_entropy(model->forward(input), source.labels(batch(step)));
        losses.push_back(loss.item());
        backward(loss);
        optimizer.step();
        optimizer.zero_grad();
    }
    return losses;
}

// Outer steps of the defense on clean images and, as a fixed perturbation, other images.
std::vector<double> defense_losses(Device device, const PolarizerKind& kind = {},
                                   DType activations = DType::float32,
                                   BatchNormMode statistics = BatchNormMode::frozen) {
    const auto victim = model_on(device, activations);
    victim->freeze();
    const auto source = source_on(device);
    const std::string point = victim->insertion_point();
    const auto count = static_cast<std::int64_t>(batch(0).size());
    const Tensor labels = source.labels(batch(0));
    const auto cut_of = [&](int which) {
        const NoGrad no_grad;
        return victim->prefix(source.input(batch(which)), point);
    };
    const models::Cut clean = cut_of(0), pushed = cut_of(1);
    const Tensor predictions = engine::ops::argmax(victim->suffix(clean, point));
    const Tensor targets =
        Tensor::from(std::vector<std::int32_t>{3, -1, 1, 5, 5, -1, 0, 9}, {count}, device);
    const Tensor routes =
        Tensor::from(std::vector<std::int32_t>{3, 0, 1, 5, 5, 0, 0, 9}, {count}, device);

    const auto made = polarizer_on(device, kind, activations);
    polarizers::Polarizer& polarizer = *made;
    Sgd optimizer(polarizer.parameter_groups(5e-4), {.momentum = 0.9});
    optimizer.set_learning_rate(0.05);
    std::vector<double> losses;
    for (int step = 0; step < 6; ++step) {
        polarizer.refresh();
        const auto through = [&](const models::Cut& cut, const Tensor& by) {
            const polarizers::BatchNormScope scope(polarizer, statistics);
            return victim->suffix({polarizer.apply(cut.z, by), cut.residual}, point);
        };
        const cnpd::ops::DefenseLoss loss = cnpd::ops::defense_loss(
            through(clean, predictions), through(pushed, routes),
            {.label = labels, .restored = predictions, .target = targets}, {});
        losses.push_back(loss.loss.item());
        backward(loss.loss);
        polarizer.prepare_gradients(1);
        optimizer.step();
        optimizer.zero_grad();
    }
    return losses;
}

}  // namespace

TEST_CASE("ten training steps on every device give the CPU's losses") {
    const auto expected = training_losses({});
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        check_close(training_losses(device), expected, 1e-4, 0, "losses");
    }
}

TEST_CASE("steps of every polarizer on every device give the CPU's losses") {
    for (const PolarizerKind& kind : all_polarizers())
        for (const BatchNormMode statistics : {BatchNormMode::frozen, BatchNormMode::train}) {
            CAPTURE(kind.method);
            CAPTURE(static_cast<int>(statistics));
            const auto expected = defense_losses({}, kind, DType::float32, statistics);
            CHECK(expected.back() < expected.front());
            for (const Device& device : other_devices()) {
                CAPTURE(device.str());
                check_close(defense_losses(device, kind, DType::float32, statistics), expected,
                            1e-4, 0, "losses");
            }
        }
}

namespace {

// Very small, because these cases test the order of operations.
datasets::BatchSource tiny_source_on(Device device) {
    datasets::Images tiny{.n = 16, .h = 8, .w = 8, .c = 3, .pixels = {}, .labels = {}};
    for (std::int64_t i = 0; i < tiny.n * 8 * 8 * 3; ++i)
        tiny.pixels.push_back(static_cast<std::uint8_t>(i * i * 31 % 251));
    for (std::int32_t i = 0; i < tiny.n; ++i) tiny.labels.push_back(i % 10);
    return {tiny, {0.5f, 0.5f, 0.5f}, {0.25f, 0.25f, 0.25f}, device};
}

// One step as a function of its inputs, for StepGraph.
struct GraphedTraining {
    explicit GraphedTraining(Device device)
        : model(model_on(device)),
          optimizer({{.parameters = model->parameters(), .weight_decay = 5e-4}},
                    {.momentum = 0.9, .nesterov = true}),
          graph([this](std::span<const Tensor> inputs) {
              optimizer.zero_grad();
              const Tensor loss = engine::ops::cross_entropy(model->forward(inputs[0]), inputs[1]);
              backward(loss);
              optimizer.step();
              return loss.detach();
          }) {}

    std::unique_ptr<models::Classifier> model;
    Sgd optimizer;
    StepGraph graph;
};

std::vector<std::vector<float>> weights_of(const nn::Module& module) {
    std::vector<std::vector<float>> values;
    for (const nn::NamedTensor& each : module.state())
        if (each.tensor.dtype() == DType::float32) values.push_back(each.tensor.to_host<float>());
    return values;
}

}  // namespace

TEST_CASE("on every device, replayed steps give the same weights as steps without graphs") {
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        GraphedTraining recorded(device), written(device);
        written.graph.run_as_written();
        const auto source = tiny_source_on(device);
        // One batch of another size: the recording is dropped and made again later.
        const int counts[] = {8, 8, 8, 6, 8, 8};
        std::int64_t number = 0;
        for (const int count : counts) {
            const auto indices = std::span(batch(static_cast<int>(number++))).first(count);
            const Tensor inputs[] = {source.input(indices), source.labels(indices)};
            for (GraphedTraining* each : {&recorded, &written})
                each->optimizer.set_learning_rate(0.01 / static_cast<double>(number));
            // Something that takes and returns memory between two replays.
            const Tensor other = Tensor::full({number * 1000}, 7, device);
            CHECK(recorded.graph.run(inputs).item() == written.graph.run(inputs).item());
            CHECK(other.to_host<float>() == std::vector<float>(other.elements(), 7));
        }
        CHECK(recorded.graph.replays() == 3);
        CHECK(recorded.graph.obstacle().empty());
        CHECK(weights_of(*recorded.model) == weights_of(*written.model));
    }
}

namespace {

// Result of a defense with one warm-up epoch and two epochs.
struct Defended {
    std::vector<nlohmann::ordered_json> records;
    std::vector<std::vector<float>> polarizer;
    std::int64_t replays = 0;
};

Defended defend_on(Device device, bool as_written, double stop_share,
                   const PolarizerKind& kind = {}, DType activations = DType::float32) {
    const auto victim = model_on(device, activations);
    victim->freeze();
    const auto source = tiny_source_on(device);
    const auto made = polarizer_on(device, kind, activations);
    polarizers::Polarizer& polarizer = *made;
    defenses::BilevelTask task(*victim, polarizer, source, nullptr,
                               {.insertion_point = victim->insertion_point(),
                                .warmup_epochs = 1,
                                .epochs = 2,
                                .batch_size = 8,
                                .adversary = {.stop_share = stop_share},
                                .draws = {.crop_padding = 1, .flip = true}});
    if (as_written) task.run_as_written();
    Defended defended;
    for (std::int64_t epoch = 0; epoch < task.epochs(); ++epoch) {
        for (std::int64_t b = 0; b < task.batches(); ++b) task.step(epoch, b);
        task.end_epoch(epoch, 0, defended.records.emplace_back());
    }
    CHECK(task.obstacle_to_graphs().empty());  // in the end
    defended.polarizer = weights_of(polarizer);
    defended.replays = task.replays();
    return defended;
}

}  // namespace

TEST_CASE("every polarizer's defense on every device gives the same bits with and without graphs") {
    for (const PolarizerKind& kind : all_polarizers())
        for (const Device& device : other_devices()) {
            CAPTURE(kind.method);
            CAPTURE(device.str());
            const Defended written = defend_on(device, true, 0.6, kind);
            const Defended replayed = defend_on(device, false, 0.6, kind);
            CHECK(replayed.replays == 3);
            CHECK(replayed.polarizer == written.polarizer);
            CHECK(replayed.records == written.records);
        }
}

#ifdef CNPD_EMULATED
TEST_CASE("every device: a failed recording does not change the result of the defense") {
    const Device device{.backend = Backend::emulated};
    for (const std::string name : {"r-cnpd", "a-cnpd", "e-cnpd"}) {
        CAPTURE(name);
        const PolarizerKind kind = small(name);
        const Defended written = defend_on(device, true, 0.6, kind);
        // In the warm-up's graph, whose launches are fewer, and then in the other one's forward
        // pass, backward pass and update.
        std::int64_t in_the_bilevel_step = 0;
        for (std::int64_t launches = 5; in_the_bilevel_step < 3; launches += 40) {
            CAPTURE(launches);
            const Notices notices;
            kernels::emulator::fail_capture_after(launches);
            const Defended replayed = defend_on(device, false, 0.6, kind);
            kernels::emulator::fail_capture_after(-1);
            REQUIRE(notices.lines().size() == 1);
            CHECK(replayed.polarizer == written.polarizer);
            CHECK(replayed.records == written.records);
            if (replayed.replays == 2) ++in_the_bilevel_step;
        }
    }
}
#endif

TEST_CASE("the defense on every device, with and without graphs, gives the CPU's result") {
    // An attack that never stops, and one that stops before its first step. The CPU skips the
    // remaining steps; other devices run them without effect.
    for (const double stop_share : {2.0, -1.0}) {
        const Defended expected = defend_on({}, true, stop_share);
        for (const Device& device : other_devices()) {
            CAPTURE(device.str());
            const Defended written = defend_on(device, true, stop_share);
            const Defended replayed = defend_on(device, false, stop_share);
            CHECK(written.replays == 0);
            CHECK(replayed.replays == 3);  // of four steps; the first is not replayed
            CHECK(replayed.polarizer == written.polarizer);
            CHECK(replayed.records == written.records);
            for (std::size_t i = 0; i < expected.polarizer.size(); ++i)
                check_close(replayed.polarizer[i], expected.polarizer[i], 1e-4, 1e-5, "polarizer");
            for (std::size_t epoch = 0; epoch < expected.records.size(); ++epoch)
                for (const auto& [name, value] : expected.records[epoch].items())
                    CHECK(replayed.records[epoch][name].get<double>() ==
                          doctest::Approx(value.get<double>()).epsilon(1e-4));
        }
    }
}

// An activation, rounded to one part in 256 at most and by half of that on average, passes about 20
// layers: a logit of size 1 is off by sqrt(20) / 512, 1 %. The effect of the steps differs by as
// much again.
constexpr double kBfloat16Loss = 0.02;

TEST_CASE("ten training steps in bfloat16 follow float32's losses") {
    const auto expected = training_losses({});
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        check_close(training_losses(device, DType::bfloat16), expected, kBfloat16Loss, 0, "losses");
    }
}

TEST_CASE("a step of the other models in bfloat16 follows float32's losses") {
    for (const std::string name : {"resnet18", "vgg16-bn"}) {
        CAPTURE(name);
        const auto expected = training_losses({}, DType::float32, name, 2);
        for (const Device& device : other_devices()) {
            CAPTURE(device.str());
            check_close(training_losses(device, DType::bfloat16, name, 2), expected, kBfloat16Loss,
                        0, "losses");
        }
    }
}

TEST_CASE("steps of the defense in bfloat16 follow float32's losses") {
    for (const BatchNormMode statistics : {BatchNormMode::frozen, BatchNormMode::train}) {
        const auto expected = defense_losses({}, {}, DType::float32, statistics);
        for (const Device& device : other_devices()) {
            CAPTURE(device.str());
            check_close(defense_losses(device, {}, DType::bfloat16, statistics), expected,
                        kBfloat16Loss, 0, "losses");
        }
    }
}

TEST_CASE("a defense in bfloat16 gives the same bits with and without graphs") {
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        const Defended written = defend_on(device, true, 0.6, {}, DType::bfloat16);
        const Defended replayed = defend_on(device, false, 0.6, {}, DType::bfloat16);
        CHECK(replayed.replays == 3);
        CHECK(replayed.polarizer == written.polarizer);
        CHECK(replayed.records == written.records);
    }
}

TEST_CASE(
    "the gradient of an image through a bfloat16 network is float32, and close to float32's") {
    const auto gradient = [](Device device, DType activations) {
        const auto victim = model_on(device, activations);
        victim->freeze();
        const std::string point = victim->insertion_point();
        const auto source = source_on(device);
        Tensor leaf = source.input(batch(0));
        leaf.set_requires_grad();
        const models::Cut cut = victim->prefix(leaf, point);
        CHECK(cut.z.dtype() == activations);
        CHECK(cut.residual.dtype() == activations);
        const Tensor logits = victim->suffix(cut, point);
        CHECK(logits.dtype() == DType::float32);
        const Tensor loss = engine::ops::cross_entropy(logits, source.labels(batch(0)));
        return engine::gradients(loss, std::span(&leaf, 1)).front().to_host<float>();
    };
    const auto expected = gradient({}, DType::float32);
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        // A ReLU whose input lies within 1 % of 0 may open or close. If one in a hundred does, in
        // each of 17 layers, a share of sqrt(17 / 100) of the gradient changes.
        CHECK(relative_l2_error(gradient(device, DType::bfloat16), expected) < 0.4);
    }
}

TEST_CASE("every device: a PGD step through a bfloat16 network without casts") {
    for (const Device& device : other_devices()) {
        CAPTURE(device.str());
        const auto victim = model_on(device, DType::bfloat16);
        victim->freeze();
        const auto source = tiny_source_on(device);
        const cnpd::ops::Normalisation normalisation{source.mean(), source.inverse_std()};
        const training::Adversary adversary(*victim, victim->insertion_point(), normalisation,
                                            {.through = training::PgdThrough::plain}, 1);
        const Tensor pixels = source.pixels(batch(0));
        // The pixels after the step, and the next input, for an input of this type.
        const auto step = [&](DType type) {
            Tensor leaf = engine::ops::cast(adversary.normalise(pixels), type);
            leaf.set_requires_grad();
            const Tensor loss =
                engine::ops::cross_entropy(victim->forward(leaf), source.labels(batch(0)));
            const Tensor gradient = engine::gradients(loss, std::span(&leaf, 1)).front();
            CHECK(gradient.dtype() == type);
            Tensor adversarial = pixels.clone();
            const Tensor input =
                cnpd::ops::pgd_step({}, normalisation, pixels, gradient, adversarial);
            CHECK(input.dtype() == type);
            return std::pair{adversarial.to_host<float>(),
                             engine::ops::cast(input, DType::float32).to_host<float>()};
        };
        CHECK(adversary.normalise(pixels).dtype() == DType::bfloat16);
        const auto cast = step(DType::float32), direct = step(DType::bfloat16);
        // Wider accesses add up the norms in another order.
        check_close(direct.first, cast.first, 0, 2e-6, "pixels");
        check_close(direct.second, cast.second, 1.001 * kernels::kBfloat16Rounding, 1e-5, "input");
    }
}
