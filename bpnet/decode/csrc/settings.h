#pragma once

#include <cstddef>

namespace bpnet {

// Every number that the decoder goes by. bpnet/decode/__init__.py has the defaults and says what
// each one means.
struct Settings {
    float heatmap_threshold;
    float cell_share;
    std::size_t max_peaks;
    bool refine;
    float paf_threshold;
    float min_sample_share;
    float samples_per_cell;
    int min_samples;
    int max_samples;
    float short_limb;
    float short_limb_score;
    float length_limit;
    bool paf_cell_corners;
    std::size_t min_keypoints;
    float min_mean_score;
};

}  // namespace bpnet
