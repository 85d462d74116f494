// Elementwise kernels: one long range in accesses of 16 bytes.
#pragma once

#include "kernels/common/grid.h"
#include "kernels/common/vector_access.h"

namespace cnpd::kernels {

// Calls body.at<Width>(i) for the elements i to i + Width - 1, and at<1>(i) for the remaining
// elements.
template <int Width, typename Body>
__global__ void for_each_pack(Body body, std::int64_t count) {
    const std::int64_t packs = count / Width;
    for (std::int64_t i = first_element(); i < packs; i += elements_at_once())
        body.template at<Width>(Width * i);
    if constexpr (Width > 1) {
        const std::int64_t left_over = Width * packs + first_element();
        if (left_over < count) body.template at<1>(left_over);
    }
}

// Body is a struct with
//     template <int Width> __device__ void at(std::int64_t i) const;
// and `buffers` are all buffers that it accesses.
template <typename Body, typename... Ts>
void launch_packs(const char* name, std::int64_t count, const Body& body, const Ts*... buffers) {
    if (count == 0) return;
    const int width = widest_access(buffers...);
    launch(elements_shape(name, (count + width - 1) / width),
           width > 1 ? for_each_pack<kWidest<Ts...>, Body> : for_each_pack<1, Body>, body, count);
}

}  // namespace cnpd::kernels
