#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "batch.h"
#include "bpnet_pose.h"
#include "skeleton_file.h"

struct bpnet_pose_decoder {
    bpnet_pose_decoder(bpnet::Decoder decoder, std::vector<bpnet::Limb> limbs,
                       std::vector<std::string> names)
        : decoder(std::move(decoder)), limbs(std::move(limbs)), names(std::move(names)) {}

    bpnet::BatchDecoder decoder;
    std::vector<bpnet::Limb> limbs;
    std::vector<std::string> names;  // none for a decoder made from arrays
};

namespace {

// The text of an exception that is the file's fault and not the library's.
struct FileFault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void write_error(char *error, std::size_t size, const char *text) {
    if (error != nullptr && size > 0) std::snprintf(error, size, "%s", text);
}

// Calls `act`; whatever it throws becomes a status and a sentence.
template <typename Act>
bpnet_pose_status guarded(char *error, std::size_t size, const Act &act) noexcept {
    try {
        act();
        write_error(error, size, "");
        return BPNET_POSE_OK;
    } catch (const std::invalid_argument &fault) {
        write_error(error, size, fault.what());
        return BPNET_POSE_INVALID;
    } catch (const FileFault &fault) {
        write_error(error, size, fault.what());
        return BPNET_POSE_FILE;
    } catch (const std::bad_alloc &) {
        write_error(error, size, "out of memory");
        return BPNET_POSE_OUT_OF_MEMORY;
    } catch (const std::length_error &) {
        write_error(error, size, "out of memory");
        return BPNET_POSE_OUT_OF_MEMORY;
    } catch (const std::exception &fault) {
        write_error(error, size, fault.what());
        return BPNET_POSE_INTERNAL;
    } catch (...) {
        write_error(error, size, "unknown failure");
        return BPNET_POSE_INTERNAL;
    }
}

void require(bool holds, const char *otherwise) {
    if (!holds) throw std::invalid_argument(otherwise);
}

bpnet::Settings to_settings(const bpnet_pose_settings *given) {
    bpnet::Settings settings;
    if (given == nullptr) return settings;
    settings.heatmap_threshold = given->heatmap_threshold;
    settings.cell_share = given->cell_share;
    settings.max_peaks = given->max_peaks;
    settings.refine = given->refine;
    settings.paf_threshold = given->paf_threshold;
    settings.min_sample_share = given->min_sample_share;
    settings.samples_per_cell = given->samples_per_cell;
    settings.min_samples = given->min_samples;
    settings.max_samples = given->max_samples;
    settings.short_limb = given->short_limb;
    settings.short_limb_score = given->short_limb_score;
    settings.length_limit = given->length_limit;
    settings.paf_cell_corners = given->paf_cell_corners != 0;
    settings.min_keypoints = given->min_keypoints;
    settings.min_mean_score = given->min_mean_score;
    settings.small_person = given->small_person;
    return settings;
}

bpnet_pose_decoder *make_decoder(std::size_t keypoints, std::vector<bpnet::Limb> limbs,
                                 std::vector<std::string> names,
                                 const bpnet_pose_settings *settings) {
    bpnet::Decoder decoder(keypoints, limbs, to_settings(settings));
    return new bpnet_pose_decoder(std::move(decoder), std::move(limbs), std::move(names));
}

bpnet::MapView to_view(const bpnet_pose_map &map) {
    return {map.data,       map.height,        map.width,         map.channels,
            map.row_stride, map.column_stride, map.channel_stride};
}

void decode(bpnet_pose_decoder &decoder, const bpnet_pose_maps &given, bpnet_pose_people &people) {
    const bpnet::Maps maps{to_view(given.heatmaps), to_view(given.pafs), given.heatmap_stride,
                           given.paf_stride};
    const char *fault = decoder.decoder.decoder().fault(maps);
    require(fault == nullptr, fault);
    if (people.memory == nullptr) people.memory = new bpnet::Persons;
    auto &persons = *static_cast<bpnet::Persons *>(people.memory);
    decoder.decoder.decode(maps, persons);
    people.count = persons.person_score.size();
    people.keypoints = decoder.decoder.decoder().keypoints();
    people.xy = persons.xy.data();
    people.score = persons.score.data();
    people.person_score = persons.person_score.data();
    people.dropped_peaks = persons.dropped_peaks;
}

}  // namespace

