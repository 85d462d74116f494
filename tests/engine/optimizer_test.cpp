#include "engine/optimizer.h"

#include <functional>

#include <doctest/doctest.h>

#include "tests/support/fixtures.h"
#include "tests/support/tape.h"

using namespace cnpd;
using namespace cnpd::engine;
using namespace cnpd::tests;

namespace {

constexpr std::int64_t kCount = 17;

struct Case {
    const char* name;
    std::function<std::unique_ptr<Optimizer>(const Tensor& parameter)> make;
};

std::vector<ParameterGroup> group_of(const Tensor& parameter, double decay) {
    return {{.parameters = {parameter}, .weight_decay = decay}};
}

std::function<std::unique_ptr<Optimizer>(const Tensor&)> sgd(const SgdOptions& options,
                                                             double decay) {
    return [=](const Tensor& p) -> std::unique_ptr<Optimizer> {
        auto optimizer = std::make_unique<Sgd>(group_of(p, decay), options);
        optimizer->set_learning_rate(0.1);
        return optimizer;
    };
}

std::function<std::unique_ptr<Optimizer>(const Tensor&)> adam(const AdamOptions& options,
                                                              double decay) {
    return [=](const Tensor& p) -> std::unique_ptr<Optimizer> {
        auto optimizer = std::make_unique<Adam>(group_of(p, decay), options);
        optimizer->set_learning_rate(0.01);
        return optimizer;
    };
}

const std::vector<Case>& cases() {
    static const std::vector<Case> all{
        {"sgd", sgd({.momentum = 0}, 0)},
        {"sgd_decay", sgd({.momentum = 0}, 0.01)},
        {"sgd_momentum", sgd({.momentum = 0.9}, 0)},
        {"sgd_nesterov", sgd({.momentum = 0.9, .nesterov = true}, 5e-4)},
        {"adam", adam({}, 0)},
        {"adam_decay", adam({.beta1 = 0.8, .beta2 = 0.99, .eps = 1e-6}, 0.1)},
    };
    return all;
}

Tensor row_of(const Tensor& path, std::int64_t step) {
    return path.rows(step, 1).view({kCount});
}

}  // namespace

TEST_CASE("optimizers match PyTorch's") {
    const Fixture f = Fixture("layers").in("optimizer");
    const Tensor gradients = f.tensor("gradients");
    for (const Case& c : cases()) {
        CAPTURE(c.name);
        Tensor parameter = f.leaf("start");
        const auto optimizer = c.make(parameter);
        const Tensor path = f.tensor(c.name);
        for (std::int64_t step = 0; step < gradients.shape()[0]; ++step) {
            parameter.set_grad(row_of(gradients, step).clone());
            optimizer->step();
            // Several roundings per step, of numbers near one.
            check_l2(parameter, row_of(path, step), 1e-6, "the parameter");
        }
    }
}

TEST_CASE("an optimizer with a copied state continues bit for bit") {
    const Fixture f = Fixture("layers").in("optimizer");
    const Tensor gradients = f.tensor("gradients");
    for (const Case& c : cases()) {
        CAPTURE(c.name);
        Tensor parameter = f.leaf("start");
        const auto optimizer = c.make(parameter);
        std::unique_ptr<Optimizer> resumed;
        Tensor copy;
        for (std::int64_t step = 0; step < gradients.shape()[0]; ++step) {
            if (step == 3) {
                copy = parameter.clone().set_requires_grad();
                resumed = c.make(copy);
                auto to = resumed->state();
                const auto from = optimizer->state();
                REQUIRE(to.size() == from.size());
                for (std::size_t i = 0; i < to.size(); ++i) {
                    CHECK(to[i].name == from[i].name);
                    to[i].tensor.copy_from(from[i].tensor);
                }
            }
            const Tensor gradient = row_of(gradients, step);
            parameter.set_grad(gradient.clone());
            optimizer->step();
            if (!resumed) continue;
            copy.set_grad(gradient.clone());
            resumed->step();
            CHECK(identical(copy, parameter));
        }
    }
}

TEST_CASE("a parameter without a gradient is not updated, neither by momentum nor by decay") {
    for (const Case& c : cases()) {
        CAPTURE(c.name);
        Tensor parameter = random_leaf({kCount}), twin = parameter.clone().set_requires_grad();
        const auto optimizer = c.make(parameter), twins = c.make(twin);
        const Tensor gradient = random_tensor({kCount});
        for (int step = 0; step < 3; ++step) {
            if (step == 1) {
                optimizer->zero_grad();
                CHECK(!parameter.grad().defined());
                const Tensor before = parameter.clone();
                std::vector<Tensor> state;
                for (const auto& named : optimizer->state())
                    if (named.tensor.dtype() == DType::float32)
                        state.push_back(named.tensor.clone());
                optimizer->step();
                CHECK(identical(parameter, before));
                std::size_t i = 0;
                for (const auto& named : optimizer->state())
                    if (named.tensor.dtype() == DType::float32)
                        CHECK(identical(named.tensor, state[i++]));
                continue;
            }
            for (Tensor* moved : {&parameter, &twin}) moved->set_grad(gradient.clone());
            optimizer->step();
            twins->step();
        }
        // Adam's bias correction does not count the step without a gradient.
        CHECK(identical(parameter, twin));
    }
}

TEST_CASE("parameter groups have their own learning rate and decay") {
    Tensor a = Tensor::full({3}, 2).set_requires_grad(),
           b = Tensor::full({2}, 2).set_requires_grad();
    Sgd optimizer(
        {{.parameters = {a}, .weight_decay = 0.5}, {.parameters = {b}, .learning_rate_factor = 10}},
        {.momentum = 0});
    optimizer.set_learning_rate(0.125);
    CHECK(optimizer.learning_rate() == 0.125);
    for (Tensor* parameter : {&a, &b}) parameter->set_grad(Tensor::full(parameter->shape(), 1));
    optimizer.step();
    CHECK(host(a) == std::vector<float>(3, 2 - 0.125f * (1 + 0.5f * 2)));
    CHECK(host(b) == std::vector<float>(2, 2 - 1.25f));
}

TEST_CASE("the optimizer's state has a unique name for each tensor") {
    const Tensor a = random_leaf({3, 2}), b = random_leaf({4});
    const Adam optimizer({{.parameters = {a}}, {.parameters = {b}}}, {});
    std::vector<std::string> names;
    for (const auto& named : optimizer.state()) names.push_back(named.name);
    CHECK(names == std::vector<std::string>{"first_moment.0000", "first_moment.0001",
                                            "second_moment.0000", "second_moment.0001", "updates"});
    CHECK(optimizer.state()[1].tensor.shape() == Shape{4});
    CHECK(optimizer.state()[4].tensor.shape() == Shape{2});
}
