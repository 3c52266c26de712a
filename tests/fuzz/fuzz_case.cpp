#include "fuzz_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace fuzz {
namespace {

constexpr std::size_t MOST_KEYPOINTS = 133;  // of COCO-WholeBody
constexpr std::size_t MOST_VALUES = 60000;   // of one map
constexpr std::size_t MOST_PAIRS = 40000;    // of peaks, over all limbs

// splitmix64: https://prng.di.unimi.it/splitmix64.c
class Noise {
  public:
    explicit Noise(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        return mixed ^ (mixed >> 31U);
    }
    float unit() { return static_cast<float>(next() >> 40U) / 16777216.0F; }
    float raw() {
        const auto bits = static_cast<std::uint32_t>(next());
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }

  private:
    std::uint64_t state_;
};

enum class Kind { noise, spots, ridge, constant, plateaus, board, negative, raw, sprinkled, bytes };

float value_of(Kind kind, std::size_t y, std::size_t x, float level, Noise &noise, Bytes &bytes) {
    switch (kind) {
        case Kind::noise:
            return noise.unit();
        case Kind::spots:  // a peak in every other cell, all different
            return y % 2 == 0 && x % 2 == 0 ? 0.2F + 0.8F * noise.unit() : 0;
        case Kind::ridge:  // one slope with a plateau at its end
            return std::min(level, static_cast<float>(x + y) / 16);
        case Kind::constant:
            return level;
        case Kind::plateaus:
            return std::floor(4 * noise.unit()) / 4;
        case Kind::board:
            return (x + y) % 2 == 0 ? level : 0;
        case Kind::negative:
            return -noise.unit();
        case Kind::raw:
            return noise.raw();
        case Kind::sprinkled:
            return noise.next() % 16 == 0 ? noise.raw() : noise.unit();
        case Kind::bytes:
            return bytes.is_empty() ? noise.unit() : bytes.raw_float();
    }
    return 0;
}

Values read_values(Bytes &bytes, std::size_t height, std::size_t width, std::size_t channels) {
    const auto kind = static_cast<Kind>(bytes.below(static_cast<std::size_t>(Kind::bytes) + 1));
    const float level = bytes.below(2) == 0 ? bytes.between(0, 1) : bytes.raw_float();
    Noise noise(bytes.bits());
    Values values{height, width, channels, {}};
    values.hwc.reserve(height * width * channels);
    for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t x = 0; x < width; ++x) {
            for (std::size_t channel = 0; channel < channels; ++channel) {
                values.hwc.push_back(value_of(kind, y, x, level, noise, bytes));
            }
        }
    }
    return values;
}

Layout read_layout(Bytes &bytes) {
    Layout layout = PLAIN;
    std::swap(layout.order[0], layout.order[bytes.below(3)]);
    std::swap(layout.order[1], layout.order[1 + bytes.below(2)]);
    for (bool &backward : layout.backward) backward = bytes.below(4) == 0;
    layout.step = 1 + bytes.below(3) / 2;
    layout.gap = bytes.below(4);
    return layout;
}

float read_stride(Bytes &bytes, bool &is_ordinary) {
    constexpr float STRIDES[] = {8, 8, 4, 2, 1, 0.5F, 16, 7.3F};
    const std::size_t choice = bytes.below(120);
    if (choice < 119) return STRIDES[choice % 8];
    is_ordinary = false;
    return bytes.raw_float();
}

