// Primitives are built once for each shape and kept: building one generates code, which takes
// milliseconds. They are small, because their scratchpads and reordered filters are in the caller's
// Workspace and exist only during the call.
//
// The number of threads that a primitive was built for determines how oneDNN divides the work, and
// with it the order of the sums. Therefore a call is cut into pieces by sizes alone, each piece is
// a primitive for one thread, and the threads share the pieces (kernels/common/parallel.h).
#include "kernels/vendor/onednn.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/common/error.h"
#include "kernels/common/parallel.h"
#include "kernels/common/workspace.h"
#include "kernels/convolution/batch_cut.h"

namespace cnpd::kernels::onednn {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

// All calls of oneDNN below go through this function: once set, its instruction set does not
// change.
dnnl::engine& engine() {
    static dnnl::engine instance = [] {
#if DNNL_VERSION_MAJOR < 3
        // oneDNN 2.6 crashes with SIGILL (tilezero) in bfloat16 convolutions on CPUs with AMX.
        // Setting a limit here would override the user's setting.
        if (!std::getenv("ONEDNN_MAX_CPU_ISA") && !std::getenv("DNNL_MAX_CPU_ISA"))
            dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
#endif
        return dnnl::engine(dnnl::engine::kind::cpu, 0);
    }();
    return instance;
}

// The two APIs describe primitives differently: 3.x has no operation descriptors.
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

std::int64_t round_up(std::size_t bytes) {
    return static_cast<std::int64_t>((bytes + 63) / 64 * 64);
}

enum class Pass { forward, dgrad, wgrad };

struct Key {
    Pass pass;
    ConvolutionShape shape;
    int threads = 1;  // reorders divide their work by the number of threads when they are built
    bool bias = false, residual = false, relu = false;

    auto fields() const {
        return std::tie(pass, shape.n, shape.h, shape.w, shape.c, shape.k, shape.r, shape.s,
                        shape.stride, shape.pad, threads, bias, residual, relu);
    }
    bool operator<(const Key& other) const { return fields() < other.fields(); }
};

// A convolution for one thread, and the reorder between the filter's layout and the preferred one.
// The filter is reordered on all threads, once for all pieces; a piece's gradient on the piece's
// own thread.
struct Convolution {
    dnnl::primitive primitive;
    dnnl::reorder reorder;  // empty if the layouts are equal
    memory::desc x, y, bias;
    memory::desc plain_filter, filter;
    memory::desc scratchpad, reorder_scratchpad;

    // Of the filter in the primitive's layout, if that is not ours.
    std::int64_t filter_bytes() const { return reorder ? round_up(filter.get_size()) : 0; }
    std::int64_t scratch_bytes() const {
        return round_up(std::max(scratchpad.get_size(), reorder_scratchpad.get_size()));
    }
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

void add_primitive(const Key& key, Convolution* convolution) {
    const OneThread alone;
    const ConvolutionShape& shape = key.shape;
    convolution->x = describe_memory({shape.n, shape.c, shape.h, shape.w}, Tag::nhwc);
    convolution->y = describe_memory({shape.n, shape.k, shape.out_h(), shape.out_w()}, Tag::nhwc);
    const memory::dims filter_dims = {shape.k, shape.c, shape.r, shape.s};
    convolution->plain_filter = describe_memory(filter_dims, Tag::ohwi);
    const memory::desc any_filter = describe_memory(filter_dims, Tag::any);
    if (key.bias) convolution->bias = describe_memory({shape.k}, Tag::a);
    const memory::dims strides = {shape.stride, shape.stride};
    const memory::dims padding = {shape.pad, shape.pad};
    // Rows and columns beyond the last window are cut off, as negative padding.
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
            break;
        case Pass::dgrad: {
            const auto dgrad = describe_backward<dnnl::convolution_backward_data>(
                user_scratchpad(), forward, direct, convolution->x, any_filter, convolution->y,
                strides, padding, padding_right);
            convolution->primitive = dnnl::convolution_backward_data(dgrad);
            convolution->filter = dgrad.weights_desc();
            convolution->scratchpad = dgrad.scratchpad_desc();
            break;
        }
        case Pass::wgrad: {
            const auto wgrad = describe_backward<dnnl::convolution_backward_weights>(
                user_scratchpad(), forward, direct, convolution->x, any_filter, convolution->y,
                strides, padding, padding_right);
            convolution->primitive = dnnl::convolution_backward_weights(wgrad);
            convolution->filter = wgrad.diff_weights_desc();
            convolution->scratchpad = wgrad.scratchpad_desc();
            break;
        }
    }
}

// Runs `body`, which uses OpenMP, on all threads or on one.
template <class Body>
void on_threads(int threads, const Body& body) {
    if (threads > 1) return body();
    const OneThread alone;
    body();
}

std::shared_ptr<const Convolution> build(const Key& key) {
    auto convolution = std::make_shared<Convolution>();
    add_primitive(key, convolution.get());
    if (key.pass == Pass::wgrad) {
        const OneThread alone;
        add_reorder(*convolution, convolution->filter, convolution->plain_filter);
    } else
        on_threads(key.threads, [&] {
            add_reorder(*convolution, convolution->plain_filter, convolution->filter);
        });
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

// Runs on the calling thread.
void run(const Convolution& convolution, std::unordered_map<int, memory> arguments,
         void* scratchpad) {
    dnnl::stream stream(engine());
    arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(convolution.scratchpad, scratchpad));
    convolution.primitive.execute(stream, arguments);
    stream.wait();
}

void reorder(const Convolution& convolution, const memory& from, const memory& to,
             void* scratchpad) {
    dnnl::stream stream(engine());
    convolution.reorder.execute(
        stream, {{DNNL_ARG_FROM, from},
                 {DNNL_ARG_TO, to},
                 {DNNL_ARG_SCRATCHPAD, wrap(convolution.reorder_scratchpad, scratchpad)}});
    stream.wait();
}

// Forward or dgrad in pieces of one or two sizes.
class Pieces {
  public:
    // With fewer rows, reading the filter costs more than another thread gains.
    static constexpr std::int64_t kRows = 128;
    // The reorder of a smaller filter takes less time than waking OpenMP's threads, which oneDNN
    // uses there.
    static constexpr std::int64_t kLargeFilter = 1 << 20;

