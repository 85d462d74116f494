// The same bits for any number of threads: sums and loops over elements, rows and images. Products
// are in threads_test.cpp.
#include <algorithm>

#include "kernels/attack_loss/attack_loss.h"
#include "kernels/augmentation/augmentation.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/concatenation/concatenation.h"
#include "kernels/defense_loss/defense_loss.h"
#include "kernels/dropout/dropout.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/embedding/embedding.h"
#include "kernels/optimizer/optimizer.h"
#include "kernels/pgd/pgd.h"
#include "kernels/pooling/adaptive.h"
#include "kernels/pooling/pooling.h"
#include "kernels/router/router.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "kernels/stamping/stamping.h"
#include "tests/support/teams.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

const std::int64_t counts[] = {1, 1023, 40009, 1'000'003};
const std::int64_t matrices[][2] = {{1, 1},     {40009, 3},  {131072, 16}, {33333, 24},
                                    {8192, 64}, {2048, 512}, {5, 100003},  {4099, 131}};

std::vector<double> zeros(std::int64_t count) {
    return std::vector<double>(static_cast<std::size_t>(count), 0.0);
}

}  // namespace

TEST_CASE("threads: loops over elements give the same bits for any number") {
    for (const std::int64_t count : counts) {
        CAPTURE(count);
        const auto x = random_values(count), y = random_values(count);
        same_on_every_team(
            [&](float* sum, float* product, float* scaled, float* open, float* opened,
                float* filled, double* total, double* squares) {
                cpu::add(x.data(), y.data(), count, sum);
                cpu::multiply(x.data(), y.data(), count, product);
                cpu::scale(x.data(), count, 0.37f, scaled);
                cpu::relu_forward(x.data(), count, open);
                cpu::relu_backward(y.data(), x.data(), count, opened);
                cpu::fill(filled, count, 3);
                cpu::accumulate(x.data(), count, total);
                cpu::sum_of_squares(x.data(), count, squares);
            },
            unwritten(count), unwritten(count), unwritten(count), unwritten(count),
            unwritten(count), unwritten(count), zeros(count), zeros(1));
        const DropoutDraw draw = {.seed = 3, .step = 4};
        same_on_every_team([&](float* out) { cpu::dropout(0.3f, x.data(), count, &draw, out); },
                           unwritten(count));
    }
}

TEST_CASE("threads: sums over rows and batch norm give the same bits for any number") {
    for (const auto& [rows, channels] : matrices)
        for (const bool relu : {false, true}) {
            INFO(fmt::format("[{},{}], relu {}", rows, channels, relu));
            const std::int64_t size = rows * channels;
            const auto x = random_values(size, 2, 5), dy = random_values(size),
                       add = random_values(size), a = random_values(channels),
                       b = random_values(channels), c = random_values(channels),
                       center = random_values(channels, 1, 5);
            same_on_every_team(
                [&](float* sums, float* shifted, float* mean, float* variance, float* y,
                    float* sum_g, float* sum_gx, float* dx) {
                    cpu::sum_rows(x.data(), rows, channels, sums);
                    cpu::add_row(x.data(), b.data(), rows, channels, shifted);
                    cpu::batch_norm_statistics(x.data(), rows, channels, mean, variance);
                    cpu::batch_norm_apply(x.data(), rows, channels, a.data(), b.data(), relu, y);
                    cpu::batch_norm_backward_reduce(dy.data(), x.data(), rows, channels,
                                                    center.data(), a.data(), b.data(), relu, sum_g,
                                                    sum_gx);
                    cpu::batch_norm_backward_input(dy.data(), x.data(), rows, channels, a.data(),
                                                   b.data(), relu, a.data(), b.data(), c.data(),
                                                   add.data(), dx);
                },
                unwritten(channels), unwritten(size), unwritten(channels), unwritten(channels),
                unwritten(size), unwritten(channels), unwritten(channels), unwritten(size));
        }
}

