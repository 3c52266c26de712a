#pragma once

#include <cmath>
#include <cstddef>

namespace bpnet {

// A float32 array of height x width x channels that somebody else owns. Strides are counted in
// floats, so that either axis order in memory is read without a copy.
struct MapView {
    const float *data = nullptr;
    std::size_t height = 0;
    std::size_t width = 0;
    std::size_t channels = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t column_stride = 0;
    std::ptrdiff_t channel_stride = 0;

    const float *at(std::size_t y, std::size_t x, std::size_t channel) const {
        return data + static_cast<std::ptrdiff_t>(y) * row_stride +
               static_cast<std::ptrdiff_t>(x) * column_stride +
               static_cast<std::ptrdiff_t>(channel) * channel_stride;
    }
};

// NaN, infinities and whatever no network means (a million and beyond) count as 0.
constexpr float SANE_LIMIT = 1e6F;

inline float sane_or_zero(float value) {
    return std::abs(value) < SANE_LIMIT ? value : 0.0F;
}

}  // namespace bpnet
