#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "map_view.h"

namespace bpnet {

// A cell no lower than any neighbour, and higher than those before it in reading order.
struct PeakCell {
    float value;
    std::uint32_t keypoint;
    std::uint32_t y;
    std::uint32_t x;
    bool flat;  // a neighbour after it has the same value
};

inline float value_at(const MapView &map, std::size_t y, std::size_t x, std::size_t channel) {
    return sane_or_zero(*map.at(y, x, channel));
}

// Calls visit(y, x) for the cell and its neighbours inside the map, in reading order.
template <typename Visit>
void visit_around(const MapView &map, std::size_t y, std::size_t x, const Visit &visit) {
    const std::size_t last_y = y + 1 < map.height ? y + 1 : y;
    const std::size_t last_x = x + 1 < map.width ? x + 1 : x;
    for (std::size_t ny = y == 0 ? 0 : y - 1; ny <= last_y; ++ny) {
        for (std::size_t nx = x == 0 ? 0 : x - 1; nx <= last_x; ++nx) visit(ny, nx);
    }
}

// Appends the peak cells of the first `keypoints` channels that reach `threshold` (above 0), in any
// order.
void find_cells(const MapView &map, std::size_t keypoints, float threshold,
                std::vector<PeakCell> &cells);

}  // namespace bpnet