TEST_CASE("threads: optimizers give the same bits for any number") {
    for (const std::int64_t count : counts) {
        CAPTURE(count);
        const auto gradient = random_values(count);
        const float learning_rate = 0.1f;
        same_on_every_team(
            [&](float* parameter, float* velocity, float* first, float* second, float* other) {
                const SgdBuffer sgd = {.gradient = gradient.data(),
                                       .parameter = parameter,
                                       .velocity = velocity,
                                       .count = count,
                                       .learning_rate = &learning_rate,
                                       .weight_decay = 5e-4f};
                cpu::sgd_step({.momentum = 0.9f, .nesterov = true}, &sgd, 1);
                std::int64_t updates = 3;
                const AdamBuffer adam = {.gradient = gradient.data(),
                                         .parameter = other,
                                         .first_moment = first,
                                         .second_moment = second,
                                         .count = count,
                                         .learning_rate = &learning_rate,
                                         .updates = &updates,
                                         .weight_decay = 5e-4f};
                cpu::adam_step({}, &adam, 1);
            },
            random_values(count), random_values(count), random_values(count),
            std::vector<float>(count, 0.5f), random_values(count));
        const RowClipping clipping = {.rows = 3, .factor = 1.7, .norm = 0.4};
        same_on_every_team(
            [&](float* one, float* other, float* factors) {
                const RowsBuffer buffers[] = {{one, count}, {other, 7}};
                cpu::clip_rows(clipping, buffers, 2, factors);
            },
            random_values(3 * count), random_values(21), unwritten(3));
    }
}

TEST_CASE("threads: losses give the same bits for any number") {
    for (const auto& [rows, classes] :
         {std::pair{1, 2}, {129, 10}, {1025, 43}, {257, 200}, {20011, 10}}) {
        INFO(fmt::format("{} rows, {} classes", rows, classes));
        const std::int64_t size = std::int64_t{rows} * classes;
        const auto logits = random_values(size), adversarial = random_values(size);
        const auto labels = random_labels(rows, classes), targets = random_labels(rows, classes);
        const float weight = 1.0f / static_cast<float>(rows);
        same_on_every_team(
            [&](float* probabilities, float* losses, float* dlogits, std::int32_t* predictions) {
                cpu::softmax(logits.data(), rows, classes, probabilities);
                cpu::softmax_cross_entropy_forward(logits.data(), labels.data(), rows, classes,
                                                   0.1f, losses);
                cpu::softmax_cross_entropy_backward(logits.data(), labels.data(), rows, classes,
                                                    0.1f, &weight, dlogits);
                cpu::argmax(logits.data(), rows, classes, predictions);
            },
            unwritten(size), unwritten(rows), unwritten(size), std::vector<std::int32_t>(rows, -1));
        same_on_every_team(
            [&](float* loss, float* terms, float* dclean, float* dadversarial, float* attack,
                std::int32_t* state) {
                cpu::defense_loss(rows, classes, logits.data(), adversarial.data(),
                                  {labels.data(), labels.data(), targets.data()}, {}, loss, terms,
                                  dclean, dadversarial);
                AttackState attacked = {0, 0, 0, rows};
                cpu::attack_loss({{logits.data(), nullptr}, {attack, nullptr}}, rows, classes,
                                 targets.data(), targets.data(), AttackDirection::towards, 0.9,
                                 &attacked);
                *state = attacked.fooled;
            },
            unwritten(1), unwritten(4), unwritten(size), unwritten(size), unwritten(size),
            std::vector<std::int32_t>(1, -1));
    }
}

TEST_CASE("threads: pooling gives the same bits for any number") {
    for (const PoolingShape& s : {PoolingShape{33, 32, 32, 13, 2, 2, 2},
                                  {129, 4, 4, 128, 4, 4},
                                  {7, 31, 29, 24, 3, 3, 2, 1},
                                  {1, 113, 113, 3, 3, 3, 1, 1}}) {
        INFO(fmt::format("{}x{}x{}x{}", s.n, s.h, s.w, s.c));
        const std::int64_t in = s.n * s.h * s.w * s.c, out = s.n * s.out_h() * s.out_w() * s.c;
        const auto x = random_values(in), dy = random_values(out);
        same_on_every_team(
            [&](float* average, float* daverage, float* largest, std::int32_t* where,
                float* dlargest) {
                cpu::average_pool_forward(s, x.data(), average);
                cpu::average_pool_backward(s, dy.data(), daverage);
                cpu::max_pool_forward(s, x.data(), largest, where);
                cpu::max_pool_backward(s, dy.data(), where, dlargest);
            },
            unwritten(out), unwritten(in), unwritten(out), std::vector<std::int32_t>(out, -1),
            unwritten(in));
    }
    const AdaptivePoolingShape s = {19, 5, 3, 37, 7, 7};
    const std::int64_t in = s.n * s.h * s.w * s.c, out = s.n * s.out_h * s.out_w * s.c;
    const auto x = random_values(in), dy = random_values(out);
    same_on_every_team(
        [&](float* y, float* dx) {
            cpu::adaptive_average_pool_forward(s, x.data(), y);
            cpu::adaptive_average_pool_backward(s, dy.data(), dx);
        },
        unwritten(out), unwritten(in));
}