// Usual numbers, now and then one that is anything.
bpnet::Settings read_settings(Bytes &bytes, std::size_t limbs, bool &is_ordinary) {
    bpnet::Settings settings{};
    settings.heatmap_threshold = bytes.between(0, 0.6F);
    settings.cell_share = bytes.between(0.3F, 1);
    settings.refine = bytes.below(3) == 2 ? 2 : 1;
    settings.paf_threshold = bytes.between(-0.2F, 0.4F);
    settings.min_sample_share = bytes.between(0, 1);
    settings.samples_per_cell = bytes.between(0, 3);
    settings.min_samples = 2 + static_cast<int>(bytes.below(8));
    settings.max_samples = settings.min_samples + static_cast<int>(bytes.below(20));
    settings.short_limb = bytes.between(0, 3);
    settings.short_limb_score = bytes.between(0, 0.5F);
    settings.length_limit = bytes.between(0, 2);
    settings.paf_cell_corners = bytes.below(2) == 0;
    settings.min_keypoints = static_cast<int>(bytes.below(5));
    settings.min_mean_score = bytes.between(-0.5F, 0.5F);
    settings.small_person = bytes.below(4) == 0 ? 0 : bytes.between(0, 20);
    const double per_limb = static_cast<double>(MOST_PAIRS) / std::max<double>(limbs, 1);
    const auto most = static_cast<std::size_t>(std::max(2.0, std::sqrt(per_limb)));
    settings.max_peaks = limbs == 0 ? 10000 : 1 + static_cast<int>(bytes.below(most));

    float *const numbers[] = {&settings.heatmap_threshold, &settings.cell_share,
                              &settings.paf_threshold,     &settings.min_sample_share,
                              &settings.samples_per_cell,  &settings.short_limb,
                              &settings.short_limb_score,  &settings.length_limit,
                              &settings.min_mean_score,    &settings.small_person};
    if (bytes.below(8) == 7) {
        is_ordinary = false;
        *numbers[bytes.below(std::size(numbers))] = bytes.raw_float();
    }
    int *const whole[] = {&settings.max_peaks, &settings.min_samples, &settings.max_samples,
                          &settings.min_keypoints, &settings.refine};
    if (bytes.below(16) == 15) {
        is_ordinary = false;
        // Small enough that a run ends, or of any size.
        const int value = static_cast<int>(bytes.bits());
        *whole[bytes.below(std::size(whole))] = bytes.below(2) == 0 ? value % 50 : value;
    }
    return settings;
}

std::size_t read_side(Bytes &bytes, std::size_t most) {
    return 1 + bytes.below(bytes.below(4) == 0 ? std::min<std::size_t>(most, 3) : most);
}

Image read_image(Bytes &bytes, const Case &fuzz_case, bool is_big, bool &is_ordinary) {
    Image image{};
    const std::size_t heatmap_channels = fuzz_case.keypoints + bytes.below(2);
    const std::size_t paf_channels = 2 * fuzz_case.limbs.size() + bytes.below(2);
    auto most = [&](std::size_t channels) {
        const double cells = static_cast<double>(MOST_VALUES) / std::max<double>(channels, 1);
        return std::min<std::size_t>(static_cast<std::size_t>(std::sqrt(cells)), is_big ? 220 : 24);
    };
    const std::size_t height = is_big ? most(heatmap_channels) : read_side(bytes, 24);
    const std::size_t width = read_side(bytes, most(heatmap_channels));
    image.heatmaps = read_values(bytes, std::min(height, most(heatmap_channels)),
                                 is_big ? height : width, heatmap_channels);
    const std::size_t paf_height = read_side(bytes, most(paf_channels));
    const std::size_t paf_width = read_side(bytes, most(paf_channels));
    image.pafs = read_values(bytes, paf_height, paf_width, paf_channels);
    image.heatmap_stride = read_stride(bytes, is_ordinary);
    image.paf_stride = read_stride(bytes, is_ordinary);
    if (bytes.below(64) == 63) {  // maps that do not fit
        is_ordinary = false;
        std::size_t *const sides[] = {&image.heatmaps.height, &image.heatmaps.channels,
                                      &image.pafs.width, &image.pafs.channels};
        std::size_t &side = *sides[bytes.below(std::size(sides))];
        side = std::min(side, bytes.below(3));
    }
    image.heatmap_layout = read_layout(bytes);
    image.paf_layout = read_layout(bytes);
    return image;
}

}  // namespace

