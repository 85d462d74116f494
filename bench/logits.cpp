// Kernels on logits [N,classes]: the losses of training, of the attacks and of the defense, and the
// counts of metrics, relative to the memory bandwidth (bench/device.h). At the batch size of a
// training step the launch is the limit; the large batch is that of an evaluation.
#include <functional>
#include <string>

#include "bench/device.h"
#include "kernels/attack_loss/attack_loss.h"
#include "kernels/defense_loss/defense_loss.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace {

using namespace cnpd;
using namespace cnpd::kernels;
using bench::data;
using bench::integers;
using bench::options;
using engine::DType;
using engine::Tensor;

constexpr std::int64_t kSets = 4;  // of labels that an evaluation compares with

struct Logits {
    Logits(std::int64_t samples, std::int64_t k)
        : n(samples),
          classes(k),
          clean(bench::values(n * classes)),
          adversarial(clean.clone()),
          dclean(clean.clone()),
          dadversarial(clean.clone()),
          label(bench::labels(n, classes)),
          target(bench::labels(n + 1, classes).rows(1, n).clone()),
          found(label.clone()),
          route(label.clone()),
          sets(bench::labels(kSets * n, classes)),
          losses(bench::values(n)),
          small(Tensor::full({8}, 1, options().device)),
          counts(Tensor::zeros({kSets}, DType::int64, options().device)),
          sums(Tensor::zeros({2}, DType::float64, options().device)),
          state_words(Tensor::zeros({4}, DType::int32, options().device)) {}
    AttackState* state() { return reinterpret_cast<AttackState*>(integers(state_words)); }
    std::int64_t n, classes;
    Tensor clean, adversarial, dclean, dadversarial, label, target, found, route, sets, losses,
        small, counts, sums, state_words;
};

// A kernel with `of_logit` bytes for each logit and `of_row` bytes for each row.
struct Bytes {
    std::int64_t of_logit, of_row;
};

void add(const std::string& name, const Bytes& bytes, const std::function<void(Logits&)>& run) {
    for (const std::int64_t n : {options().batch, 16 * options().batch})
        for (const std::int64_t classes : bench::numbers_of_classes()) {
            if (bytes.of_logit == 0 && classes != bench::numbers_of_classes().front()) continue;
            bench::add(fmt::format("{}/samples:{}/classes:{}", name, n, classes),
                       [=](benchmark::State& state) {
                           Logits logits(n, classes);
                           bench::measure(state, n * (bytes.of_logit * classes + bytes.of_row),
                                          [&] { run(logits); });
                       });
        }
}

void add_cross_entropy() {
    add("softmax", {8, 0}, [](Logits& t) {
        CNPD_RUN(options().device, softmax, data(t.clean), t.n, t.classes, data(t.dclean));
    });
    add("cross_entropy", {4, 8}, [](Logits& t) {
        CNPD_RUN(options().device, softmax_cross_entropy_forward, data(t.clean), integers(t.label),
                 t.n, t.classes, 0.1f, data(t.losses));
    });
    add("cross_entropy_gradient", {8, 4}, [](Logits& t) {
        CNPD_RUN(options().device, softmax_cross_entropy_backward, data(t.clean), integers(t.label),
                 t.n, t.classes, 0.1f, data(t.small), data(t.dclean));
    });
    add("mean_weight", {0, 4}, [](Logits& t) {
        CNPD_RUN(options().device, mean_weight, integers(t.label), t.n, data(t.small));
    });
}

void add_counting() {
    add("argmax", {4, 4}, [](Logits& t) {
        CNPD_RUN(options().device, argmax, data(t.clean), t.n, t.classes, integers(t.found));
    });
    add("count_equal", {0, 8}, [](Logits& t) {
        CNPD_RUN(options().device, count_equal, integers(t.label), integers(t.target), t.n,
                 t.counts.data<std::int64_t>());
    });
    add("count_matches", {4, 4 * kSets}, [](Logits& t) {
        CNPD_RUN(options().device, count_matches, data(t.clean), t.n, t.classes, integers(t.sets),
                 kSets, t.counts.data<std::int64_t>());
    });
}

void add_attack() {
    add("attack_start", {4, 16}, [](Logits& t) {
        const AttackLabels labels{integers(t.found), integers(t.target), integers(t.route)};
        CNPD_RUN(options().device, attack_start, data(t.clean), t.n, t.classes, integers(t.label),
                 AttackDirection::towards, labels, t.state());
    });
    for (const int models : {1, 2})
        add(fmt::format("attack_loss/models:{}", models), {8 * models, 8}, [=](Logits& t) {
            const AttackedModels attacked{
                {data(t.clean), models == 2 ? data(t.adversarial) : nullptr},
                {data(t.dclean), models == 2 ? data(t.dadversarial) : nullptr}};
            constexpr double kNever = 2;
            CNPD_RUN(options().device, attack_loss, attacked, t.n, t.classes, integers(t.label),
                     integers(t.target), AttackDirection::towards, kNever, t.state());
        });
    add("attack_reached", {4, 12}, [](Logits& t) {
        CNPD_RUN(options().device, attack_reached, data(t.clean), t.n, t.classes, integers(t.label),
                 integers(t.found), integers(t.route));
    });
    add("strongest_other", {4, 8}, [](Logits& t) {
        CNPD_RUN(options().device, strongest_other, data(t.clean), t.n, t.classes,
                 integers(t.label), integers(t.found));
    });
    bench::add("attack_account", [](benchmark::State& state) {
        Logits t(1, 2);
        bench::measure(state, 16 + 32, [&] {
            CNPD_RUN(options().device, attack_account, t.state(), t.sums.data<double>());
        });
    });
}

// Its four terms and both gradients.
void add_defense() {
    add("defense_loss", {16, 12}, [](Logits& t) {
        const DefenseLossLabels labels{integers(t.label), integers(t.found), integers(t.target)};
        CNPD_RUN(options().device, defense_loss, t.n, t.classes, data(t.clean), data(t.adversarial),
                 labels, DefenseLossWeights{}, data(t.small), data(t.small) + 1, data(t.dclean),
                 data(t.dadversarial));
    });
}

}  // namespace

int main(int argc, char** argv) {
    bench::initialize(argc, argv);
    add_cross_entropy();
    add_counting();
    add_attack();
    add_defense();
    benchmark::RunSpecifiedBenchmarks();
}
