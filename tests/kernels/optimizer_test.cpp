#include "kernels/optimizer/optimizer.h"

#include "tests/support/backends.h"

using namespace cnpd::kernels;
using namespace cnpd::tests;

namespace {

// Zero elements, fewer and more than an access of 16 bytes, and several blocks with a remainder.
const std::int64_t kCounts[] = {0, 1, 5, 67, 100003};

// Three steps of three parameters, computed in double from PyTorch's formulas outside of this
// program.
const std::vector<float> kGradients[3] = {{0.5f, -1, 0.25f}, {0.1f, 0.2f, -0.3f}, {-0.4f, 0, 0.7f}};
const std::vector<float> kStart = {1, -2, 0.5f};

// Parameters with the optimizer's state; `second` is Adam's.
struct Parameter {
    Guarded<float> gradient, parameter, first, second;
    std::vector<float> learning_rate, active;  // active: empty or one number
    std::vector<std::int64_t> updates{0};
    float weight_decay;

    Parameter(const std::vector<float>& g, const std::vector<float>& p, float rate, float decay,
              std::int64_t offset = 0)
        : gradient(g, offset),
          parameter(p, offset),
          first(std::vector<float>(p.size(), 0.0f), offset),
          second(std::vector<float>(p.size(), 0.0f), offset),
          learning_rate{rate},
          weight_decay(decay) {}
    bool intact() const {
        return gradient.intact() && parameter.intact() && first.intact() && second.intact();
    }
};

const float* active_of(Staging& staging, const Parameter& p) {
    return p.active.empty() ? nullptr : staging.pass(p.active);
}

template <class Function>
void sgd(const Implementation<Function>& run, const SgdSettings& settings,
         std::vector<Parameter>& parameters) {
    Staging staging(run.memory);
    std::vector<SgdBuffer> buffers;
    for (Parameter& p : parameters)
        buffers.push_back({.gradient = staging.pass(std::as_const(p.gradient)),
                           .parameter = staging.pass(p.parameter),
                           .velocity = settings.momentum == 0 ? nullptr : staging.pass(p.first),
                           .count = p.parameter.size(),
                           .learning_rate = staging.pass(std::as_const(p.learning_rate)),
                           .active = active_of(staging, p),
                           .weight_decay = p.weight_decay});
    run.function(settings, buffers.data(), static_cast<std::int64_t>(buffers.size()));
    staging.finish();
}

template <class Function>
void adam(const Implementation<Function>& run, const AdamSettings& settings,
          std::vector<Parameter>& parameters) {
    Staging staging(run.memory);
    std::vector<AdamBuffer> buffers;
    for (Parameter& p : parameters)
        buffers.push_back({.gradient = staging.pass(std::as_const(p.gradient)),
                           .parameter = staging.pass(p.parameter),
                           .first_moment = staging.pass(p.first),
                           .second_moment = staging.pass(p.second),
                           .count = p.parameter.size(),
                           .learning_rate = staging.pass(std::as_const(p.learning_rate)),
                           .active = active_of(staging, p),
                           .updates = staging.pass(p.updates),
                           .weight_decay = p.weight_decay});
    run.function(settings, buffers.data(), static_cast<std::int64_t>(buffers.size()));
    staging.finish();
}

// More parameters than one launch takes, of all sizes; every fifth is not updated.
std::vector<Parameter> many_parameters() {
    std::vector<Parameter> all;
    for (std::int64_t i = 0; i < 75; ++i) {
        const std::int64_t count = i == 40 ? 100003 : kCounts[i % 4];
        all.emplace_back(random_values(count), random_values(count),
                         0.01f * static_cast<float>(1 + i % 3), i % 2 ? 0.1f : 0.0f, i % 3);
        if (i % 5 == 0) all.back().active = {0};
        if (i % 5 == 1) all.back().active = {0.3f};
    }
    return all;
}

void check_parameters(const std::vector<Parameter>& actual, const std::vector<Parameter>& expected,
                      bool second) {
    for (std::size_t i = 0; i < actual.size(); ++i) {
        CAPTURE(i);
        // A few roundings of numbers below 10.
        check_close(actual[i].parameter, expected[i].parameter, 5e-7, 1e-6, "parameter");
        check_close(actual[i].first, expected[i].first, 1e-6, 1e-6, "first buffer");
        if (second) check_close(actual[i].second, expected[i].second, 2e-6, 1e-10, "second buffer");
        CHECK(actual[i].updates == expected[i].updates);
        CHECK(actual[i].intact());
    }
}

}  // namespace

TEST_CASE("sgd computes PyTorch's steps") {
    struct Known {
        float momentum, weight_decay;
        bool nesterov;
        std::vector<double> expected;
    };
    const Known known[] = {
        {0.9f, 5e-4f, false, {0.885229511874875, -1.7664570237497499, 0.41911300593743744}},
        {0.9f, 5e-4f, true, {0.8765751339117676, -1.7095430478235352, 0.3621312494558838}},
        {0, 5e-2f, false, {0.965623625, -1.89104725, 0.4276368125}},
    };
    for (const auto& step : CNPD_WITH_REFERENCE(sgd_step))
        for (const Known& k : known) {
            INFO(step.backend);
            std::vector<Parameter> p;
            p.emplace_back(kGradients[0], kStart, 0.1f, k.weight_decay);
            for (const auto& gradient : kGradients) {
                std::copy(gradient.begin(), gradient.end(), p[0].gradient.data());
                sgd(step, {.momentum = k.momentum, .nesterov = k.nesterov}, p);
            }
            check_close(p[0].parameter, k.expected, 5e-7, 0, "parameter");
        }
}

