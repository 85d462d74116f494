// Layouts of a filter that the CPU's convolutions keep between calls, because transforming a filter
// can take longer than the convolution of a single image.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

namespace cnpd::kernels {

// Private to kernels/convolution: the layouts that its algorithms read.
enum class FilterLayout {
    direct,
    winograd_forward,
    winograd_small_forward,
    winograd_strided_forward,
    winograd_dgrad,
    winograd_strided_dgrad
};
inline constexpr int kFilterLayouts = 6;

// What was computed from one filter. Only for filters that do not change: whoever writes a filter
// must no longer pass its old layouts. May be used by several threads.
class FilterLayouts {
  public:
    FilterLayouts() = default;
    ~FilterLayouts();
    FilterLayouts(const FilterLayouts&) = delete;
    FilterLayouts& operator=(const FilterLayouts&) = delete;

    // All objects together keep at most so much; transformed 3x3 filters of 512 x 512 channels
    // take 38 MB.
    static constexpr std::int64_t kMostBytes = std::int64_t{512} << 20;
    static std::int64_t bytes_in_use();

    // The layout, `floats` long and aligned to a cache line. The first call computes it with
    // make(memory). Null if there is no more room.
    const float* find_or_make(FilterLayout layout, std::int64_t floats,
                              const std::function<void(float*)>& make);

  private:
    struct Entry {
        float* data = nullptr;
        std::int64_t bytes = 0;
    };
    std::mutex mutex_;
    std::array<Entry, kFilterLayouts> entries_;
};

}  // namespace cnpd::kernels
