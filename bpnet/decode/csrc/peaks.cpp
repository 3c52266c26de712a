#include "peaks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "upsample.h"

namespace bpnet {
namespace {

// Marks the plateau that `cell` is on; true if it was not marked before and nothing beside it is
// higher.
bool is_new_summit(const MapView &map, const PeakCell &cell, PeakWorkspace &workspace) {
    auto mark = [&](std::size_t y, std::size_t x) {
        const std::size_t index = y * map.width + x;
        if (workspace.seen[index] != 0) return;
        workspace.seen[index] = 1;
        workspace.marked.push_back(index);
        workspace.frontier.push_back(index);
    };
    if (workspace.seen[cell.y * map.width + cell.x] != 0) return false;
    bool summit = true;
    mark(cell.y, cell.x);
    while (!workspace.frontier.empty()) {
        const std::size_t index = workspace.frontier.back();
        workspace.frontier.pop_back();
        visit_around(map, index / map.width, index % map.width, [&](std::size_t y, std::size_t x) {
            const float neighbour = value_at(map, y, x, cell.keypoint);
            if (neighbour > cell.value) summit = false;
            if (neighbour == cell.value) mark(y, x);
        });
    }
    return summit;
}

Peak refine_peak(const MapView &map, const PeakCell &cell) {
    Peak peak{static_cast<float>(cell.x), static_cast<float>(cell.y), cell.value};
    if (cell.x > 0 && cell.x + 1 < map.width) {
        const Top top = find_top(value_at(map, cell.y, cell.x - 1, cell.keypoint), cell.value,
                                 value_at(map, cell.y, cell.x + 1, cell.keypoint));
        peak.x += top.offset;
        peak.score *= top.gain;
    }
    if (cell.y > 0 && cell.y + 1 < map.height) {
        const Top top = find_top(value_at(map, cell.y - 1, cell.x, cell.keypoint), cell.value,
                                 value_at(map, cell.y + 1, cell.x, cell.keypoint));
        peak.y += top.offset;
        peak.score *= top.gain;
    }
    return peak;
}

bool stronger(const PeakCell &a, const PeakCell &b) {
    if (a.keypoint != b.keypoint) return a.keypoint < b.keypoint;
    if (a.value != b.value) return a.value > b.value;
    return a.y != b.y ? a.y < b.y : a.x < b.x;
}

// Appends the peaks among workspace.cells[begin, end), all of one keypoint.
void keep_peaks(const MapView &map, std::size_t begin, std::size_t end, const Settings &settings,
                PeakWorkspace &workspace, PeakList &found) {
    const std::size_t most = found.peaks.size() + static_cast<std::size_t>(settings.max_peaks);
    for (std::size_t i = begin; i < end; ++i) {
        const PeakCell &cell = workspace.cells[i];
        if (cell.flat && !is_new_summit(map, cell, workspace)) continue;
        const Peak peak = refine_peak(map, cell);
        if (peak.score < settings.heatmap_threshold) continue;
        if (found.peaks.size() < most) {
            found.peaks.push_back(peak);
        } else {
            ++found.dropped;
        }
    }
    for (const std::size_t index : workspace.marked) workspace.seen[index] = 0;
    workspace.marked.clear();
}

// Appends the peaks of the first `channels` channels of `map`, in its cells.
void append_peaks(const MapView &map, std::size_t channels, const Settings &settings,
                  PeakWorkspace &workspace, PeakList &found) {
    workspace.cells.clear();
    workspace.seen.resize(std::max(workspace.seen.size(), map.height * map.width));
    // A top between cells is higher than its cells.
    const float least = std::max(settings.heatmap_threshold * settings.cell_share,
                                 std::numeric_limits<float>::min());
    find_cells(map, channels, least, workspace.cells);
    std::sort(workspace.cells.begin(), workspace.cells.end(), stronger);
    std::size_t begin = 0;
    for (std::size_t channel = 0; channel < channels; ++channel) {
        std::size_t end = begin;
        while (end < workspace.cells.size() && workspace.cells[end].keypoint == channel) ++end;
        keep_peaks(map, begin, end, settings, workspace, found);
        found.first.push_back(found.peaks.size());
        begin = end;
    }
}

}  // namespace

void find_peaks(const MapView &heatmaps, std::size_t keypoints, const Settings &settings,
                PeakWorkspace &workspace, PeakList &found) {
    found.peaks.clear();
    found.first.assign(1, 0);
    found.dropped = 0;
    if (settings.refine == 1) {
        append_peaks(heatmaps, keypoints, settings, workspace, found);
        return;
    }
    for (std::size_t keypoint = 0; keypoint < keypoints; ++keypoint) {
        const MapView doubled = double_channel(heatmaps, keypoint, workspace.rows, workspace.plane);
        append_peaks(doubled, 1, settings, workspace, found);
        for (std::size_t i = found.first[keypoint]; i < found.peaks.size(); ++i) {
            found.peaks[i].x = found.peaks[i].x / 2 - 0.25F;
            found.peaks[i].y = found.peaks[i].y / 2 - 0.25F;
        }
    }
}

Top find_top(float before, float middle, float after) {
    // Below a hundredth is noise, whose logarithm would outweigh the other neighbour.
    const float least = middle / 100;
    const float fall_before = std::log(std::max(before, least) / middle);
    const float fall_after = std::log(std::max(after, least) / middle);
    const float curvature = fall_before + fall_after;
    if (!(curvature < 0)) return {0, 1};
    const float slope = (fall_after - fall_before) / 2;
    const float offset = std::clamp(-slope / curvature, -0.5F, 0.5F);
    return {offset, std::exp(slope * offset / 2)};
}

}  // namespace bpnet
