#include "people_check.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

namespace fuzz {
namespace {

bool same_bytes(const std::vector<float> &one, const std::vector<float> &other) {
    return one.size() == other.size() &&
           (one.empty() || std::memcmp(one.data(), other.data(), one.size() * sizeof(float)) == 0);
}

// Whether limbs lead from every keypoint that was found to every other.
bool is_connected(const Case &fuzz_case, const float *score) {
    std::vector<bool> reached(fuzz_case.keypoints, false);
    std::size_t first = 0;
    while (first < fuzz_case.keypoints && !(score[first] > 0)) ++first;
    if (first == fuzz_case.keypoints) return true;
    reached[first] = true;
    for (bool grows = true; grows;) {
        grows = false;
        for (const bpnet::Limb &limb : fuzz_case.limbs) {
            if (!(score[limb.start] > 0 && score[limb.end] > 0)) continue;
            if (reached[limb.start] == reached[limb.end]) continue;
            reached[limb.start] = reached[limb.end] = true;
            grows = true;
        }
    }
    for (std::size_t k = 0; k < fuzz_case.keypoints; ++k) {
        if (score[k] > 0 && !reached[k]) return false;
    }
    return true;
}

bool is_in_map(const Values &map, float stride, float x, float y) {
    const float margin = stride;  // a doubled map begins a quarter of a cell further out
    return x > -margin && y > -margin && x < static_cast<float>(map.width) * stride + margin &&
           y < static_cast<float>(map.height) * stride + margin;
}

}  // namespace

void require(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "fuzz: %s\n", what);
    std::abort();
}

void check_people(const Case &fuzz_case, const Image &image, const bpnet::Persons &persons) {
    const std::size_t count = persons.person_score.size();
    const std::size_t keypoints = fuzz_case.keypoints;
    require(persons.xy.size() == count * keypoints * 2, "xy is not P x K x 2");
    require(persons.score.size() == count * keypoints, "score is not P x K");
    std::set<std::pair<std::size_t, std::pair<float, float>>> used;
    for (std::size_t person = 0; person < count; ++person) {
        const float *score = persons.score.data() + person * keypoints;
        require(is_connected(fuzz_case, score), "a person falls apart");
        std::size_t found = 0;
        for (std::size_t k = 0; k < keypoints; ++k) {
            const float x = persons.xy[2 * (person * keypoints + k)];
            const float y = persons.xy[2 * (person * keypoints + k) + 1];
            if (score[k] == 0) {
                require(x == 0 && y == 0, "a keypoint that was not found has a place");
                continue;
            }
            ++found;
            require(score[k] > 0, "a score is negative or no number");
            if (!fuzz_case.is_ordinary) continue;
            require(std::isfinite(score[k]), "a score is infinite");
            require(is_in_map(image.heatmaps, image.heatmap_stride, x, y), "outside of the map");
            require(used.insert({k, {x, y}}).second, "a peak is in two people");
        }
        require(found >= 2 && static_cast<int>(found) >= fuzz_case.settings.min_keypoints,
                "too few keypoints");
        if (!fuzz_case.is_ordinary) continue;
        require(std::isfinite(persons.person_score[person]), "a person's score is not finite");
        require(person == 0 || persons.person_score[person - 1] >= persons.person_score[person],
                "the most certain is not first");
    }
}

void check_bounds(const Case &fuzz_case, const bpnet::Workspace &workspace) {
    const std::vector<std::size_t> &first = workspace.peaks.first;
    auto peaks = [&](std::size_t keypoint) { return first[keypoint + 1] - first[keypoint]; };
    const auto most = static_cast<std::size_t>(fuzz_case.settings.max_peaks);
    bool any_is_full = false;
    for (std::size_t k = 0; k < fuzz_case.keypoints; ++k) {
        require(peaks(k) <= most, "more peaks than the most there may be");
        any_is_full |= peaks(k) == most;
    }
    require(workspace.peaks.dropped == 0 || any_is_full, "peaks are dropped without need");
    std::size_t pairs = 0;
    for (const bpnet::Limb &limb : fuzz_case.limbs) pairs += peaks(limb.start) * peaks(limb.end);
    require(workspace.connections.size() <= pairs, "more connections than pairs of peaks");
}

void check_same(const bpnet::Persons &one, const bpnet::Persons &other, const char *what) {
    require(one.dropped_peaks == other.dropped_peaks && same_bytes(one.xy, other.xy) &&
                same_bytes(one.score, other.score) &&
                same_bytes(one.person_score, other.person_score),
            what);
}

}  // namespace fuzz
