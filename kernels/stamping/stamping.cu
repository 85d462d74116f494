// A byte in and a byte out for each value of an image, four per thread. The tables shared by all
// images, 256 levels and one added value for each place, stay in the caches.
#include "kernels/stamping/stamping.h"

#include "kernels/common/vector_grid.h"

namespace cnpd::kernels::cuda {
namespace {

struct StampBytes {
    const std::uint8_t* images;
    const double *levels, *added;
    std::uint8_t* out;
    std::int64_t values;

    template <int Width>
    __device__ void at(std::int64_t i) const {
        auto pixels = load<Width>(images + i);
        for (int k = 0; k < Width; ++k) {
            const double stamped = levels[pixels.of[k]] + added[(i + k) % values];
            pixels.of[k] = static_cast<std::uint8_t>(fmin(fmax(stamped, 0.0), 255.0));
        }
        store(out + i, pixels);
    }
};

}  // namespace

void stamp_bytes(const StampShape& shape, const std::uint8_t* images, const double* levels,
                 const double* added, std::uint8_t* out) {
    const std::int64_t count = shape.n * shape.values;
    if (count == 0) return;
    const bool aligned =
        (reinterpret_cast<std::uintptr_t>(images) | reinterpret_cast<std::uintptr_t>(out)) % 4 == 0;
    launch(elements_shape("stamp_bytes", aligned ? (count + 3) / 4 : count),
           aligned ? for_each_pack<4, StampBytes> : for_each_pack<1, StampBytes>,
           StampBytes{images, levels, added, out, shape.values}, count);
}

}  // namespace cnpd::kernels::cuda
