// Selection of a library's algorithm, with a simulated library.
#include "kernels/vendor/algorithm_search.h"

#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "kernels/common/tf32.h"
#include "tests/support/notices.h"

using namespace cnpd;
using namespace cnpd::kernels;
using cnpd::tests::Notices;

namespace {

constexpr std::size_t kMost = 1000;

Measurement measured(int algorithm, Mathematics mathematics, std::size_t workspace = 10) {
    return {.algorithm = algorithm,
            .deterministic = true,
            .mathematics = mathematics,
            .workspace = workspace};
}
Measurement answered(int algorithm, Answer answer) {
    return {.algorithm = algorithm, .answer = answer, .deterministic = true};
}

std::optional<std::size_t> unasked(int, Mathematics) {
    FAIL("the scratch memory of a measured combination is known");
    return std::nullopt;
}

// A search in a library with given answers; counts the queries.
struct Search {
    const std::optional<ChosenAlgorithm>& run(const Measurements& answer) {
        return search.algorithm(
            "convolution_forward of a shape", Arithmetic::float32, kMost,
            [&] {
                ++asked;
                return answer;
            },
            unasked);
    }
    AlgorithmSearch search;
    int asked = 0;
};

const Measurements kFound{.results = {measured(3, Mathematics::fma)}};
const Measurements kBroken{.answer = Answer::failed, .error = "execution failed"};
const Measurements kUnsupported{.answer = Answer::unsupported, .error = "not supported"};

}  // namespace

TEST_CASE("float32 prefers algorithms measured with plain products") {
    const std::vector<Measurement> results = {measured(1, Mathematics::tensor_cores, 1),
                                              measured(2, Mathematics::standard, 2),
                                              measured(3, Mathematics::fma, 30)};
    CHECK(choose_algorithm(results, Arithmetic::float32, kMost, unasked) ==
          ChosenAlgorithm{3, Mathematics::fma, 30});
    CHECK(choose_algorithm(results, Arithmetic::tf32, kMost, unasked) ==
          ChosenAlgorithm{1, Mathematics::tensor_cores, 1});
    CHECK(choose_algorithm(results, Arithmetic::bfloat16, kMost, unasked) ==
          ChosenAlgorithm{1, Mathematics::tensor_cores, 1});
}

TEST_CASE("an algorithm that runs in another mode gets that mode's scratch memory") {
    const std::vector<Measurement> results = {measured(1, Mathematics::standard, 1),
                                              measured(2, Mathematics::standard, 2),
                                              measured(4, Mathematics::standard, 4)};
    const auto query = [](int algorithm, Mathematics mathematics) -> std::optional<std::size_t> {
        CHECK(mathematics == Mathematics::fma);
        if (algorithm == 1) return std::nullopt;  // not without tensor cores
        if (algorithm == 2) return kMost + 1;     // too much
        return 400;
    };
    CHECK(choose_algorithm(results, Arithmetic::float32, kMost, query) ==
          ChosenAlgorithm{4, Mathematics::fma, 400});
}

TEST_CASE("float16, non-deterministic algorithms and too much scratch memory are not chosen") {
    const auto none = [](int, Mathematics) { return std::optional<std::size_t>(); };
    auto random = measured(1, Mathematics::fma);
    random.deterministic = false;
    const std::vector<Measurement> results = {random, measured(2, Mathematics::converting),
                                              measured(3, Mathematics::fma, kMost + 1),
                                              answered(4, Answer::unsupported)};
    for (const auto arithmetic : {Arithmetic::float32, Arithmetic::tf32, Arithmetic::bfloat16})
        CHECK(!choose_algorithm(results, arithmetic, kMost, none));
}

TEST_CASE("a transient error of the library is not remembered") {
    const Notices notices;
    Search search;
    CHECK(!search.run(kBroken));
    CHECK(search.run(kFound) == ChosenAlgorithm{3, Mathematics::fma, 10});
    CHECK(search.run(kBroken));  // no further query
    CHECK(search.asked == 2);
    REQUIRE(notices.lines().size() == 1);
    CHECK(notices.lines()[0] ==
          "convolution_forward of a shape in float32: cuDNN: execution failed; a slower kernel is "
          "used this time");
}

TEST_CASE("an error in measuring each algorithm is an error of the search") {
    const Notices notices;
    Search search;
    CHECK(
        !search.run({.results = {answered(1, Answer::failed), answered(2, Answer::unsupported)}}));
    CHECK(search.run(kFound));
}

TEST_CASE("a persistent error is remembered after several attempts and reported") {
    const Notices notices;
    Search search;
    for (int i = 0; i < AlgorithmSearch::kMostErrors + 2; ++i) CHECK(!search.run(kBroken));
    CHECK(search.asked == AlgorithmSearch::kMostErrors);
    REQUIRE(notices.lines().size() == 2);  // the same line is passed on once
    CHECK(notices.lines()[1].ends_with("a slower kernel is used from now on"));
}

TEST_CASE("an unsupported shape is queried once and reported") {
    const Notices notices;
    Search search;
    for (int i = 0; i < 3; ++i) CHECK(!search.run(kUnsupported));
    CHECK(search.asked == 1);
    REQUIRE(notices.lines().size() == 1);
    CHECK(notices.lines()[0].find("not supported") != std::string::npos);
}

TEST_CASE("an exception from a search is passed on and not remembered") {
    const Notices notices;
    AlgorithmSearch search;
    const auto ask = [&](const std::function<Measurements()>& measure) {
        return search.algorithm("a convolution", Arithmetic::bfloat16, kMost, measure, unasked);
    };
    for (int i = 0; i < AlgorithmSearch::kMostErrors; ++i)
        CHECK_THROWS_AS(ask([]() -> Measurements { throw CudaError("in a graph"); }), CudaError);
    CHECK(ask([] { return kFound; }));
    CHECK(notices.lines().empty());
}

TEST_CASE("searches in float32, TF32 and bfloat16 are three searches") {
    const ConvolutionShape shape{.n = 1, .h = 2, .w = 3, .c = 4, .k = 5, .r = 6, .s = 7};
    const auto key = [&] { return search_key(shape, arithmetic_of<float>()); };
    const auto plain = key();
    allow_tf32(true);
    const auto tf32 = key();
    CHECK(search_key(shape, arithmetic_of<bfloat16>()) != tf32);
    allow_tf32(false);
    CHECK(tf32 != plain);
    CHECK(key() == plain);
    CHECK(search_key(shape, arithmetic_of<bfloat16>()) != plain);
}

TEST_CASE("a search is remembered by every dimension of a convolution") {
    const ConvolutionShape shape{
        .n = 1, .h = 2, .w = 3, .c = 4, .k = 5, .r = 6, .s = 7, .stride = 8, .pad = 9};
    for (const auto field :
         {&ConvolutionShape::n, &ConvolutionShape::h, &ConvolutionShape::w, &ConvolutionShape::c,
          &ConvolutionShape::k, &ConvolutionShape::r, &ConvolutionShape::s,
          &ConvolutionShape::stride, &ConvolutionShape::pad}) {
        ConvolutionShape other = shape;
        other.*field = 100;
        CHECK(search_key(other, Arithmetic::tf32) != search_key(shape, Arithmetic::tf32));
    }
}

TEST_CASE("each notice is passed on once, and dropped without a receiver") {
    set_notice_receiver({});
    notice("no receiver");
    const Notices notices;
    notice("one");
    notice("two");
    notice("one");
    CHECK(notices.lines() == std::vector<std::string>{"one", "two"});
}
