#include "limbs.h"

#include <algorithm>
#include <cmath>

namespace bpnet {
namespace {

struct Vector {
    float x;
    float y;
};

// The field of one limb.
struct Field {
    Field(const MapView &pafs, std::size_t limb)
        : x(pafs.at(0, 0, 2 * limb)),
          y(pafs.at(0, 0, 2 * limb + 1)),
          row_stride(pafs.row_stride),
          column_stride(pafs.column_stride),
          last_row(static_cast<int>(pafs.height) - 1),
          last_column(static_cast<int>(pafs.width) - 1) {}

    const float *x;
    const float *y;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t column_stride;
    int last_row;
    int last_column;
};

// How far the field at a point of the map goes along `direction`, bilinear.
float sample(const Field &field, Vector at, Vector direction) {
    const int column = static_cast<int>(at.x);
    const int row = static_cast<int>(at.y);
    const float right_share = at.x - static_cast<float>(column);
    const float bottom_share = at.y - static_cast<float>(row);
    const std::ptrdiff_t right = column < field.last_column ? field.column_stride : 0;
    const std::ptrdiff_t below = row < field.last_row ? field.row_stride : 0;
    const std::ptrdiff_t corner = row * field.row_stride + column * field.column_stride;
    auto along = [&](std::ptrdiff_t cell) {
        return field.x[cell] * direction.x + field.y[cell] * direction.y;
    };
    const float upper_left = along(corner);
    const float upper = upper_left + right_share * (along(corner + right) - upper_left);
    const float lower_left = along(corner + below);
    const float lower = lower_left + right_share * (along(corner + below + right) - lower_left);
    return sane_or_zero(upper + bottom_share * (lower - upper));
}

// The mean agreement of the field with the limb; -1 if too few samples agree.
float agreement(const Field &field, Vector start, Vector end, Vector direction, int samples,
                const Settings &settings) {
    const float step = 1 / static_cast<float>(samples - 1);
    const Vector way{(end.x - start.x) * step, (end.y - start.y) * step};
    float allowed = (1 - settings.min_sample_share) * static_cast<float>(samples) + 1e-4F;
    float sum = 0;
    // From the middle outwards: a wrong limb has right ones at its ends, its middle tells first.
    for (int i = 0; i < samples; ++i) {
        const int index = i % 2 == 0 ? samples / 2 + i / 2 : samples / 2 - (i + 1) / 2;
        const auto steps = static_cast<float>(index);
        const float dot =
            sample(field, {start.x + steps * way.x, start.y + steps * way.y}, direction);
        if (dot < settings.paf_threshold) {
            allowed -= 1;
            if (allowed < 0) return -1;
        }
        sum += dot;
    }
    return sum * (1 / static_cast<float>(samples));
}

// The score of a limb between two points of the PAFs; 0 or less if it is none.
float score_limb(const Field &field, const PafGrid &grid, Vector start, Vector end,
                 const Settings &settings) {
    const Vector way{end.x - start.x, end.y - start.y};
    const float length = std::max(std::sqrt(way.x * way.x + way.y * way.y), 1e-6F);
    const float cells = length / grid.scale;  // of the heatmaps
    const float wanted =
        std::min(cells * settings.samples_per_cell + 1, static_cast<float>(settings.max_samples));
    const int samples = std::max(static_cast<int>(wanted), settings.min_samples);
    auto inside = [&](Vector point) {  // the map's border goes on outside of it
        return Vector{std::clamp(point.x, 0.0F, static_cast<float>(field.last_column)),
                      std::clamp(point.y, 0.0F, static_cast<float>(field.last_row))};
    };
    const float score = agreement(field, inside(start), inside(end),
                                  {way.x / length, way.y / length}, samples, settings);
    // The direction of so short a limb says nothing.
    if (cells < settings.short_limb) return std::max(score, settings.short_limb_score);
    return score + std::min(grid.longest / length - 1, 0.0F);
}

}  // namespace

void find_connections(const MapView &pafs, const PafGrid &grid, const PeakList &peaks, Limb limb,
                      std::size_t index, const Settings &settings,
                      std::vector<Connection> &connections) {
    auto paf_cell = [&](std::size_t peak) {
        return Vector{peaks.peaks[peak].x * grid.scale + grid.shift,
                      peaks.peaks[peak].y * grid.scale + grid.shift};
    };
    const Field field(pafs, index);
    for (std::size_t a = peaks.first[limb.start]; a < peaks.first[limb.start + 1]; ++a) {
        const Vector start = paf_cell(a);
        for (std::size_t b = peaks.first[limb.end]; b < peaks.first[limb.end + 1]; ++b) {
            const float score = score_limb(field, grid, start, paf_cell(b), settings);
            if (score <= 0) continue;
            connections.push_back({score, static_cast<std::uint32_t>(index),
                                   static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b)});
        }
    }
}

}  // namespace bpnet
