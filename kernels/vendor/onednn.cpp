// Primitives are built once for each shape and kept: building one generates code, which takes
// milliseconds. Kept primitives are small, because their scratchpads and reordered filters live in
// the caller's Workspace and only during the call.
#include "kernels/vendor/onednn.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/common/error.h"
#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"

namespace cnpd::kernels::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

// Everything below reaches oneDNN through here: once set, its choice of instruction set stays.
dnnl::engine& engine() {
    static dnnl::engine instance = [] {
#if DNNL_VERSION_MAJOR < 3
        // oneDNN 2.6 dies with SIGILL (tilezero) in bfloat16 convolutions on CPUs with AMX.
        dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
#endif
        return dnnl::engine(dnnl::engine::kind::cpu, 0);
    }();
    return instance;
}

// The two APIs differ in how a primitive is described: 3.x does without operation descriptors.
template <class Primitive, class... Arguments>
auto describe(const dnnl::primitive_attr& attributes, const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
    return typename Primitive::primitive_desc(engine(), arguments..., attributes);
#else
    return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), attributes,
                                              engine());
#endif
}

using ForwardDescription = dnnl::convolution_forward::primitive_desc;

template <class Primitive, class... Arguments>
auto describe_backward(const dnnl::primitive_attr& attributes, const ForwardDescription& forward,
                       const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
    return typename Primitive::primitive_desc(engine(), arguments..., forward, attributes);
#else
    return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), attributes,
                                              engine(), forward);
#endif
}

void append_relu(dnnl::post_ops& post_ops) {
#if DNNL_VERSION_MAJOR >= 3
    post_ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#else
    post_ops.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
#endif
}

// Runs `body` and turns oneDNN's exceptions into ours.
template <class Body>
auto translate_errors(const char* what, const Body& body) {
    try {
        return body();
    } catch (const dnnl::error& error) {
        throw Error(fmt::format("oneDNN: {}: {}", what, error.what()));
    }
}

enum class Pass { forward, dgrad, wgrad };

struct Key {
    Pass pass;
    ConvolutionShape shape;
    bool bias, residual, relu;
    int threads;  // primitives divide their work when they are built

    auto fields() const {
        return std::tie(pass, shape.n, shape.h, shape.w, shape.c, shape.k, shape.r, shape.s,
                        shape.stride, shape.pad, bias, residual, relu, threads);
    }
    bool operator<(const Key& other) const { return fields() < other.fields(); }
};

// A convolution and the reorder that takes the filter to or from the layout it prefers.
struct Convolution {
    dnnl::primitive primitive;
    dnnl::reorder reorder;  // empty where the layouts agree
    memory::desc x, y, bias;
    memory::desc plain_filter, filter;
    memory::desc scratchpad, reorder_scratchpad;
};

dnnl::primitive_attr user_scratchpad() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attributes;
}

memory::desc describe_memory(memory::dims dims, Tag tag) {
    return memory::desc(std::move(dims), memory::data_type::f32, tag);
}

void add_reorder(Convolution& convolution, const memory::desc& from, const memory::desc& to) {
    if (from == to) return;
    const dnnl::reorder::primitive_desc description(engine(), from, engine(), to,
                                                    user_scratchpad());
    convolution.reorder = dnnl::reorder(description);
    convolution.reorder_scratchpad = description.scratchpad_desc();
}

