#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "assembly.h"
#include "limbs.h"
#include "map_view.h"
#include "peaks.h"
#include "settings.h"

namespace bpnet {

// The maps of one image; strides in pixels of the network's input.
struct Maps {
    MapView heatmaps;
    MapView pafs;
    float heatmap_stride;
    float paf_stride;
};

// The people of one image, the most certain first. A keypoint that was not found has score 0.
struct Persons {
    std::vector<float> xy;     // P x K x 2, pixels of the network's input
    std::vector<float> score;  // P x K
    // P: mean limb score, limbs that are missing count as 0; less for a small person
    std::vector<float> person_score;
    std::size_t dropped_peaks = 0;  // candidates beyond the most of their keypoint
};

// Everything a call needs to allocate; reuse it, one thread at a time.
struct Workspace {
    PeakWorkspace peak_workspace;
    PeakList peaks;
    PafPoints points;  // the peaks once more
    std::vector<Connection> connections;
    Ranking ranking;
    std::vector<std::int32_t> person;  // of each peak
    People people;
    std::vector<float> person_score;  // of all people, kept or not
    std::vector<std::size_t> order;   // of the people, most certain first
};

// Reads people from maps. Nothing in it changes after construction: threads may share one.
class Decoder {
  public:
    // Throws std::invalid_argument for impossible settings, no keypoints, a limb that does not join
    // two different keypoints, or more candidates than 32 bits can count.
    Decoder(std::size_t keypoints, std::vector<Limb> limbs, const Settings &settings);

    // What is wrong with the maps, nullptr for nothing: the heatmaps need at least `keypoints`
    // channels and the PAFs two a limb.
    const char *fault(const Maps &maps) const;

    // The maps must have no fault. Allocates nothing once `workspace` and `persons` have grown.
    void decode(const Maps &maps, Workspace &workspace, Persons &persons) const;

    std::size_t keypoints() const { return keypoints_; }
    std::size_t limbs() const { return limbs_.size(); }

  private:
    bool is_kept(const Workspace &workspace, std::size_t person) const;
    float score_of(const Workspace &workspace, std::size_t person) const;
    void write_persons(float stride, Workspace &workspace, Persons &persons) const;

    std::size_t keypoints_;
    std::vector<Limb> limbs_;
    Settings settings_;
};

}  // namespace bpnet
