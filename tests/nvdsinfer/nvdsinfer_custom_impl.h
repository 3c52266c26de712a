// The layouts that DeepStream's public nvdsinfer.h and nvdsinfer_custom_impl.h document, written
// anew so that the parser of a bundle is compiled and called without DeepStream.
#pragma once

#include <vector>

extern "C" {

enum NvDsInferDataType { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3, INT64 = 4, UINT8 = 5 };

struct NvDsInferDims {
    unsigned int numDims;
    unsigned int d[8];
    unsigned int numElements;
};

struct NvDsInferLayerInfo {
    NvDsInferDataType dataType;
    union {
        NvDsInferDims inferDims;
        NvDsInferDims dims;
    };
    int bindingIndex;
    const char *layerName;
    void *buffer;
    int isInput;
};

struct NvDsInferNetworkInfo {
    unsigned int width;
    unsigned int height;
    unsigned int channels;
};

struct NvDsInferObjectDetectionInfo {
    unsigned int classId;
    float left;
    float top;
    float width;
    float height;
    float detectionConfidence;
    float rotation_angle;  // DeepStream 9 and newer
};

struct NvDsInferInstanceMaskInfo {
    unsigned int classId;
    float left;
    float top;
    float width;
    float height;
    float detectionConfidence;
    float *mask;
    unsigned int mask_width;
    unsigned int mask_height;
    unsigned int mask_size;
};

}  // extern "C"

struct NvDsInferParseDetectionParams {
    unsigned int numClassesConfigured;
    std::vector<float> perClassPreclusterThreshold;
    std::vector<float> perClassPostclusterThreshold;
    std::vector<float> &perClassThreshold = perClassPreclusterThreshold;
};

typedef bool (*NvDsInferParseCustomFunc)(std::vector<NvDsInferLayerInfo> const &,
                                         NvDsInferNetworkInfo const &,
                                         NvDsInferParseDetectionParams const &,
                                         std::vector<NvDsInferObjectDetectionInfo> &);
typedef bool (*NvDsInferInstanceMaskParseCustomFunc)(std::vector<NvDsInferLayerInfo> const &,
                                                     NvDsInferNetworkInfo const &,
                                                     NvDsInferParseDetectionParams const &,
                                                     std::vector<NvDsInferInstanceMaskInfo> &);

#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(function) \
    static_assert(static_cast<NvDsInferParseCustomFunc>(function) != nullptr, "another type");
#define CHECK_CUSTOM_INSTANCE_MASK_PARSE_FUNC_PROTOTYPE(function)                         \
    static_assert(static_cast<NvDsInferInstanceMaskParseCustomFunc>(function) != nullptr, \
                  "another type");