std::shared_ptr<const Convolution> build(const Key& key) {
    const ConvolutionShape& shape = key.shape;
    auto convolution = std::make_shared<Convolution>();
    convolution->x = describe_memory({shape.n, shape.c, shape.h, shape.w}, Tag::nhwc);
    convolution->y = describe_memory({shape.n, shape.k, shape.out_h(), shape.out_w()}, Tag::nhwc);
    const memory::dims filter_dims = {shape.k, shape.c, shape.r, shape.s};
    convolution->plain_filter = describe_memory(filter_dims, Tag::ohwi);
    const memory::desc any_filter = describe_memory(filter_dims, Tag::any);
    if (key.bias) convolution->bias = describe_memory({shape.k}, Tag::a);
    const memory::dims strides = {shape.stride, shape.stride};
    const memory::dims padding = {shape.pad, shape.pad};
    // What rows and columns the last window does not reach is cut off, as negative padding.
    const auto right = [&](std::int64_t in, std::int64_t out, std::int64_t window) {
        return (out - 1) * shape.stride + window - in - shape.pad;
    };
    const memory::dims padding_right = {right(shape.h, shape.out_h(), shape.r),
                                        right(shape.w, shape.out_w(), shape.s)};
    const auto direct = dnnl::algorithm::convolution_direct;

    dnnl::primitive_attr attributes = user_scratchpad();
    dnnl::post_ops post_ops;
    if (key.residual) post_ops.append_binary(dnnl::algorithm::binary_add, convolution->y);
    if (key.relu) append_relu(post_ops);
    attributes.set_post_ops(post_ops);
    const auto kind =
        key.pass == Pass::forward ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward;
    const ForwardDescription forward = describe<dnnl::convolution_forward>(
        attributes, kind, direct, convolution->x, any_filter, convolution->bias, convolution->y,
        strides, padding, padding_right);

    switch (key.pass) {
        case Pass::forward:
            convolution->primitive = dnnl::convolution_forward(forward);
            convolution->filter = forward.weights_desc();
            convolution->scratchpad = forward.scratchpad_desc();
            add_reorder(*convolution, convolution->plain_filter, convolution->filter);
            break;
        case Pass::dgrad: {
            const auto dgrad = describe_backward<dnnl::convolution_backward_data>(
                user_scratchpad(), forward, direct, convolution->x, any_filter, convolution->y,
                strides, padding, padding_right);
            convolution->primitive = dnnl::convolution_backward_data(dgrad);
            convolution->filter = dgrad.weights_desc();
            convolution->scratchpad = dgrad.scratchpad_desc();
            add_reorder(*convolution, convolution->plain_filter, convolution->filter);
            break;
        }
        case Pass::wgrad: {
            const auto wgrad = describe_backward<dnnl::convolution_backward_weights>(
                user_scratchpad(), forward, direct, convolution->x, any_filter, convolution->y,
                strides, padding, padding_right);
            convolution->primitive = dnnl::convolution_backward_weights(wgrad);
            convolution->filter = wgrad.diff_weights_desc();
            convolution->scratchpad = wgrad.scratchpad_desc();
            add_reorder(*convolution, convolution->filter, convolution->plain_filter);
            break;
        }
    }
    return convolution;
}

std::shared_ptr<const Convolution> find_or_build(const Key& key) {
    static std::mutex mutex;
    static std::map<Key, std::shared_ptr<const Convolution>> cache;
    const std::lock_guard lock(mutex);
    auto& entry = cache[key];
    if (!entry) entry = build(key);
    return entry;
}

memory wrap(const memory::desc& description, const void* data) {
    return memory(description, engine(), const_cast<void*>(data));
}

// One Workspace cut in three: the scratchpads, which are not in use at the same time, and the
// reordered filter.
class Call {
  public:
    explicit Call(const Convolution& convolution)
        : convolution_(convolution),
          scratchpad_bytes_(round_up(std::max(convolution.scratchpad.get_size(),
                                              convolution.reorder_scratchpad.get_size()))),
          workspace_(scratchpad_bytes_ +
                     (convolution.reorder ? round_up(convolution.filter.get_size()) : 0)),
          stream_(engine()) {}

    // The filter in the layout that the primitive wants; not yet filled.
    memory filter(const float* plain) const {
        if (!convolution_.reorder) return wrap(convolution_.filter, plain);
        return wrap(convolution_.filter, static_cast<char*>(workspace_.data()) + scratchpad_bytes_);
    }
    void reorder(const memory& from, const memory& to) {
        if (!convolution_.reorder) return;
        convolution_.reorder.execute(
            stream_,
            {{DNNL_ARG_FROM, from},
             {DNNL_ARG_TO, to},
             {DNNL_ARG_SCRATCHPAD, wrap(convolution_.reorder_scratchpad, workspace_.data())}});
    }
    void run(std::unordered_map<int, memory> arguments) {
        arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(convolution_.scratchpad, workspace_.data()));
        convolution_.primitive.execute(stream_, arguments);
    }
    void wait() { stream_.wait(); }

  private:
    static std::int64_t round_up(std::size_t bytes) {
        return static_cast<std::int64_t>((bytes + 63) / 64 * 64);
    }
    const Convolution& convolution_;
    std::int64_t scratchpad_bytes_;
    Workspace workspace_;
    dnnl::stream stream_;
};

}  // namespace

void sgemm(const SgemmArguments& arguments) {
    engine();
    const dnnl::status status = dnnl::sgemm(
        arguments.transpose_a ? 'T' : 'N', arguments.transpose_b ? 'T' : 'N', arguments.m,
        arguments.n, arguments.k, arguments.alpha, arguments.a, arguments.lda, arguments.b,
        arguments.ldb, arguments.beta, arguments.c, arguments.ldc);
    CNPD_CHECK(status == dnnl::status::success,
               fmt::format("oneDNN: sgemm failed with status {}", static_cast<int>(status)));
}

