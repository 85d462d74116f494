#include "engine/autograd.h"
#include "engine/dispatch.h"
#include "engine/ops.h"
#include "engine/ops/check.h"
#include "kernels/concatenation/concatenation.h"
#include "kernels/embedding/embedding.h"

namespace cnpd::engine::ops {

Tensor concatenate(const Tensor& a, const Tensor& b) {
    CNPD_CHECK_SHAPE(a.shape().rank() >= 1 && a.shape().rank() == b.shape().rank(),
                     fmt::format("concatenate: {} and {}", a.shape().str(), b.shape().str()));
    require_same_device("concatenate", a, {&b});
    const std::int64_t a_columns = a.shape()[-1], b_columns = b.shape()[-1];
    std::vector<std::int64_t> extents = a.shape().extents();
    extents.back() = b_columns;
    require_shape("concatenate", "b", b, Shape(extents));
    extents.back() = a_columns + b_columns;
    const std::int64_t columns = a_columns + b_columns;
    const std::int64_t rows = columns ? Shape(extents).elements() / columns : 0;

    Tensor y = Tensor::empty(Shape(extents), DType::float32, a.device());
    CNPD_RUN(a.device(), concatenate_forward, a.data<float>(), a_columns, b.data<float>(),
             b_columns, rows, y.data<float>());
    if (!should_record({&a, &b})) return y;
    record("concatenate", {&a, &b}, y,
           [=, a_shape = a.shape(), b_shape = b.shape()](const Tensor& dy, GradientSink& sink) {
               Tensor da, db;
               if (sink.wants(0)) da = Tensor::empty(a_shape, DType::float32, dy.device());
               if (sink.wants(1)) db = Tensor::empty(b_shape, DType::float32, dy.device());
               CNPD_RUN(dy.device(), concatenate_backward, dy.data<float>(), a_columns, b_columns,
                        rows, da.defined() ? da.data<float>() : nullptr,
                        db.defined() ? db.data<float>() : nullptr);
               if (da.defined()) sink.give(0, da);
               if (db.defined()) sink.give(1, db);
           });
    return y;
}

Tensor embedding(const Tensor& table, const Tensor& indices) {
    CNPD_CHECK_SHAPE(table.defined() && table.shape().rank() >= 1 && table.shape()[0] > 0,
                     "embedding: the table is empty");
    require_rank("embedding", "indices", indices, 1);
    require_same_device("embedding", table, {&indices});
    const std::int64_t rows = table.shape()[0], columns = table.elements() / rows;
    const std::int64_t count = indices.elements();
    std::vector<std::int64_t> extents = table.shape().extents();
    extents[0] = count;

    Tensor y = Tensor::empty(Shape(extents), DType::float32, table.device());
    CNPD_RUN(table.device(), embedding_forward, table.data<float>(), indices.data<std::int32_t>(),
             count, columns, y.data<float>());
    if (!should_record({&table})) return y;
    record("embedding", {&table}, y,
           [=, table_shape = table.shape()](const Tensor& dy, GradientSink& sink) {
               Tensor dtable = Tensor::empty(table_shape, DType::float32, dy.device());
               CNPD_RUN(dy.device(), embedding_backward, dy.data<float>(),
                        indices.data<std::int32_t>(), count, rows, columns, dtable.data<float>());
               sink.give(0, dtable);
           });
    return y;
}

}  // namespace cnpd::engine::ops