    explicit Pieces(Key key) : cut_(key.shape, kRows) {
        const ConvolutionShape& shape = key.shape;
        const std::int64_t filter_bytes = shape.k * shape.r * shape.s * shape.c * 4;
        key.threads = filter_bytes < kLargeFilter ? 1 : thread_count();
        threads_ = key.threads;
        for (const std::int64_t piece : {std::int64_t{0}, cut_.pieces - 1}) {
            key.shape = cut_.of(piece);
            kinds_.push_back(find_or_build(key));
        }
        if (kinds_[0] == kinds_[1]) kinds_.pop_back();
    }

    // arguments(convolution, piece): all arguments except filter and scratchpad.
    template <class Arguments>
    void run(const float* filter, const Arguments& arguments) const {
        std::int64_t filter_bytes = 0, scratch_bytes = 0;
        for (const auto& kind : kinds_) {
            filter_bytes += kind->filter_bytes();
            scratch_bytes = std::max(scratch_bytes, kind->scratch_bytes());
        }
        const Workspace workspace(filter_bytes + team_size(cut_.pieces) * scratch_bytes);
        char* room = static_cast<char*>(workspace.data());
        char* const scratch = room + filter_bytes;
        std::vector<memory> filters;
        for (const auto& kind : kinds_) {
            filters.push_back(
                wrap(kind->filter, kind->reorder ? room : static_cast<const void*>(filter)));
            if (!kind->reorder) continue;
            on_threads(threads_, [&] {
                reorder(*kind, wrap(kind->plain_filter, filter), filters.back(), scratch);
            });
            room += kind->filter_bytes();
        }
        for_each_piece(cut_.pieces, [&](std::int64_t piece, int thread) {
            const bool larger = cut_.is_larger(piece);
            std::unordered_map<int, memory> all = arguments(*kinds_[larger], cut_, piece);
            all.emplace(DNNL_ARG_WEIGHTS, filters[larger]);
            onednn::run(*kinds_[larger], std::move(all), scratch + thread * scratch_bytes);
        });
    }

  private:
    BatchCut cut_;
    int threads_;  // of the filter's reorder
    std::vector<std::shared_ptr<const Convolution>> kinds_;
};

}  // namespace

void sgemm(const SgemmArguments& arguments) {
    engine();
    const OneThread alone;
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
        const Pieces pieces({.pass = Pass::forward,
                             .shape = shape,
                             .bias = epilogue.bias != nullptr,
                             .residual = epilogue.residual != nullptr,
                             .relu = epilogue.relu});
        pieces.run(filter, [&](const Convolution& part, const BatchCut& cut, std::int64_t piece) {
            std::unordered_map<int, memory> arguments = {
                {DNNL_ARG_SRC, wrap(part.x, x + cut.x(piece))},
                {DNNL_ARG_DST, wrap(part.y, y + cut.y(piece))}};
            if (epilogue.bias) arguments.emplace(DNNL_ARG_BIAS, wrap(part.bias, epilogue.bias));
            if (epilogue.residual)
                arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                                  wrap(part.y, epilogue.residual + cut.y(piece)));
            return arguments;
        });
    });
}

void convolution_dgrad(const ConvolutionShape& shape, const float* dy, const float* filter,
                       float* dx) {
    translate_errors("convolution dgrad", [&] {
        const Pieces pieces({.pass = Pass::dgrad, .shape = shape});
        pieces.run(filter, [&](const Convolution& part, const BatchCut& cut, std::int64_t piece) {
            return std::unordered_map<int, memory>{
                {DNNL_ARG_DIFF_DST, wrap(part.y, dy + cut.y(piece))},
                {DNNL_ARG_DIFF_SRC, wrap(part.x, dx + cut.x(piece))}};
        });
    });
}

namespace {

std::shared_ptr<const Convolution> wgrad_of(const ConvolutionShape& shape) {
    return find_or_build({.pass = Pass::wgrad, .shape = shape});
}

}  // namespace

std::int64_t wgrad_scratch_bytes(const ConvolutionShape& shape) {
    return translate_errors("convolution wgrad", [&] {
        const auto convolution = wgrad_of(shape);
        return convolution->scratch_bytes() + convolution->filter_bytes();
    });
}

void wgrad_on_one_thread(const ConvolutionShape& shape, const float* x, const float* dy,
                         float* dfilter, void* scratch) {
    translate_errors("convolution wgrad", [&] {
        const auto convolution = wgrad_of(shape);
        void* filter = dfilter;
        if (convolution->reorder)
            filter = static_cast<char*>(scratch) + convolution->scratch_bytes();
        const memory result = wrap(convolution->filter, filter);
        run(*convolution,
            {{DNNL_ARG_SRC, wrap(convolution->x, x)},
             {DNNL_ARG_DIFF_DST, wrap(convolution->y, dy)},
             {DNNL_ARG_DIFF_WEIGHTS, result}},
            scratch);
        if (convolution->reorder)
            reorder(*convolution, result, wrap(convolution->plain_filter, dfilter), scratch);
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
