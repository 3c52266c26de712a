#pragma once

#include <cstddef>

namespace fuzz {

// What the run met; a run without people has tested little.
struct Counts {
    std::size_t cases = 0;
    std::size_t refused = 0;
    std::size_t people = 0;
    std::size_t dropped = 0;  // peaks
};

inline Counts counts;

}  // namespace fuzz
