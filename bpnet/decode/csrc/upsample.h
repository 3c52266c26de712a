#pragma once

#include <cstddef>
#include <vector>

#include "map_view.h"

namespace bpnet {

// One channel of `map` at twice the resolution, by cubic interpolation (Keys, a = -0.75, as
// OpenCV's), edges repeated. Cell j of the result sits at cell j/2 - 1/4 of the map. The result
// lives in `plane`; `rows` is scratch space.
MapView double_channel(const MapView &map, std::size_t channel, std::vector<float> &rows,
                       std::vector<float> &plane);

}  // namespace bpnet
