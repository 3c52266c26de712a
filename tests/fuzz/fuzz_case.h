#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "decoder.h"

namespace fuzz {

// What the fuzzer's bytes are spent on, one after another; zeros when they run out.
class Bytes {
  public:
    Bytes(const std::uint8_t *data, std::size_t size) : data_(data), left_(size) {}

    std::uint8_t byte();
    std::uint32_t bits();
    std::size_t below(std::size_t end);  // 0 ... end - 1
    float between(float least, float most);
    float raw_float();  // any bits: NaN, infinities, denormals
    bool is_empty() const { return left_ == 0; }

  private:
    const std::uint8_t *data_;
    std::size_t left_;
};

// The values of a map of height x width x channels.
struct Values {
    std::size_t height;
    std::size_t width;
    std::size_t channels;
    std::vector<float> hwc;
};

// An order of the axes in memory, with gaps and backward axes.
struct Layout {
    std::size_t order[3];  // outermost axis first; 0 height, 1 width, 2 channels
    bool backward[3];      // by axis
    std::size_t step;      // floats from one value to the next along the innermost axis
    std::size_t gap;       // unused floats between runs of an axis
};

constexpr Layout PLAIN{{0, 1, 2}, {false, false, false}, 1, 0};

// Values in memory of exactly their extent, so that a sanitizer sees a step outside.
struct Stored {
    std::vector<float> memory;
    bpnet::MapView view;
};

Stored store(const Values &values, const Layout &layout);

struct Image {
    Values heatmaps;
    Values pafs;
    float heatmap_stride;
    float paf_stride;
    Layout heatmap_layout;
    Layout paf_layout;
};

struct Case {
    std::size_t keypoints;
    std::vector<bpnet::Limb> limbs;
    bpnet::Settings settings;
    std::vector<Image> images;
    std::size_t threads;
    // No number of the settings or strides is extreme, so every result must be finite and in the
    // map.
    bool is_ordinary;
};

// A skeleton, settings and maps that the decoder must cope with, or refuse.
Case read_case(Bytes bytes);

}  // namespace fuzz
