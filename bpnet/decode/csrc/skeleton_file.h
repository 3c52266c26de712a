#pragma once

#include <string>
#include <vector>

#include "limbs.h"

namespace bpnet {

// What the decoder needs of a skeleton file.
struct SkeletonFile {
    std::vector<std::string> keypoints;  // names
    std::vector<Limb> limbs;
};

// Reads TAO's pose JSON: categories[0] with `keypoints`, and limbs as pairs of numbers from 1 in
// `skeleton`, of names in `skeleton_edge_names`, or both. Other keys are for others. Throws
// std::runtime_error with the path and what is wrong.
SkeletonFile read_skeleton_file(const std::string &path);

// The same of a document, the messages without its path.
SkeletonFile parse_skeleton(const std::string &text);

}  // namespace bpnet