void convolution_forward(const ConvolutionShape& shape, const float* x, const float* filter,
                         const ConvolutionEpilogue<float>& epilogue, float* y) {
    translate_errors("convolution", [&] {
        const auto convolution =
            find_or_build({Pass::forward, shape, epilogue.bias != nullptr,
                           epilogue.residual != nullptr, epilogue.relu, thread_count()});
        Call call(*convolution);
        const memory reordered = call.filter(filter);
        call.reorder(wrap(convolution->plain_filter, filter), reordered);
        std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, wrap(convolution->x, x)},
                                                     {DNNL_ARG_WEIGHTS, reordered},
                                                     {DNNL_ARG_DST, wrap(convolution->y, y)}};
        if (epilogue.bias) arguments.emplace(DNNL_ARG_BIAS, wrap(convolution->bias, epilogue.bias));
        if (epilogue.residual)
            arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                              wrap(convolution->y, epilogue.residual));
        call.run(std::move(arguments));
        call.wait();
    });
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    translate_errors("convolution dgrad", [&] {
        const auto convolution =
            find_or_build({Pass::dgrad, shape, false, false, false, thread_count()});
        Call call(*convolution);
        const memory reordered = call.filter(filter);
        call.reorder(wrap(convolution->plain_filter, filter), reordered);
        call.run({{DNNL_ARG_DIFF_DST, wrap(convolution->y, dy)},
                  {DNNL_ARG_WEIGHTS, reordered},
                  {DNNL_ARG_DIFF_SRC, wrap(convolution->x, dx)}});
        call.wait();
    });
}

namespace {

// oneDNN 2.6 writes past its scratchpad, and may compute a wrong gradient, in the filter gradient
// of a 1x1 convolution with a stride whose channels do not fill a vector.
bool overruns_scratchpad(const ConvolutionShape& shape) {
    constexpr std::int64_t kVector = 16;
    return shape.r == 1 && shape.s == 1 && shape.pad == 0 && shape.stride > 1 &&
           shape.c % kVector != 0;
}

// The pixels that a 1x1 convolution with a stride looks at: [N,H,W,C] to [N,OH,OW,C].
void gather_strided(const ConvolutionShape& shape, const float* x, float* gathered) {
    const std::int64_t out_h = shape.out_h(), out_w = shape.out_w();
    parallel_for(shape.n * out_h, 16, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t in_row = row / out_h * shape.h + row % out_h * shape.stride;
            for (std::int64_t column = 0; column < out_w; ++column)
                std::copy_n(x + (in_row * shape.w + column * shape.stride) * shape.c, shape.c,
                            gathered + (row * out_w + column) * shape.c);
        }
    });
}

}  // namespace

void convolution_wgrad(const ConvolutionShape& shape, const float* x, const float* dy,
                       float* dfilter) {
    if (overruns_scratchpad(shape)) {
        ConvolutionShape dense = shape;
        dense.h = shape.out_h();
        dense.w = shape.out_w();
        dense.stride = 1;
        const Workspace gathered(dense.n * dense.h * dense.w * dense.c *
                                 static_cast<std::int64_t>(sizeof(float)));
        gather_strided(shape, x, gathered.floats());
        return convolution_wgrad(dense, gathered.floats(), dy, dfilter);
    }
    translate_errors("convolution wgrad", [&] {
        const auto convolution =
            find_or_build({Pass::wgrad, shape, false, false, false, thread_count()});
        Call call(*convolution);
        const memory reordered = call.filter(dfilter);
        call.run({{DNNL_ARG_SRC, wrap(convolution->x, x)},
                  {DNNL_ARG_DIFF_DST, wrap(convolution->y, dy)},
                  {DNNL_ARG_DIFF_WEIGHTS, reordered}});
        call.reorder(reordered, wrap(convolution->plain_filter, dfilter));
        call.wait();
    });
}

std::string version() {
    const dnnl_version_t* loaded = dnnl::version();
    return fmt::format("{}.{}.{}", loaded->major, loaded->minor, loaded->patch);
}

std::string isa() {
    engine();
    const std::pair<dnnl::cpu_isa, const char*> names[] = {
        {dnnl::cpu_isa::sse41, "sse4.1"},
        {dnnl::cpu_isa::avx, "avx"},
        {dnnl::cpu_isa::avx2, "avx2"},
        {dnnl::cpu_isa::avx2_vnni, "avx2_vnni"},
        {dnnl::cpu_isa::avx512_core, "avx512_core"},
        {dnnl::cpu_isa::avx512_core_vnni, "avx512_core_vnni"},
        {dnnl::cpu_isa::avx512_core_bf16, "avx512_core_bf16"},
        {dnnl::cpu_isa::avx512_core_amx, "avx512_core_amx"}};
    const dnnl::cpu_isa used = dnnl::get_effective_cpu_isa();
    for (const auto& [value, name] : names)
        if (value == used) return name;
    return fmt::format("isa {}", static_cast<int>(used));
}

}  // namespace cnpd::kernels::onednn
