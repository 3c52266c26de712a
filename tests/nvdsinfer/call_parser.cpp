// Loads the parser of a bundle and calls it as Gst-nvinfer does; for ctypes.
#include <dlfcn.h>

#include <algorithm>
#include <cstddef>

#include "nvdsinfer_custom_impl.h"

// The places of the fields on 64-bit machines, which Gst-nvinfer fills.
static_assert(sizeof(NvDsInferDims) == 40, "NvDsInferDims");
static_assert(offsetof(NvDsInferLayerInfo, inferDims) == 4, "inferDims");
static_assert(offsetof(NvDsInferLayerInfo, layerName) == 48, "layerName");
static_assert(offsetof(NvDsInferLayerInfo, buffer) == 56, "buffer");
static_assert(sizeof(NvDsInferLayerInfo) == 72, "NvDsInferLayerInfo");
static_assert(offsetof(NvDsInferInstanceMaskInfo, mask) == 24, "mask");
static_assert(sizeof(NvDsInferInstanceMaskInfo) == 48, "NvDsInferInstanceMaskInfo");

namespace {

NvDsInferLayerInfo layer_of(const char *name, float *values, const unsigned shape[3], int type) {
    NvDsInferLayerInfo layer{};
    layer.dataType = static_cast<NvDsInferDataType>(type);
    layer.inferDims.numDims = 3;
    std::copy(shape, shape + 3, layer.inferDims.d);
    layer.inferDims.numElements = shape[0] * shape[1] * shape[2];
    layer.layerName = name;
    layer.buffer = values;
    return layer;
}

template <typename Function>
Function find_function(const char *library, const char *name) {
    void *loaded = dlopen(library, RTLD_LAZY);
    if (loaded == nullptr) return nullptr;
    return reinterpret_cast<Function>(dlsym(loaded, name));
}

template <typename Object>
void write_box(const Object &object, float *box) {
    const float values[5] = {object.left, object.top, object.width, object.height,
                             object.detectionConfidence};
    std::copy(values, values + 5, box);
}

}  // namespace

// How many people the parser found, -1 where it refused, -2 where it is not there. Their boxes
// (left, top, width, height, score) go to `boxes`, their keypoints (K x 3) to `keypoints`; where
// that is NULL, the parser of boxes alone is called.
extern "C" int call_parser(const char *library, const char *heatmap_name, float *heatmaps,
                           const unsigned heatmap_shape[3], const char *paf_name, float *pafs,
                           const unsigned paf_shape[3], int type, unsigned width, unsigned height,
                           float threshold, float *boxes, float *keypoints, int most) {
    const std::vector<NvDsInferLayerInfo> layers = {
        layer_of(paf_name, pafs, paf_shape, type),
        layer_of(heatmap_name, heatmaps, heatmap_shape, type)};
    const NvDsInferNetworkInfo network = {width, height, 3};
    NvDsInferParseDetectionParams params{1, {threshold}, {0.0F}};
    if (keypoints == nullptr) {
        const auto parse =
            find_function<NvDsInferParseCustomFunc>(library, "NvDsInferParseBpnetBoxes");
        if (parse == nullptr) return -2;
        std::vector<NvDsInferObjectDetectionInfo> objects;
        if (!parse(layers, network, params, objects)) return -1;
        const int count = std::min<int>(most, static_cast<int>(objects.size()));
        for (int i = 0; i < count; ++i) write_box(objects[i], boxes + 5 * i);
        return static_cast<int>(objects.size());
    }
    const auto parse =
        find_function<NvDsInferInstanceMaskParseCustomFunc>(library, "NvDsInferParseBpnetPeople");
    if (parse == nullptr) return -2;
    std::vector<NvDsInferInstanceMaskInfo> objects;
    if (!parse(layers, network, params, objects)) return -1;
    const int count = static_cast<int>(objects.size());
    for (int i = 0; i < count; ++i) {
        const NvDsInferInstanceMaskInfo &object = objects[i];
        const std::size_t floats = object.mask_size / sizeof(float);
        if (i < most) {
            write_box(object, boxes + 5 * i);
            std::copy(object.mask, object.mask + floats, keypoints + floats * i);
        }
        const bool sized = object.mask_width == width && object.mask_height == height;
        delete[] object.mask;  // as Gst-nvinfer does
        if (!sized) return -3;
    }
    return count;
}
