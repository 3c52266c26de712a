// The reader of skeleton files under text that is almost one: a good document, spoilt as the bytes
// say. It must make a decoder of it, or refuse it with a message. Writes a file in the folder that
// it is run in.

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#include "bpnet_pose.h"
#include "driver.h"
#include "fuzz_case.h"
#include "people_check.h"

namespace {

constexpr char PATH[] = "skeleton_fuzz.json";

const std::string DOCUMENT =
    R"({"categories": [{"name": "person", "num_joints": 4, "supercategory": null,)"
    R"( "keypoints": ["nose", "neck", "l\u00e9g", "\ud83d\ude00"],)"
    R"( "skeleton": [[1, 2], [2, 3], [3, 4]], "sigmas": [0.1, 2.5e-2, 1, 0], "a": {"b": true},)"
    R"( "skeleton_edge_names": [["nose", "neck"], ["neck", "l\u00e9g"], ["l\u00e9g", "\ud83d\ude00"]]}]})";

const std::string PIECES[] = {
    "[",     "]",      "{",      "}",    "\"",    ",",         ":",        "\\",
    "\\u",   "\\ud83", "\\udc0", "null", "true",  "-",         "1e",       "1e999",
    "-1e-9", "0",      "00",     "1.",   "1.5",   "999999999", "\"nose\"", "\"neck\"",
    "[1,2]", "[1,1]",  "[0,5]",  "[[",   "[[[[[", "\xff\xfe",  "\n",       "\"keypoints\":",
};

std::string spoil(fuzz::Bytes bytes) {
    std::string text = DOCUMENT;
    const std::size_t faults = bytes.below(6);
    for (std::size_t fault = 0; fault < faults; ++fault) {
        const std::size_t place = text.empty() ? 0 : bytes.below(text.size());
        const std::size_t length = bytes.below(bytes.below(4) == 3 ? 600 : 8);
        switch (bytes.below(6)) {
            case 0:
                text.insert(place, PIECES[bytes.below(std::size(PIECES))]);
                break;
            case 1:
                text.replace(place, length, PIECES[bytes.below(std::size(PIECES))]);
                break;
            case 2:
                text.insert(place, 1, static_cast<char>(bytes.byte()));
                break;
            case 3:
                text.erase(place, length);
                break;
            case 4:
                text.insert(place, text.substr(bytes.below(text.size() + 1), length));
                break;
            case 5: {  // the same piece very often
                const std::string &piece = PIECES[bytes.below(std::size(PIECES))];
                for (std::size_t i = 0; i < length; ++i) text.insert(place, piece);
                break;
            }
        }
    }
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string text = spoil(fuzz::Bytes(data, size));
    std::ofstream(PATH, std::ios::binary | std::ios::trunc) << text;
    ++fuzz::counts.cases;
    char error[60];  // shorter than some messages
    bpnet_pose_decoder *decoder = nullptr;
    switch (bpnet_pose_create_from_file(PATH, nullptr, &decoder, error, sizeof error)) {
        case BPNET_POSE_OK:
            fuzz::require(error[0] == '\0', "made with a complaint");
            fuzz::require(bpnet_pose_limbs(decoder) > 0, "a skeleton without limbs");
            for (std::size_t k = 0; k < bpnet_pose_keypoints(decoder); ++k) {
                fuzz::require(bpnet_pose_keypoint_name(decoder, k) != nullptr, "no name");
            }
            break;
        case BPNET_POSE_FILE:
            fuzz::require(std::strlen(error) > std::strlen(PATH), "refused without a word");
            fuzz::require(text != DOCUMENT, "a good document is refused");
            fuzz::require(decoder == nullptr, "refused, and made all the same");
            ++fuzz::counts.refused;
            break;
        default:
            fuzz::require(false, error);
    }
    bpnet_pose_destroy(decoder);
    return 0;
}