void bpnet_pose_default_settings(bpnet_pose_settings *settings) {
    const bpnet::Settings defaults;
    *settings = {defaults.heatmap_threshold,
                 defaults.cell_share,
                 defaults.max_peaks,
                 defaults.refine,
                 defaults.paf_threshold,
                 defaults.min_sample_share,
                 defaults.samples_per_cell,
                 defaults.min_samples,
                 defaults.max_samples,
                 defaults.short_limb,
                 defaults.short_limb_score,
                 defaults.length_limit,
                 defaults.paf_cell_corners ? 1 : 0,
                 defaults.min_keypoints,
                 defaults.min_mean_score,
                 defaults.small_person};
}

bpnet_pose_status bpnet_pose_create(size_t keypoints, const bpnet_pose_limb *limbs,
                                    size_t limb_count, const bpnet_pose_settings *settings,
                                    bpnet_pose_decoder **decoder, char *error, size_t error_size) {
    return guarded(error, error_size, [&] {
        require(decoder != nullptr, "decoder must not be NULL");
        *decoder = nullptr;
        require(limbs != nullptr || limb_count == 0, "limbs must not be NULL");
        std::vector<bpnet::Limb> copied;
        for (size_t i = 0; i < limb_count; ++i) copied.push_back({limbs[i].start, limbs[i].end});
        *decoder = make_decoder(keypoints, std::move(copied), {}, settings);
    });
}

bpnet_pose_status bpnet_pose_create_from_file(const char *path, const bpnet_pose_settings *settings,
                                              bpnet_pose_decoder **decoder, char *error,
                                              size_t error_size) {
    return guarded(error, error_size, [&] {
        require(decoder != nullptr, "decoder must not be NULL");
        *decoder = nullptr;
        require(path != nullptr, "path must not be NULL");
        bpnet::SkeletonFile skeleton;
        try {
            skeleton = bpnet::read_skeleton_file(path);
        } catch (const std::runtime_error &fault) {
            throw FileFault(fault.what());
        }
        const std::size_t keypoints = skeleton.keypoints.size();
        *decoder = make_decoder(keypoints, std::move(skeleton.limbs), std::move(skeleton.keypoints),
                                settings);
    });
}

void bpnet_pose_destroy(bpnet_pose_decoder *decoder) {
    delete decoder;
}

size_t bpnet_pose_keypoints(const bpnet_pose_decoder *decoder) {
    return decoder->decoder.decoder().keypoints();
}

size_t bpnet_pose_limbs(const bpnet_pose_decoder *decoder) {
    return decoder->limbs.size();
}

bpnet_pose_limb bpnet_pose_limb_at(const bpnet_pose_decoder *decoder, size_t limb) {
    if (limb >= decoder->limbs.size()) return {0, 0};
    return {decoder->limbs[limb].start, decoder->limbs[limb].end};
}

const char *bpnet_pose_keypoint_name(const bpnet_pose_decoder *decoder, size_t keypoint) {
    return keypoint < decoder->names.size() ? decoder->names[keypoint].c_str() : nullptr;
}

bpnet_pose_status bpnet_pose_decode(bpnet_pose_decoder *decoder, const bpnet_pose_maps *maps,
                                    bpnet_pose_people *people, char *error, size_t error_size) {
    if (people != nullptr) people->count = 0;
    return guarded(error, error_size, [&] {
        require(decoder != nullptr, "decoder must not be NULL");
        require(maps != nullptr, "maps must not be NULL");
        require(people != nullptr, "people must not be NULL");
        decode(*decoder, *maps, *people);
    });
}

void bpnet_pose_people_free(bpnet_pose_people *people) {
    if (people == nullptr) return;
    delete static_cast<bpnet::Persons *>(people->memory);
    *people = {};
}
