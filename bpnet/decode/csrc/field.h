#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "map_view.h"
#include "settings.h"

namespace bpnet {

struct Vector {
    float x;
    float y;
};

// The PAF of one limb.
struct Field {
    Field(const MapView &pafs, std::size_t limb)
        : x(pafs.at(0, 0, 2 * limb)),
          y(pafs.at(0, 0, 2 * limb + 1)),
          row_stride(pafs.row_stride),
          column_stride(pafs.column_stride),
          last_row(static_cast<std::int32_t>(pafs.height) - 1),
          last_column(static_cast<std::int32_t>(pafs.width) - 1) {}

    const float *x;
    const float *y;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t column_stride;
    std::int32_t last_row;
    std::int32_t last_column;
};

// Where the cells of the PAFs lie among those of the heatmaps: paf = heatmap * scale + shift.
struct PafGrid {
    float scale;
    float shift;
    float longest;  // PAF cells; longer limbs score less, in proportion
};

// How a field is sampled between two of its points.
struct Line {
    Vector start;      // inside the field: its border goes on outside of it
    Vector step;       // from one sample to the next
    Vector direction;  // of length 1
    float length;      // PAF cells
    float cells;       // length in cells of the heatmaps
    std::int32_t samples;
};

inline float clamped(float value, float most) {
    const float low = value < 0 ? 0 : value;
    return low > most ? most : low;
}

inline Line line_between(const Field &field, const PafGrid &grid, const Settings &settings,
                         Vector start, Vector end) {
    const float dx = end.x - start.x;
    const float dy = end.y - start.y;
    const float root = std::sqrt(dx * dx + dy * dy);
    const float length = root < 1e-6F ? 1e-6F : root;
    const float cells = length / grid.scale;
    const float wanted = cells * settings.samples_per_cell + 1;
    const auto most = static_cast<float>(settings.max_samples);
    const auto fitting = static_cast<std::int32_t>(wanted < most ? wanted : most);
    const std::int32_t samples = fitting < settings.min_samples ? settings.min_samples : fitting;
    const float share = 1 / static_cast<float>(samples - 1);
    const auto right = static_cast<float>(field.last_column);
    const auto bottom = static_cast<float>(field.last_row);
    const Vector first{clamped(start.x, right), clamped(start.y, bottom)};
    const Vector last{clamped(end.x, right), clamped(end.y, bottom)};
    return {first,
            {(last.x - first.x) * share, (last.y - first.y) * share},
            {dx / length, dy / length},
            length,
            cells,
            samples};
}

// How far the field at a point inside it goes along `direction`, bilinear. `Offset` must hold the
// distance in memory between any two of its values.
template <typename Offset>
inline float sample(const Field &field, Vector at, Vector direction) {
    const auto column = static_cast<std::int32_t>(at.x);
    const auto row = static_cast<std::int32_t>(at.y);
    const float right_share = at.x - static_cast<float>(column);
    const float bottom_share = at.y - static_cast<float>(row);
    const auto row_stride = static_cast<Offset>(field.row_stride);
    const auto column_stride = static_cast<Offset>(field.column_stride);
    const Offset right = column < field.last_column ? column_stride : 0;
    const Offset below = row < field.last_row ? row_stride : 0;
    const Offset corner = row * row_stride + column * column_stride;
    auto along = [&](Offset cell) {
        return field.x[cell] * direction.x + field.y[cell] * direction.y;
    };
    const float upper_left = along(corner);
    const float upper = upper_left + right_share * (along(corner + right) - upper_left);
    const float lower_left = along(corner + below);
    const float lower = lower_left + right_share * (along(corner + below + right) - lower_left);
    return sane_or_zero(upper + bottom_share * (lower - upper));
}

}  // namespace bpnet
