// People for Gst-nvinfer: custom parsers of DeepStream, over the decoder that Python uses.
//
//   NvDsInferParseBpnetPeople  people as objects whose "mask" holds K x 3 floats: x, y and score of
//                              every keypoint, pixels of the network's input, score 0: not found
//   NvDsInferParseBpnetBoxes   the same people as boxes only
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "model.h"
#include "network.h"
#include "nvdsinfer_custom_impl.h"

namespace {

// Memory that a thread of Gst-nvinfer uses again for every image.
struct People {
    ~People() { bpnet_network_free(&found); }

    bpnet_pose_people found{};
};

struct Box {
    float left, top, width, height;
};

bool fail(const char *what) {
    std::fprintf(stderr, "bpnet parser: %s\n", what);
    return false;
}

const NvDsInferLayerInfo *find_layer(const std::vector<NvDsInferLayerInfo> &layers,
                                     const char *name) {
    for (const NvDsInferLayerInfo &layer : layers) {
        if (layer.layerName != nullptr && std::strcmp(layer.layerName, name) == 0) return &layer;
    }
    return nullptr;
}

// The floats and the three axes of an output; nullptr with a message where there are none.
const float *read_layer(const std::vector<NvDsInferLayerInfo> &layers, const char *name,
                        std::size_t shape[3]) {
    char message[256];
    const NvDsInferLayerInfo *layer = find_layer(layers, name);
    if (layer == nullptr) {
        std::snprintf(message, sizeof message, "the engine has no output %s", name);
    } else if (layer->dataType != FLOAT) {
        std::snprintf(message, sizeof message, "output %s is not float32", name);
    } else if (layer->inferDims.numDims != 3) {
        std::snprintf(message, sizeof message, "output %s has %u axes, not 3", name,
                      layer->inferDims.numDims);
    } else {
        std::copy(layer->inferDims.d, layer->inferDims.d + 3, shape);
        return static_cast<const float *>(layer->buffer);
    }
    fail(message);
    return nullptr;
}

// The people of one image, nullptr with a message where the engine is another network's.
const bpnet_pose_people *find_people(const std::vector<NvDsInferLayerInfo> &layers) {
    thread_local People people;
    std::size_t heatmap_shape[3];
    std::size_t paf_shape[3];
    const float *heatmaps = read_layer(layers, model::HEATMAP_OUTPUT, heatmap_shape);
    const float *pafs = read_layer(layers, model::PAF_OUTPUT, paf_shape);
    if (heatmaps == nullptr || pafs == nullptr) return nullptr;
    char error[256];
    if (bpnet_network_people(heatmaps, heatmap_shape, pafs, paf_shape, &people.found, error,
                             sizeof error) != BPNET_POSE_OK) {
        fail(error);
        return nullptr;
    }
    return &people.found;
}

// The pixels that a person's keypoints cover, within the network's input.
Box box_of(const bpnet_pose_people &people, std::size_t person,
           const NvDsInferNetworkInfo &network) {
    const float right_edge = static_cast<float>(network.width) - 1;
    const float bottom_edge = static_cast<float>(network.height) - 1;
    float left = right_edge, top = bottom_edge, right = 0, bottom = 0;
    for (std::size_t keypoint = 0; keypoint < people.keypoints; ++keypoint) {
        const std::size_t slot = person * people.keypoints + keypoint;
        if (people.score[slot] <= 0) continue;
        const float x = std::clamp(people.xy[2 * slot], 0.0F, right_edge);
        const float y = std::clamp(people.xy[2 * slot + 1], 0.0F, bottom_edge);
        left = std::min(left, x);
        right = std::max(right, x);
        top = std::min(top, y);
        bottom = std::max(bottom, y);
    }
    return {left, top, right - left + 1, bottom - top + 1};
}

float *copy_keypoints(const bpnet_pose_people &people, std::size_t person) {
    float *values = new float[3 * people.keypoints];  // nvinfer deletes it
    for (std::size_t keypoint = 0; keypoint < people.keypoints; ++keypoint) {
        const std::size_t slot = person * people.keypoints + keypoint;
        values[3 * keypoint] = people.xy[2 * slot];
        values[3 * keypoint + 1] = people.xy[2 * slot + 1];
        values[3 * keypoint + 2] = people.score[slot];
    }
    return values;
}

template <typename Object>
Object to_object(const bpnet_pose_people &people, std::size_t person,
                 const NvDsInferNetworkInfo &network) {
    const Box box = box_of(people, person, network);
    Object object{};
    object.classId = 0;
    object.left = box.left;
    object.top = box.top;
    object.width = box.width;
    object.height = box.height;
    object.detectionConfidence = std::clamp(people.person_score[person], 0.0F, 1.0F);
    return object;
}

void add_keypoints(const bpnet_pose_people &people, std::size_t person,
                   const NvDsInferNetworkInfo &network, NvDsInferInstanceMaskInfo &object) {
    object.mask = copy_keypoints(people, person);
    object.mask_width = network.width;
    object.mask_height = network.height;
    object.mask_size = static_cast<unsigned>(3 * people.keypoints * sizeof(float));
}

void add_keypoints(const bpnet_pose_people &, std::size_t, const NvDsInferNetworkInfo &,
                   NvDsInferObjectDetectionInfo &) {}

template <typename Object>
bool parse(const std::vector<NvDsInferLayerInfo> &layers, const NvDsInferNetworkInfo &network,
           const NvDsInferParseDetectionParams &params, std::vector<Object> &objects) {
    const std::vector<float> &thresholds = params.perClassPreclusterThreshold;
    const float least = thresholds.empty() ? 0.0F : thresholds[0];
    try {
        const bpnet_pose_people *people = find_people(layers);
        if (people == nullptr) return false;
        objects.reserve(objects.size() + people->count);
        for (std::size_t person = 0; person < people->count; ++person) {
            Object object = to_object<Object>(*people, person, network);
            if (object.detectionConfidence < least) continue;
            add_keypoints(*people, person, network, object);
            objects.push_back(object);
        }
    } catch (const std::bad_alloc &) {
        return fail("out of memory");
    }
    return true;
}

}  // namespace

extern "C" BPNET_NETWORK_API bool NvDsInferParseBpnetPeople(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,
    NvDsInferParseDetectionParams const &params, std::vector<NvDsInferInstanceMaskInfo> &objects) {
    return parse(layers, network, params, objects);
}

extern "C" BPNET_NETWORK_API bool NvDsInferParseBpnetBoxes(
    std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,
    NvDsInferParseDetectionParams const &params,
    std::vector<NvDsInferObjectDetectionInfo> &objects) {
    return parse(layers, network, params, objects);
}

CHECK_CUSTOM_INSTANCE_MASK_PARSE_FUNC_PROTOTYPE(NvDsInferParseBpnetPeople)
CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseBpnetBoxes)
