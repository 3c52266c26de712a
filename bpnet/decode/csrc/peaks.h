#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cells.h"
#include "map_view.h"
#include "settings.h"

namespace bpnet {

// A keypoint candidate, in cells of the heatmaps.
struct Peak {
    float x;
    float y;
    float score;  // of the refined top, not of the cell
};

// The peaks of every keypoint; those of keypoint k are peaks[first[k]] ... peaks[first[k + 1] - 1].
struct PeakList {
    std::vector<Peak> peaks;
    std::vector<std::size_t> first;
    std::size_t dropped = 0;  // peaks beyond the most of their keypoint
};

struct PeakWorkspace {
    std::vector<PeakCell> cells;
    std::vector<std::uint8_t> seen;     // H x W: part of a plateau met before
    std::vector<std::size_t> marked;    // the cells marked in `seen`, y * W + x
    std::vector<std::size_t> frontier;  // of the plateau being walked
    std::vector<float> rows;            // of double_channel
    std::vector<float> plane;
};

// The peaks of the first `keypoints` channels whose refined value reaches the threshold, strongest
// cell first within a keypoint; those beyond `max_peaks` are only counted. On a plateau, the first
// cell in reading order is the peak.
void find_peaks(const MapView &heatmaps, std::size_t keypoints, const Settings &settings,
                PeakWorkspace &workspace, PeakList &found);

// Where a Gaussian through three neighbouring values has its top.
struct Top {
    float offset;  // cells from the middle value, within -0.5 ... 0.5
    float gain;    // the top's value over the middle one's
};

// `middle` must be above 0 and no lower than the others.
Top find_top(float before, float middle, float after);

}  // namespace bpnet
