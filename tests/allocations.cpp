// Counts what decoding allocates once its memory has grown: prints the number, which must be 0.
#include <bpnet_pose.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

static std::atomic<long> allocations{0};

void *operator new(std::size_t size) {
    ++allocations;
    if (void *memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void *memory) noexcept {
    std::free(memory);
}
void operator delete(void *memory, std::size_t) noexcept {
    std::free(memory);
}

constexpr std::size_t HEIGHT = 30, WIDTH = 40, KEYPOINTS = 3, LIMBS = 2;

static bpnet_pose_map view(const std::vector<float> &values, std::size_t channels) {
    return {values.data(),
            HEIGHT,
            WIDTH,
            channels,
            static_cast<std::ptrdiff_t>(WIDTH * channels),
            static_cast<std::ptrdiff_t>(channels),
            1};
}

int main() {
    const bpnet_pose_limb limbs[LIMBS] = {{0, 1}, {1, 2}};
    bpnet_pose_people people = {};
    long after_growth = 0;
    std::size_t found = 0;
    for (int refine = 1; refine <= 2; ++refine) {
        bpnet_pose_settings settings;
        bpnet_pose_default_settings(&settings);
        settings.refine = refine;
        bpnet_pose_decoder *decoder = nullptr;
        if (bpnet_pose_create(KEYPOINTS, limbs, LIMBS, &settings, &decoder, nullptr, 0)) return 1;
        for (int turn = 0; turn < 12; ++turn) {
            std::vector<float> heatmaps(HEIGHT * WIDTH * KEYPOINTS), pafs(HEIGHT * WIDTH * 4, 0.7F);
            for (std::size_t i = 0; i < heatmaps.size(); ++i) {  // other peaks, and plateaus
                heatmaps[i] = std::floor(6 * std::fabs(std::sin(i * (3.7F + turn % 4)))) / 6;
            }
            const bpnet_pose_maps maps = {view(heatmaps, KEYPOINTS), view(pafs, 4), 8, 8};
            const long before = allocations;
            if (bpnet_pose_decode(decoder, &maps, &people, nullptr, 0)) return 1;
            if (turn >= 4) after_growth += allocations - before;
            found += people.count;
        }
        bpnet_pose_destroy(decoder);
    }
    bpnet_pose_people_free(&people);
    std::printf("%ld\n", after_growth);
    return found > 100 ? 0 : 1;
}
