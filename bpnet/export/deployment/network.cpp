#include "network.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "model.h"

namespace {

constexpr std::size_t HEATMAP_CHANNELS = model::KEYPOINTS + 1;  // and the background
constexpr std::size_t PAF_CHANNELS = 2 * model::LIMB_COUNT;

// The decoder of the network; made once, for all threads.
struct SharedDecoder {
    SharedDecoder() {
        const bpnet_pose_settings settings = model::settings();
        status = bpnet_pose_create(model::KEYPOINTS, model::LIMBS, model::LIMB_COUNT, &settings,
                                   &decoder, error, sizeof error);
    }
    ~SharedDecoder() { bpnet_pose_destroy(decoder); }
    SharedDecoder(const SharedDecoder &) = delete;
    SharedDecoder &operator=(const SharedDecoder &) = delete;

    bpnet_pose_decoder *decoder = nullptr;
    bpnet_pose_status status;
    char error[256] = "";
};

SharedDecoder &shared_decoder() {
    static SharedDecoder decoder;
    return decoder;
}

// A view of an output in the axis order that its shape tells; false where it has other channels.
bool to_map(const float *data, const std::size_t shape[3], std::size_t channels,
            bpnet_pose_map &map) {
    const bool first = shape[0] == channels;
    const bool last = shape[2] == channels;
    if (data == nullptr || (!first && !last)) return false;
    const bool channels_last = last && !(first && model::CHANNELS_FIRST);
    map.data = data;
    map.channels = channels;
    map.height = channels_last ? shape[0] : shape[1];
    map.width = channels_last ? shape[1] : shape[2];
    map.channel_stride = channels_last ? 1 : static_cast<std::ptrdiff_t>(map.height * map.width);
    map.column_stride = channels_last ? static_cast<std::ptrdiff_t>(channels) : 1;
    map.row_stride = map.column_stride * static_cast<std::ptrdiff_t>(map.width);
    return map.height > 0 && map.width > 0;
}

float value(const bpnet_pose_map &map, std::size_t y, std::size_t x, std::size_t channel) {
    return map.data[static_cast<std::ptrdiff_t>(y) * map.row_stride +
                    static_cast<std::ptrdiff_t>(x) * map.column_stride +
                    static_cast<std::ptrdiff_t>(channel) * map.channel_stride];
}

// Whether the map repeats every cell `times` times in both directions.
bool repeats(const bpnet_pose_map &map, std::size_t times) {
    for (std::size_t y = 0; y < map.height; ++y) {
        for (std::size_t x = 0; x < map.width; ++x) {
            for (std::size_t channel = 0; channel < map.channels; ++channel) {
                if (value(map, y, x, channel) !=
                    value(map, y - y % times, x - x % times, channel)) {
                    return false;
                }
            }
        }
    }
    return true;
}

// PAFs that the network upsampled by repetition, at the resolution they were drawn at.
void drop_repetition(bpnet_pose_map &map, std::size_t times) {
    if (times < 2 || map.height % times != 0 || map.width % times != 0 || !repeats(map, times)) {
        return;
    }
    map.height /= times;
    map.width /= times;
    map.row_stride *= static_cast<std::ptrdiff_t>(times);
    map.column_stride *= static_cast<std::ptrdiff_t>(times);
}

// Pixels a cell: what the network says of itself, where that can be true.
float stride_of(const bpnet_pose_map &map, double said) {
    const double cells = static_cast<double>(map.height);
    if (cells == std::ceil(model::HEIGHT / said)) return static_cast<float>(said);
    return static_cast<float>(model::HEIGHT / cells);
}

bpnet_pose_status fail(char *error, std::size_t size, const char *output, std::size_t channels,
                       const std::size_t shape[3]) {
    if (error != nullptr && size > 0) {
        std::snprintf(error, size, "output %s is %zu x %zu x %zu, not maps of %zu channels", output,
                      shape[0], shape[1], shape[2], channels);
    }
    return BPNET_POSE_INVALID;
}

}  // namespace

bpnet_pose_status bpnet_network_people(const float *heatmaps, const size_t heatmap_shape[3],
                                       const float *pafs, const size_t paf_shape[3],
                                       bpnet_pose_people *people, char *error, size_t error_size) {
    bpnet_pose_maps maps{};
    if (people != nullptr) people->count = 0;
    if (!to_map(heatmaps, heatmap_shape, HEATMAP_CHANNELS, maps.heatmaps)) {
        return fail(error, error_size, model::HEATMAP_OUTPUT, HEATMAP_CHANNELS, heatmap_shape);
    }
    if (!to_map(pafs, paf_shape, PAF_CHANNELS, maps.pafs)) {
        return fail(error, error_size, model::PAF_OUTPUT, PAF_CHANNELS, paf_shape);
    }
    drop_repetition(maps.pafs, maps.pafs.height / maps.heatmaps.height);
    maps.heatmap_stride = stride_of(maps.heatmaps, model::HEATMAP_STRIDE);
    maps.paf_stride = stride_of(maps.pafs, model::PAF_STRIDE);
    const SharedDecoder &shared = shared_decoder();
    if (shared.status != BPNET_POSE_OK) {
        if (error != nullptr && error_size > 0) {
            std::snprintf(error, error_size, "%s", shared.error);
        }
        return shared.status;
    }
    return bpnet_pose_decode(shared.decoder, &maps, people, error, error_size);
}

void bpnet_network_free(bpnet_pose_people *people) {
    bpnet_pose_people_free(people);
}
