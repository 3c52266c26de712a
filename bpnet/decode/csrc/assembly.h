#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "limbs.h"
#include "peaks.h"

namespace bpnet {

// People put together from peaks.
struct People {
    std::vector<std::int32_t> peak;   // P x K: index of the peak, -1 where there is none
    std::vector<std::uint32_t> size;  // P: keypoints; 0 for a person merged into another
    std::vector<float> limb_score;    // P: sum over the connections that joined the person
};

// Scratch space for putting connections in order.
struct Ranking {
    std::vector<std::uint64_t> keys;
    std::vector<std::uint64_t> sorted;
};

// Joins peaks into people, best connection first; of equal ones, the first. Any connection may
// start a person or merge two; one that would give a person a second peak of a keypoint is passed
// over. `ranking` and `person` are scratch space.
void assemble_people(const std::vector<Connection> &connections, const PeakList &peaks,
                     const std::vector<Limb> &limbs, Ranking &ranking,
                     std::vector<std::int32_t> &person, People &people);

}  // namespace bpnet