std::uint8_t Bytes::byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
}

std::uint32_t Bytes::bits() {
    std::uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits = bits << 8U | byte();
    return bits;
}

std::size_t Bytes::below(std::size_t end) {
    const std::size_t wide = end > 256 ? std::size_t{byte()} << 8U | byte() : byte();
    return wide % end;
}

float Bytes::between(float least, float most) {
    return least + (most - least) * static_cast<float>(byte()) / 255;
}

float Bytes::raw_float() {
    constexpr std::uint32_t SPECIAL[] = {0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000,
                                         0x00000001, 0x007fffff, 0x7f7fffff, 0xff7fffff,
                                         0x80000000, 0x3f800000, 0x49742400, 0x4f000000};
    const std::size_t choice = below(16);
    const std::uint32_t bits_read = choice < std::size(SPECIAL) ? SPECIAL[choice] : bits();
    float value;
    std::memcpy(&value, &bits_read, sizeof value);
    return value;
}

Stored store(const Values &values, const Layout &layout) {
    const std::size_t sides[3] = {values.height, values.width, values.channels};
    std::ptrdiff_t strides[3];
    std::size_t extent = 1;  // floats from the first value to the last, and one
    std::size_t first = 0;   // where the value at 0, 0, 0 lies
    std::size_t stride = layout.step;
    for (std::size_t i = 3; i-- > 0;) {
        const std::size_t axis = layout.order[i];
        const std::size_t reach = stride * (std::max<std::size_t>(sides[axis], 1) - 1);
        strides[axis] = static_cast<std::ptrdiff_t>(stride);
        if (layout.backward[axis]) {
            strides[axis] = -strides[axis];
            first += reach;
        }
        extent += reach;
        stride = stride * std::max<std::size_t>(sides[axis], 1) + layout.gap;
    }
    Stored stored{std::vector<float>(extent, std::nanf("")), {}};
    stored.view = {stored.memory.data() + first,
                   values.height,
                   values.width,
                   values.channels,
                   strides[0],
                   strides[1],
                   strides[2]};
    std::size_t next = 0;
    for (std::size_t y = 0; y < values.height; ++y) {
        for (std::size_t x = 0; x < values.width; ++x) {
            for (std::size_t channel = 0; channel < values.channels; ++channel) {
                *const_cast<float *>(stored.view.at(y, x, channel)) = values.hwc[next++];
            }
        }
    }
    return stored;
}

Case read_case(Bytes bytes) {
    Case fuzz_case{};
    fuzz_case.is_ordinary = true;
    const bool is_big = bytes.below(48) == 47;
    const std::size_t most = is_big ? 2 : bytes.below(8) == 0 ? MOST_KEYPOINTS : 20;
    fuzz_case.keypoints = 1 + bytes.below(most);
    std::size_t limbs = fuzz_case.keypoints > 1 ? bytes.below(2 * fuzz_case.keypoints) : 0;
    if (is_big) limbs = std::min<std::size_t>(limbs, bytes.below(2));
    for (std::size_t limb = 0; limb < limbs; ++limb) {
        const std::size_t start = bytes.below(fuzz_case.keypoints);
        const std::size_t way = 1 + bytes.below(fuzz_case.keypoints - 1);
        fuzz_case.limbs.push_back({start, (start + way) % fuzz_case.keypoints});
    }
    fuzz_case.settings = read_settings(bytes, limbs, fuzz_case.is_ordinary);
    fuzz_case.threads = 1 + bytes.below(4);
    const std::size_t images = is_big ? 1 : 1 + bytes.below(3);
    for (std::size_t image = 0; image < images; ++image) {
        fuzz_case.images.push_back(read_image(bytes, fuzz_case, is_big, fuzz_case.is_ordinary));
    }
    return fuzz_case;
}

}  // namespace fuzz
