#include "decoder.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>

namespace bpnet {
namespace {

constexpr std::size_t LONGEST_SIDE = 16384;  // cells; coordinates stay exact to 1/1024 of one

// Peaks are counted in 31 bits and connections in 32, whatever the maps hold.
bool fits_in_counters(std::size_t keypoints, std::size_t limbs, const Settings &settings) {
    const auto most = static_cast<std::uint64_t>(settings.max_peaks);
    return keypoints <= std::numeric_limits<std::int32_t>::max() / most &&
           limbs <= std::numeric_limits<std::uint32_t>::max() / (most * most);
}

PafGrid paf_grid(const Maps &maps, const Settings &settings) {
    // Cell c of a map lies at input pixel stride * c + (stride - 1) / 2; a network trained with
    // PAFs on cell corners has them at stride * c.
    const float paf_origin = settings.paf_cell_corners ? 0 : (maps.paf_stride - 1) / 2;
    const float height = static_cast<float>(maps.heatmaps.height) * maps.heatmap_stride;
    return {maps.heatmap_stride / maps.paf_stride,
            ((maps.heatmap_stride - 1) / 2 - paf_origin) / maps.paf_stride,
            settings.length_limit * height / maps.paf_stride};
}

}  // namespace

Decoder::Decoder(std::size_t keypoints, std::vector<Limb> limbs, const Settings &settings)
    : keypoints_(keypoints), limbs_(std::move(limbs)), settings_(settings) {
    if (const char *fault = settings_.fault()) throw std::invalid_argument(fault);
    if (keypoints_ == 0) throw std::invalid_argument("a skeleton has at least one keypoint");
    for (const Limb &limb : limbs_) {
        if (limb.start >= keypoints_ || limb.end >= keypoints_ || limb.start == limb.end) {
            throw std::invalid_argument("a limb must join two different keypoints");
        }
    }
    if (!fits_in_counters(keypoints_, limbs_.size(), settings_)) {
        throw std::invalid_argument(
            "max_peaks is too large for so many keypoints and limbs: its square times the number "
            "of limbs must be below 2^32, and it times the keypoints below 2^31");
    }
}

const char *Decoder::fault(const Maps &maps) const {
    if (maps.heatmaps.channels < keypoints_) {
        return "the heatmaps must have a channel a keypoint (and may have one of background)";
    }
    if (maps.pafs.channels < 2 * limbs_.size()) return "the PAFs must have two channels a limb";
    auto has_cells = [](const MapView &map) {
        return map.data != nullptr && map.height >= 1 && map.height <= LONGEST_SIDE &&
               map.width >= 1 && map.width <= LONGEST_SIDE;
    };
    if (!has_cells(maps.heatmaps) || (!limbs_.empty() && !has_cells(maps.pafs))) {
        return "maps must be from 1 to 16384 cells high and wide";
    }
    for (const float stride : {maps.heatmap_stride, maps.paf_stride}) {
        if (!(stride >= 1.0F / 1024 && stride <= 65536)) {  // so written, NaN is out too
            return "strides must be above 0: from 1/1024 to 65536 pixels a cell";
        }
    }
    return nullptr;
}

void Decoder::decode(const Maps &maps, Workspace &workspace, Persons &persons) const {
    find_peaks(maps.heatmaps, keypoints_, settings_, workspace.peak_workspace, workspace.peaks);
    const PafGrid grid = paf_grid(maps, settings_);
    place_on_pafs(workspace.peaks, grid, workspace.points);
    workspace.connections.clear();
    for (std::size_t limb = 0; limb < limbs_.size(); ++limb) {
        find_connections(maps.pafs, grid, workspace.peaks, workspace.points, limbs_[limb], limb,
                         settings_, workspace.connections);
    }
    assemble_people(workspace.connections, workspace.peaks, limbs_, workspace.ranking,
                    workspace.person, workspace.people);
    write_persons(maps.heatmap_stride, workspace, persons);
}

bool Decoder::is_kept(const Workspace &workspace, std::size_t person) const {
    const People &people = workspace.people;
    if (people.size[person] == 0 ||
        people.size[person] < static_cast<std::uint32_t>(settings_.min_keypoints))
        return false;
    float sum = people.limb_score[person];
    for (std::size_t k = 0; k < keypoints_; ++k) {
        const std::int32_t peak = people.peak[person * keypoints_ + k];
        if (peak >= 0) sum += workspace.peaks.peaks[static_cast<std::size_t>(peak)].score;
    }
    return sum >= settings_.min_mean_score * static_cast<float>(people.size[person]);
}

float Decoder::score_of(const Workspace &workspace, std::size_t person) const {
    // A whole person has K - 1 joining connections, whatever the skeleton's limbs.
    const float score = workspace.people.limb_score[person] / static_cast<float>(keypoints_ - 1);
    if (settings_.small_person == 0) return score;
    constexpr float FAR = static_cast<float>(2 * LONGEST_SIDE);
    float left = FAR, top = FAR, right = -FAR, bottom = -FAR;
    for (std::size_t k = 0; k < keypoints_; ++k) {
        const std::int32_t index = workspace.people.peak[person * keypoints_ + k];
        if (index < 0) continue;
        const Peak &peak = workspace.peaks.peaks[static_cast<std::size_t>(index)];
        left = std::min(left, peak.x);
        top = std::min(top, peak.y);
        right = std::max(right, peak.x);
        bottom = std::max(bottom, peak.y);
    }
    // The keypoints of small people are less exact, in units of the person's size.
    const float width = right - left;
    const float height = bottom - top;
    const float size = (width * width + height * height) / 2;
    return score * (size / (size + settings_.small_person * settings_.small_person));
}

void Decoder::write_persons(float stride, Workspace &workspace, Persons &persons) const {
    const People &people = workspace.people;
    std::vector<std::size_t> &order = workspace.order;
    std::vector<float> &scores = workspace.person_score;
    order.clear();
    scores.assign(people.size.size(), 0);
    for (std::size_t person = 0; person < people.size.size(); ++person) {
        if (!is_kept(workspace, person)) continue;
        scores[person] = score_of(workspace, person);
        order.push_back(person);
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    persons.dropped_peaks = workspace.peaks.dropped;
    persons.xy.assign(order.size() * keypoints_ * 2, 0);
    persons.score.assign(order.size() * keypoints_, 0);
    persons.person_score.clear();
    for (std::size_t row = 0; row < order.size(); ++row) {
        persons.person_score.push_back(scores[order[row]]);
        for (std::size_t k = 0; k < keypoints_; ++k) {
            const std::int32_t index = people.peak[order[row] * keypoints_ + k];
            if (index < 0) continue;
            const Peak &peak = workspace.peaks.peaks[static_cast<std::size_t>(index)];
            const std::size_t slot = row * keypoints_ + k;
            persons.xy[2 * slot] = peak.x * stride + (stride - 1) / 2;
            persons.xy[2 * slot + 1] = peak.y * stride + (stride - 1) / 2;
            persons.score[slot] = peak.score;
        }
    }
}

}  // namespace bpnet
