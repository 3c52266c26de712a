#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "field.h"
#include "map_view.h"
#include "peaks.h"
#include "settings.h"

namespace bpnet {

// A limb runs from one keypoint to another; its field lies in PAF channels 2l (x) and 2l + 1 (y).
struct Limb {
    std::size_t start;
    std::size_t end;
};

// A limb that may join two peaks (indices into PeakList::peaks).
struct Connection {
    float score;
    std::uint32_t limb;
    std::uint32_t start;
    std::uint32_t end;
};

// The peaks' places in cells of the PAFs.
struct PafPoints {
    std::vector<float> x;
    std::vector<float> y;
};

void place_on_pafs(const PeakList &peaks, const PafGrid &grid, PafPoints &points);

// Appends the connections of limb `index` that its field supports, between all pairs of peaks.
void find_connections(const MapView &pafs, const PafGrid &grid, const PeakList &peaks,
                      const PafPoints &points, Limb limb, std::size_t index,
                      const Settings &settings, std::vector<Connection> &connections);

}  // namespace bpnet
