// Trains a small network on drawn signs with the installed library; status 0 if its loss fell.
#include <cstdio>

#include "cnpd/version.h"
#include "datasets/batches.h"
#include "engine/autograd.h"
#include "engine/ops.h"
#include "engine/optimizer.h"
#include "models/classifier.h"

int main() {
    using namespace cnpd;
    const auto signs = datasets::load("synthetic", {.train_limit = 128, .test_limit = 1});
    const datasets::BatchSource images(signs.train, signs.mean, signs.std, {});
    engine::Generator generator(1);
    const auto model = models::make_model({.width = 4}, generator, {});
    engine::Sgd optimizer({{.parameters = model->parameters()}}, {.momentum = 0.9});
    optimizer.set_learning_rate(0.05);

    model->train();
    const datasets::Epoch epoch(images, images.size(), 1, 0);
    float first = 0, last = 0;
    for (int step = 0; step < 30; ++step) {
        optimizer.zero_grad();
        const auto logits = model->forward(images.input(epoch.indices(0)));
        const auto loss = engine::ops::cross_entropy(logits, epoch.labels(0));
        engine::backward(loss);
        optimizer.step();
        last = loss.item();
        if (step == 0) first = last;
    }
    int unused;  // a warning, which must not be an error here
    std::printf("cnpd %s: the loss fell from %.3f to %.3f\n", kVersion, first, last);
    return last < 0.8f * first ? 0 : 1;
}
