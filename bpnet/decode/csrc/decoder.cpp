#include "decoder.h"

#include <algorithm>
#include <utility>

namespace bpnet {
namespace {

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
    : keypoints_(keypoints), limbs_(std::move(limbs)), settings_(settings) {}

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
    if (people.size[person] == 0 || people.size[person] < settings_.min_keypoints) return false;
    float sum = people.limb_score[person];
    for (std::size_t k = 0; k < keypoints_; ++k) {
        const std::int32_t peak = people.peak[person * keypoints_ + k];
        if (peak >= 0) sum += workspace.peaks.peaks[static_cast<std::size_t>(peak)].score;
    }
    return sum >= settings_.min_mean_score * static_cast<float>(people.size[person]);
}

void Decoder::write_persons(float stride, Workspace &workspace, Persons &persons) const {
    const People &people = workspace.people;
    std::vector<std::size_t> &order = workspace.order;
    order.clear();
    for (std::size_t person = 0; person < people.size.size(); ++person) {
        if (is_kept(workspace, person)) order.push_back(person);
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const float score_a = people.limb_score[a];
        const float score_b = people.limb_score[b];
        return score_a != score_b ? score_a > score_b : a < b;
    });
    persons.xy.assign(order.size() * keypoints_ * 2, 0);
    persons.score.assign(order.size() * keypoints_, 0);
    persons.person_score.clear();
    for (std::size_t row = 0; row < order.size(); ++row) {
        // A whole person has K - 1 joining connections, whatever the skeleton's limbs.
        persons.person_score.push_back(people.limb_score[order[row]] /
                                       static_cast<float>(keypoints_ - 1));
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
