#include "c_check.h"

#include <memory>

#include "bpnet_pose.h"
#include "people_check.h"

namespace fuzz {
namespace {

struct Destroy {
    void operator()(bpnet_pose_decoder *decoder) const { bpnet_pose_destroy(decoder); }
};
using CDecoder = std::unique_ptr<bpnet_pose_decoder, Destroy>;

struct People {
    ~People() { bpnet_pose_people_free(&people); }

    bpnet_pose_people people{};
};

bpnet_pose_status create(const Case &fuzz_case, CDecoder &decoder) {
    const bpnet::Settings &given = fuzz_case.settings;
    bpnet_pose_settings settings;
    bpnet_pose_default_settings(&settings);
    settings.heatmap_threshold = given.heatmap_threshold;
    settings.cell_share = given.cell_share;
    settings.max_peaks = given.max_peaks;
    settings.refine = given.refine;
    settings.paf_threshold = given.paf_threshold;
    settings.min_sample_share = given.min_sample_share;
    settings.samples_per_cell = given.samples_per_cell;
    settings.min_samples = given.min_samples;
    settings.max_samples = given.max_samples;
    settings.short_limb = given.short_limb;
    settings.short_limb_score = given.short_limb_score;
    settings.length_limit = given.length_limit;
    settings.paf_cell_corners = given.paf_cell_corners ? 1 : 0;
    settings.min_keypoints = given.min_keypoints;
    settings.min_mean_score = given.min_mean_score;
    settings.small_person = given.small_person;
    std::vector<bpnet_pose_limb> limbs;
    for (const bpnet::Limb &limb : fuzz_case.limbs) limbs.push_back({limb.start, limb.end});
    bpnet_pose_decoder *made = nullptr;
    char error[12];  // shorter than most messages
    const bpnet_pose_status status = bpnet_pose_create(
        fuzz_case.keypoints, limbs.data(), limbs.size(), &settings, &made, error, sizeof error);
    require((status == BPNET_POSE_OK) == (error[0] == '\0'), "C: a status without its message");
    require((status == BPNET_POSE_OK) == (made != nullptr), "C: a status without its decoder");
    decoder.reset(made);
    return status;
}

bpnet_pose_map to_map(const bpnet::MapView &view) {
    return {view.data,       view.height,        view.width,         view.channels,
            view.row_stride, view.column_stride, view.channel_stride};
}

bpnet_pose_status decode(const CDecoder &decoder, const bpnet::Maps &maps,
                         bpnet_pose_people &people) {
    const bpnet_pose_maps given{to_map(maps.heatmaps), to_map(maps.pafs), maps.heatmap_stride,
                                maps.paf_stride};
    return bpnet_pose_decode(decoder.get(), &given, &people, nullptr, 0);
}

bpnet::Persons to_persons(const bpnet_pose_people &people) {
    const std::size_t count = people.count * people.keypoints;
    return {{people.xy, people.xy + 2 * count},
            {people.score, people.score + count},
            {people.person_score, people.person_score + people.count},
            people.dropped_peaks};
}

}  // namespace

void check_c_refusal(const Case &fuzz_case) {
    CDecoder decoder;
    require(create(fuzz_case, decoder) == BPNET_POSE_INVALID, "C: a skeleton is not refused");
}

void check_c_refusal(const Case &fuzz_case, const bpnet::Maps &maps) {
    CDecoder decoder;
    People found;
    require(create(fuzz_case, decoder) == BPNET_POSE_OK, "C: a skeleton is refused");
    require(decode(decoder, maps, found.people) == BPNET_POSE_INVALID, "C: maps are not refused");
    require(found.people.count == 0, "C: people of maps that are refused");
}

void check_c_decode(const Case &fuzz_case, const std::vector<bpnet::Maps> &batch,
                    const std::vector<bpnet::Persons> &expected) {
    CDecoder decoder;
    People found;
    require(create(fuzz_case, decoder) == BPNET_POSE_OK, "C: a skeleton is refused");
    for (std::size_t i = 0; i < batch.size(); ++i) {
        require(decode(decoder, batch[i], found.people) == BPNET_POSE_OK, "C: maps are refused");
        check_same(expected[i], to_persons(found.people), "C: another result");
    }
}

}  // namespace fuzz
