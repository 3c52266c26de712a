#include "upsample.h"

#include <algorithm>

namespace bpnet {
namespace {

// Weights of the four cells around a point a quarter of a cell past the second, nearest second.
constexpr float QUARTER[4] = {-0.10546875F, 0.87890625F, 0.26171875F, -0.03515625F};

float earlier(float a, float b, float c, float d) {  // at c - 1/4
    return QUARTER[3] * a + QUARTER[2] * b + QUARTER[1] * c + QUARTER[0] * d;
}

float later(float a, float b, float c, float d) {  // at b + 1/4
    return QUARTER[0] * a + QUARTER[1] * b + QUARTER[2] * c + QUARTER[3] * d;
}

// One row of the map, cleaned, with two cells repeated at each end, doubled along x.
void double_row(const MapView &map, std::size_t y, std::size_t channel, std::vector<float> &padded,
                float *doubled) {
    const std::size_t width = map.width;
    for (std::size_t x = 0; x < width; ++x) {
        padded[x + 2] = sane_or_zero(*map.at(y, x, channel));
    }
    padded[0] = padded[1] = padded[2];
    padded[width + 2] = padded[width + 3] = padded[width + 1];
    for (std::size_t x = 0; x < width; ++x) {
        const float *p = padded.data() + x;
        doubled[2 * x] = earlier(p[0], p[1], p[2], p[3]);
        doubled[2 * x + 1] = later(p[1], p[2], p[3], p[4]);
    }
}

}  // namespace

MapView double_channel(const MapView &map, std::size_t channel, std::vector<float> &rows,
                       std::vector<float> &plane) {
    const std::size_t width = 2 * map.width;
    const std::size_t height = 2 * map.height;
    std::vector<float> &padded = rows;
    padded.resize(map.width + 4 + map.height * width);
    float *wide = rows.data() + map.width + 4;  // every row of the map, doubled along x
    for (std::size_t y = 0; y < map.height; ++y) {
        double_row(map, y, channel, padded, wide + y * width);
    }
    plane.resize(std::max(plane.size(), height * width));
    auto row = [&](std::size_t y, std::size_t offset) {  // row y + offset - 2, edges repeated
        const std::size_t shifted = std::min(y + offset < 2 ? 0 : y + offset - 2, map.height - 1);
        return wide + shifted * width;
    };
    for (std::size_t y = 0; y < map.height; ++y) {
        const float *a = row(y, 0), *b = row(y, 1), *c = row(y, 2), *d = row(y, 3), *e = row(y, 4);
        float *upper = plane.data() + 2 * y * width;
        float *lower = upper + width;
        for (std::size_t x = 0; x < width; ++x) {
            upper[x] = earlier(a[x], b[x], c[x], d[x]);
            lower[x] = later(b[x], c[x], d[x], e[x]);
        }
    }
    return {plane.data(), height, width, 1, static_cast<std::ptrdiff_t>(width), 1, 0};
}

}  // namespace bpnet