TEST_CASE("adam computes PyTorch's steps") {
    for (const auto& step : CNPD_WITH_REFERENCE(adam_step)) {
        INFO(step.backend);
        std::vector<Parameter> p;
        p.emplace_back(kGradients[0], kStart, 0.01f, 0.01f);
        for (const auto& gradient : kGradients) {
            std::copy(gradient.begin(), gradient.end(), p[0].gradient.data());
            adam(step, {}, p);
        }
        check_close(
            p[0].parameter,
            std::vector<double>{0.9806862514483804, -1.9804744421256921, 0.4861295758062336}, 5e-7,
            0, "parameter");
        CHECK(p[0].updates.front() == 3);
    }
}

TEST_CASE("sgd equals the reference for many parameters at once, of every size, unaligned too") {
    for (int variant = 0; variant < 4; ++variant) {
        CAPTURE(variant);
        const SgdSettings settings = {.momentum = variant & 1 ? 0.9f : 0.0f,
                                      .nesterov = (variant & 2) != 0};
        const auto start = many_parameters();
        auto expected = start;
        for (int step = 0; step < 2; ++step) sgd(CNPD_REFERENCE(sgd_step), settings, expected);
        for (const auto& run : CNPD_IMPLEMENTATIONS(sgd_step)) {
            INFO(run.backend);
            auto actual = start;
            for (int step = 0; step < 2; ++step) sgd(run, settings, actual);
            check_parameters(actual, expected, false);
        }
    }
}

TEST_CASE("adam equals the reference for many parameters at once, of every size, unaligned too") {
    const auto start = many_parameters();
    auto expected = start;
    for (int step = 0; step < 3; ++step) adam(CNPD_REFERENCE(adam_step), {}, expected);
    for (const auto& run : CNPD_IMPLEMENTATIONS(adam_step)) {
        INFO(run.backend);
        auto actual = start;
        for (int step = 0; step < 3; ++step) adam(run, {}, actual);
        check_parameters(actual, expected, true);
    }
}

TEST_CASE("a parameter that is not updated keeps its bits") {
    for (const auto& run : CNPD_WITH_REFERENCE(sgd_step)) {
        INFO(run.backend);
        std::vector<Parameter> p;
        p.emplace_back(random_values(67), random_values(67), 0.1f, 0.1f);
        p[0].active = {0};
        const auto before = p[0].parameter.storage();
        sgd(run, {.momentum = 0.9f}, p);
        CHECK(p[0].parameter.storage() == before);
        CHECK(p[0].first[0] == 0);
    }
}

TEST_CASE("rows are clipped to a common norm, row by row") {
    struct Shape {
        std::int64_t rows, values, others;
    };
    for (const Shape& s : {Shape{1, 1, 1}, Shape{4, 49, 7}, Shape{10, 5000, 64}})
        for (const double norm : {0.0, 1.0, 1e3}) {
            CAPTURE(s.values);
            CAPTURE(norm);
            auto large = random_values(s.rows * s.values), small = random_values(s.rows * s.others);
            // With several rows the last one has no gradient.
            if (s.rows > 1) {
                std::fill(large.end() - s.values, large.end(), 0.0f);
                std::fill(small.end() - s.others, small.end(), 0.0f);
            }
            const RowClipping clipping{.rows = s.rows, .factor = 10, .norm = norm};
            const auto clip = [&](const auto& run, Guarded<float>& a, Guarded<float>& b,
                                  Guarded<float>& factors) {
                Staging staging(run.memory);
                const RowsBuffer buffers[] = {{staging.pass(a), s.values},
                                              {staging.pass(b), s.others}};
                run.function(clipping, buffers, 2, staging.pass(factors));
                staging.finish();
            };
            Guarded<float> a_expected(large), b_expected(small), factors_expected(s.rows);
            clip(CNPD_REFERENCE(clip_rows), a_expected, b_expected, factors_expected);
            for (const auto& run : CNPD_IMPLEMENTATIONS(clip_rows)) {
                INFO(run.backend);
                Guarded<float> a(large), b(small), factors(s.rows);
                clip(run, a, b, factors);
                check_close(factors, factors_expected, 3e-7, 0x1p-149, "factors");
                check_close(a, a_expected, 5e-7, 0x1p-149, "gradients");
                check_close(b, b_expected, 5e-7, 0x1p-149, "the other gradients");
                CHECK((a.intact() && b.intact() && factors.intact()));
                if (s.rows > 1) CHECK(factors[s.rows - 1] == 0);
            }
        }
}

TEST_CASE("clipping: a row that is not finite has the factor NaN, other rows are unaffected") {
    for (const auto& run : CNPD_WITH_REFERENCE(clip_rows)) {
        INFO(run.backend);
        Guarded<float> gradient({1, 2, std::numeric_limits<float>::infinity(), 3, 0, 0.5f});
        Guarded<float> factors(3);
        Staging staging(run.memory);
        const RowsBuffer buffer{staging.pass(gradient), 2};
        run.function({.rows = 3, .factor = 2, .norm = 0}, &buffer, 1, staging.pass(factors));
        staging.finish();
        CHECK(factors[0] == 2);
        CHECK(std::isnan(factors[1]));
        CHECK(factors[2] == 2);
        CHECK(gradient[0] == 2);
    }
}
