#include "cells.h"

#include <algorithm>

namespace bpnet {
namespace {

constexpr std::size_t BLOCK = 32;
constexpr float NOTHING[BLOCK] = {};  // the neighbours beyond the map

// Where the values of a block begin, and those of its neighbours.
struct Around {
    const float *middle;
    const float *before[4];  // in reading order
    const float *after[4];
};

bool any_reaches(const float *values, std::size_t count, float threshold) {
    int any = 0;
    for (std::size_t i = 0; i < count; ++i) any |= values[i] >= threshold ? 1 : 0;
    return any != 0;
}

// 1 where no neighbour is higher and none before as high. Written for the compiler to make vector
// instructions of; a value that means nothing fails every comparison or is above the limit.
void mark_peaks(const Around &around, std::size_t count, float threshold, std::int32_t *peaks) {
    const float *middle = around.middle;
    for (std::size_t i = 0; i < count; ++i) {
        peaks[i] = static_cast<std::int32_t>(middle[i] >= threshold) &
                   static_cast<std::int32_t>(middle[i] < SANE_LIMIT);
    }
    for (const float *before : around.before) {
        for (std::size_t i = 0; i < count; ++i) {
            peaks[i] &= static_cast<std::int32_t>(!(before[i] >= middle[i])) |
                        static_cast<std::int32_t>(before[i] >= SANE_LIMIT);
        }
    }
    for (const float *after : around.after) {
        for (std::size_t i = 0; i < count; ++i) {
            peaks[i] &= static_cast<std::int32_t>(!(after[i] > middle[i])) |
                        static_cast<std::int32_t>(after[i] >= SANE_LIMIT);
        }
    }
}

void keep(const MapView &map, std::size_t y, std::size_t x, std::size_t channel,
          std::vector<PeakCell> &cells) {
    const float value = *map.at(y, x, channel);
    int equals = 0;  // itself is one
    visit_around(map, y, x, [&](std::size_t ny, std::size_t nx) {
        equals += *map.at(ny, nx, channel) == value ? 1 : 0;
    });
    cells.push_back({value, static_cast<std::uint32_t>(channel), static_cast<std::uint32_t>(y),
                     static_cast<std::uint32_t>(x), equals > 1});
}

// The neighbours of the block at (y, x, channel), whose values lie beside each other in memory.
Around around_of(const MapView &map, std::size_t y, std::size_t x, std::size_t channel,
                 bool first_column, bool last_column) {
    const float *middle = map.at(y, x, channel);
    auto neighbour = [&](int rows, int columns) {
        const bool outside = (rows < 0 && y == 0) || (rows > 0 && y + 1 == map.height) ||
                             (columns < 0 && first_column) || (columns > 0 && last_column);
        return outside ? NOTHING : middle + rows * map.row_stride + columns * map.column_stride;
    };
    return {middle,
            {neighbour(-1, -1), neighbour(-1, 0), neighbour(-1, 1), neighbour(0, -1)},
            {neighbour(0, 1), neighbour(1, -1), neighbour(1, 0), neighbour(1, 1)}};
}

// Channels lie beside each other: all of a cell at once.
void find_in_cell(const MapView &map, std::size_t y, std::size_t x, std::size_t keypoints,
                  float threshold, std::vector<PeakCell> &cells) {
    std::int32_t peaks[BLOCK];
    for (std::size_t begin = 0; begin < keypoints; begin += BLOCK) {
        const std::size_t count = std::min(BLOCK, keypoints - begin);
        if (!any_reaches(map.at(y, x, begin), count, threshold)) continue;
        mark_peaks(around_of(map, y, x, begin, x == 0, x + 1 == map.width), count, threshold,
                   peaks);
        for (std::size_t i = 0; i < count; ++i) {
            if (peaks[i] != 0) keep(map, y, x, begin + i, cells);
        }
    }
}

// Columns lie beside each other: a stretch of a row at once, the cells at its ends alone.
void find_in_row(const MapView &map, std::size_t y, std::size_t channel, float threshold,
                 std::vector<PeakCell> &cells) {
    std::int32_t peaks[BLOCK];
    const std::size_t last = map.width - 1;
    for (std::size_t begin = 0; begin <= last;) {
        const bool alone = begin == 0 || begin == last;
        const std::size_t count = alone ? 1 : std::min(BLOCK, last - begin);
        if (any_reaches(map.at(y, begin, channel), count, threshold)) {
            mark_peaks(around_of(map, y, begin, channel, begin == 0, begin == last), count,
                       threshold, peaks);
            for (std::size_t i = 0; i < count; ++i) {
                if (peaks[i] != 0) keep(map, y, begin + i, channel, cells);
            }
        }
        begin += count;
    }
}

}  // namespace

void find_cells(const MapView &map, std::size_t keypoints, float threshold,
                std::vector<PeakCell> &cells) {
    if (map.channel_stride == 1 && keypoints > 1) {
        for (std::size_t y = 0; y < map.height; ++y) {
            for (std::size_t x = 0; x < map.width; ++x) {
                find_in_cell(map, y, x, keypoints, threshold, cells);
            }
        }
        return;
    }
    for (std::size_t channel = 0; channel < keypoints; ++channel) {
        for (std::size_t y = 0; y < map.height; ++y) {
            if (map.column_stride == 1) {
                find_in_row(map, y, channel, threshold, cells);
                continue;
            }
            MapView lone = map;  // of one channel: each cell for itself
            lone.data = map.at(0, 0, channel);
            const std::size_t before = cells.size();
            for (std::size_t x = 0; x < map.width; ++x) {
                find_in_cell(lone, y, x, 1, threshold, cells);
            }
            for (std::size_t i = before; i < cells.size(); ++i) {
                cells[i].keypoint = static_cast<std::uint32_t>(channel);
            }
        }
    }
}

}  // namespace bpnet
