// The decoder under bytes that mean a skeleton, settings and maps. Besides what sanitizers see, the
// results must keep the decoder's promises, and be the same for any layout and any threads.

#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "batch.h"
#include "c_check.h"
#include "driver.h"
#include "fuzz_case.h"
#include "people_check.h"

namespace {

// Kept between cases, as an application does: what one left behind must not change the next.
bpnet::Workspace reused_workspace;
bpnet::Persons reused_persons;

struct StoredImage {
    fuzz::Stored heatmaps;
    fuzz::Stored pafs;
    float heatmap_stride;
    float paf_stride;

    bpnet::Maps maps() const { return {heatmaps.view, pafs.view, heatmap_stride, paf_stride}; }
};

StoredImage store_image(const fuzz::Image &image, const fuzz::Layout &heatmap_layout,
                        const fuzz::Layout &paf_layout) {
    return {fuzz::store(image.heatmaps, heatmap_layout), fuzz::store(image.pafs, paf_layout),
            image.heatmap_stride, image.paf_stride};
}

// Each image by itself, in plain layout, with a workspace of its own.
std::vector<bpnet::Persons> decode_alone(const bpnet::Decoder &decoder,
                                         const fuzz::Case &fuzz_case) {
    std::vector<bpnet::Persons> results;
    for (const fuzz::Image &image : fuzz_case.images) {
        const StoredImage stored = store_image(image, fuzz::PLAIN, fuzz::PLAIN);
        bpnet::Workspace workspace;
        bpnet::Persons persons;
        decoder.decode(stored.maps(), workspace, persons);
        fuzz::check_people(fuzz_case, image, persons);
        fuzz::check_bounds(fuzz_case, workspace);
        results.push_back(persons);
    }
    return results;
}

// Two callers at once share a decoder and its threads, twice.
void check_batches(bpnet::BatchDecoder &decoder, std::size_t threads,
                   const std::vector<bpnet::Maps> &batch,
                   const std::vector<bpnet::Persons> &expected) {
    auto decode = [&] {
        std::vector<bpnet::Persons> persons;
        for (int round = 0; round < 2; ++round) {
            decoder.decode(batch, threads, persons);
            for (std::size_t i = 0; i < expected.size(); ++i) {
                fuzz::check_same(expected[i], persons[i], "threads change a result");
            }
        }
        decoder.decode(batch[0], persons[0]);
        fuzz::check_same(expected[0], persons[0], "a batch of one changes a result");
    };
    std::thread other(decode);
    decode();
    other.join();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const fuzz::Case fuzz_case = fuzz::read_case(fuzz::Bytes(data, size));
    ++fuzz::counts.cases;
    std::optional<bpnet::Decoder> decoder;
    try {
        decoder.emplace(fuzz_case.keypoints, fuzz_case.limbs, fuzz_case.settings);
    } catch (const std::invalid_argument &) {
        if (fuzz_case.is_ordinary) throw;
        fuzz::check_c_refusal(fuzz_case);
        ++fuzz::counts.refused;
        return 0;
    }
    std::vector<StoredImage> stored;
    std::vector<bpnet::Maps> batch;
    for (const fuzz::Image &image : fuzz_case.images) {
        stored.push_back(store_image(image, image.heatmap_layout, image.paf_layout));
        batch.push_back(stored.back().maps());
        if (decoder->fault(batch.back()) == nullptr) continue;
        if (fuzz_case.is_ordinary) throw std::logic_error("usual maps are refused");
        fuzz::check_c_refusal(fuzz_case, batch.back());
        ++fuzz::counts.refused;
        return 0;
    }
    const std::vector<bpnet::Persons> expected = decode_alone(*decoder, fuzz_case);
    for (std::size_t i = 0; i < batch.size(); ++i) {
        decoder->decode(batch[i], reused_workspace, reused_persons);
        fuzz::check_same(expected[i], reused_persons, "layout or an earlier case changes a result");
        fuzz::counts.people += reused_persons.person_score.size();
        fuzz::counts.dropped += reused_persons.dropped_peaks;
    }
    bpnet::BatchDecoder batch_decoder(*decoder);
    check_batches(batch_decoder, fuzz_case.threads, batch, expected);
    fuzz::check_c_decode(fuzz_case, batch, expected);
    return 0;
}