TEST_CASE("threads: image kernels give the same bits for any number") {
    constexpr std::int64_t kImages = 37, kPixels = 31 * 29, kSize = kPixels * 3;
    const float mean[] = {0.1f, 0.5f, 0.4f}, inverse_std[] = {4, 5, 6};
    std::vector<float> x = random_values(kImages * kSize, 0.2f, 0.5f);
    for (float& value : x) value = std::clamp(value, 0.f, 1.f);
    const auto dinput = random_values(kImages * kSize);
    for (const auto gradient : {PgdGradient::sign, PgdGradient::raw, PgdGradient::normalised})
        for (const auto norm : {PgdNorm::l2, PgdNorm::linf, PgdNorm::l1}) {
            const PgdSettings settings = {.n = kImages,
                                          .pixels = kPixels,
                                          .channels = 3,
                                          .gradient = gradient,
                                          .norm = norm,
                                          .radius = 0.5f,
                                          .mean = mean,
                                          .inverse_std = inverse_std};
            same_on_every_team(
                [&](float* adversarial, float* input) {
                    cpu::pgd_step(settings, x.data(), dinput.data(), adversarial, input);
                },
                x, unwritten(kImages * kSize));
        }

    std::vector<std::uint8_t> bytes(kImages * kSize);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
    std::vector<double> levels(256), added(kSize, 3.25);
    for (int i = 0; i < 256; ++i) levels[i] = 0.8 * i;
    const auto indices = random_labels(53, kImages);
    const Augmentation augmentation = {.h = 31,
                                       .w = 29,
                                       .c = 3,
                                       .crop_padding = 4,
                                       .flip = true,
                                       .seed = 5,
                                       .epoch = 2,
                                       .mean = mean,
                                       .inverse_std = inverse_std};
    same_on_every_team(
        [&](std::uint8_t* stamped, float* batch) {
            cpu::stamp_bytes({kImages, kSize}, bytes.data(), levels.data(), added.data(), stamped);
            cpu::augment(augmentation, bytes.data(), indices.data(), 53, batch);
        },
        bytes, unwritten(53 * kSize));
}

TEST_CASE("threads: tables and routers give the same bits for any number") {
    for (const auto& [rows, count, columns] :
         {std::tuple{10, 129, 515}, {43, 1000, 129}, {1, 7, 3}, {200, 4099, 64}}) {
        INFO(fmt::format("{} rows of {}, {} times", rows, columns, count));
        const auto table = random_values(rows * columns), dy = random_values(count * columns);
        const auto indices = random_labels(count, rows);
        same_on_every_team(
            [&](float* y, float* dtable, float* beside, float* left) {
                cpu::embedding_forward(table.data(), indices.data(), count, columns, y);
                cpu::embedding_backward(dy.data(), indices.data(), count, rows, columns, dtable);
                cpu::concatenate_forward(dy.data(), columns, y, columns, count, beside);
                cpu::concatenate_backward(beside, columns, columns, count, left, nullptr);
            },
            unwritten(count * columns), unwritten(rows * columns), unwritten(2 * count * columns),
            unwritten(count * columns));
    }
    for (const auto& [classes, experts, width, values] :
         {std::tuple{10, 4, 513, 40009}, {43, 7, 64, 4099}, {200, 10, 517, 100003}}) {
        INFO(fmt::format("{} classes, {} experts of {}", classes, experts, values));
        const AttentionShape attention = {classes, experts, width};
        const MixtureShape mixture = {classes, experts, values};
        const auto queries = random_values(classes * width, 0.3f),
                   keys = random_values(experts * width, 0.3f),
                   dattention = random_values(classes * experts),
                   maps = random_values(std::int64_t{experts} * values),
                   dmixed = random_values(std::int64_t{classes} * values);
        same_on_every_team(
            [&](float* shares, float* dqueries, float* dkeys, float* mixed, float* dexperts,
                float* dshares) {
                cpu::router_attention(attention, queries.data(), keys.data(), shares);
                cpu::router_attention_backward(attention, queries.data(), keys.data(), shares,
                                               dattention.data(), dqueries, dkeys);
                cpu::mix_experts(mixture, shares, maps.data(), mixed);
                cpu::mix_experts_backward(mixture, shares, dmixed.data(), dexperts);
                cpu::mix_experts_backward_attention(mixture, maps.data(), dmixed.data(), dshares);
            },
            unwritten(classes * experts), unwritten(classes * width), unwritten(experts * width),
            unwritten(std::int64_t{classes} * values), unwritten(std::int64_t{experts} * values),
            unwritten(classes * experts));
    }
}
