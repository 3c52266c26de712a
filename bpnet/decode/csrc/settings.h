#pragma once

#include <cmath>
#include <cstdint>

#include "map_view.h"

namespace bpnet {

// Every number that the decoder goes by, with its default. bpnet/decode/__init__.py says what each
// one means and has the same defaults, which a test compares with these.
struct Settings {
    float heatmap_threshold = 0.1F;
    float cell_share = 0.6F;
    std::int32_t max_peaks = 128;
    std::int32_t refine = 1;
    float paf_threshold = 0.05F;
    float min_sample_share = 0.8F;
    float samples_per_cell = 0.5F;
    std::int32_t min_samples = 5;
    std::int32_t max_samples = 10;
    float short_limb = 1.0F;
    float short_limb_score = 0.1F;
    float length_limit = 0.5F;
    bool paf_cell_corners = false;
    std::int32_t min_keypoints = 2;
    float min_mean_score = 0.1F;
    float small_person = 5.0F;

    // What is wrong with them, nullptr for nothing.
    const char *fault() const {
        for (const float number :
             {heatmap_threshold, cell_share, paf_threshold, min_sample_share, samples_per_cell,
              short_limb, short_limb_score, length_limit, min_mean_score, small_person}) {
            // So written, NaN is out too. Beyond the limit, scores might be infinite.
            if (!(std::abs(number) <= SANE_LIMIT)) {
                return "every setting must be a finite number, from -1000000 to 1000000";
            }
        }
        if (cell_share < 0 || cell_share > 1) return "cell_share must be from 0 to 1";
        if (max_peaks < 1 || max_peaks > 10000) return "max_peaks must be from 1 to 10000";
        if (refine != 1 && refine != 2) return "refine must be 1 or 2";
        if (min_samples < 2 || max_samples < min_samples || max_samples > 1000) {
            return "min_samples must be 2 or more, max_samples no less than it and 1000 at most";
        }
        if (samples_per_cell < 0) return "samples_per_cell must be 0 or more";
        if (length_limit < 0) return "length_limit must be 0 or more";
        if (small_person < 0) return "small_person must be 0 or more";
        if (min_keypoints < 0) return "min_keypoints must be 0 or more";
        return nullptr;
    }
};

}  // namespace bpnet
