#include "limbs.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace bpnet {
namespace {

constexpr std::size_t BLOCK = 256;  // pairs looked at together
constexpr std::size_t WIDTH = 8;    // pairs that a vector instruction may take at once
constexpr std::int32_t TURNS = 3;   // samples between two looks at who is left

// Pairs of peaks that a limb may join, one a lane. Plain loops over lanes of 32 bits each, which
// the compiler makes vector instructions of.
struct Lanes {
    std::size_t count = 0;
    float x[BLOCK], y[BLOCK];  // where the line starts
    float step_x[BLOCK], step_y[BLOCK];
    float direction_x[BLOCK], direction_y[BLOCK];
    float length[BLOCK];   // PAF cells
    float allowed[BLOCK];  // samples that may still disagree
    float sum[BLOCK];      // of the samples
    std::int32_t samples[BLOCK];
    std::int32_t is_short[BLOCK];
    std::uint32_t start[BLOCK], end[BLOCK];  // the peaks

    // Lanes up to a whole number of vectors are computed; those past the last repeat the first.
    std::size_t padded() const { return (count + WIDTH - 1) / WIDTH * WIDTH; }
};

void pad(Lanes &lanes) {
    for (std::size_t i = lanes.count; i < lanes.padded(); ++i) {
        lanes.start[i] = lanes.start[0];
        lanes.end[i] = lanes.end[0];
    }
}

void draw_lines(const Field &field, const PafGrid &grid, const PafPoints &points,
                const Settings &settings, Lanes &lanes) {
    pad(lanes);
    const std::size_t count = lanes.padded();
    float end_x[BLOCK], end_y[BLOCK];
    for (std::size_t i = 0; i < count; ++i) {
        lanes.x[i] = points.x[lanes.start[i]];
        lanes.y[i] = points.y[lanes.start[i]];
        end_x[i] = points.x[lanes.end[i]];
        end_y[i] = points.y[lanes.end[i]];
    }
    const float share = 1 - settings.min_sample_share;
    for (std::size_t i = 0; i < count; ++i) {
        const Line line =
            line_between(field, grid, settings, {lanes.x[i], lanes.y[i]}, {end_x[i], end_y[i]});
        lanes.x[i] = line.start.x;
        lanes.y[i] = line.start.y;
        lanes.step_x[i] = line.step.x;
        lanes.step_y[i] = line.step.y;
        lanes.direction_x[i] = line.direction.x;
        lanes.direction_y[i] = line.direction.y;
        lanes.length[i] = line.length;
        lanes.samples[i] = line.samples;
        lanes.is_short[i] = line.cells < settings.short_limb ? 1 : 0;
        lanes.allowed[i] = share * static_cast<float>(line.samples) + 1e-4F;
        lanes.sum[i] = 0;
    }
}

// From the middle outwards: a wrong limb has right ones at its ends, its middle tells first.
std::int32_t from_middle(std::int32_t turn) {
    return turn % 2 == 0 ? turn / 2 : -(turn + 1) / 2;
}

template <typename Offset>
void take_samples(const Field &field, float threshold, std::int32_t turn, Lanes &lanes) {
    const std::size_t count = lanes.padded();
    const std::int32_t offset = from_middle(turn);
    float dots[BLOCK];
    for (std::size_t i = 0; i < count; ++i) {
        const std::int32_t place = turn < lanes.samples[i] ? lanes.samples[i] / 2 + offset : 0;
        const auto steps = static_cast<float>(place);
        dots[i] = sample<Offset>(
            field, {lanes.x[i] + steps * lanes.step_x[i], lanes.y[i] + steps * lanes.step_y[i]},
            {lanes.direction_x[i], lanes.direction_y[i]});
    }
    for (std::size_t i = 0; i < count; ++i) {
        const bool counts = turn < lanes.samples[i];
        const bool fails = dots[i] < threshold;
        const float allowed = lanes.allowed[i];
        const float fewer = allowed - 1;
        const float dot = counts ? dots[i] : 0.0F;
        lanes.allowed[i] = (counts & fails) ? fewer : allowed;
        lanes.sum[i] += dot;
    }
}

// Drops the lanes that too few samples agree with, and keeps the others in order.
void drop_failed(Lanes &lanes) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < lanes.padded(); ++i) {
        lanes.x[kept] = lanes.x[i];
        lanes.y[kept] = lanes.y[i];
        lanes.step_x[kept] = lanes.step_x[i];
        lanes.step_y[kept] = lanes.step_y[i];
        lanes.direction_x[kept] = lanes.direction_x[i];
        lanes.direction_y[kept] = lanes.direction_y[i];
        lanes.length[kept] = lanes.length[i];
        lanes.allowed[kept] = lanes.allowed[i];
        lanes.sum[kept] = lanes.sum[i];
        lanes.samples[kept] = lanes.samples[i];
        lanes.is_short[kept] = lanes.is_short[i];
        lanes.start[kept] = lanes.start[i];
        lanes.end[kept] = lanes.end[i];
        const bool alive = (lanes.allowed[i] >= 0) | (lanes.is_short[i] != 0);
        kept += (alive & (i < lanes.count)) ? 1 : 0;
    }
    lanes.count = kept;
}

class LimbSearch {
  public:
    LimbSearch(const MapView &pafs, const PafGrid &grid, const PafPoints &points, std::size_t index,
               const Settings &settings, std::vector<Connection> &connections)
        : field_(pafs, index),
          grid_(grid),
          points_(points),
          index_(static_cast<std::uint32_t>(index)),
          settings_(settings),
          connections_(connections),
          compact_(is_compact(pafs)) {}

    void add(std::size_t start, std::size_t end) {
        lanes_.start[lanes_.count] = static_cast<std::uint32_t>(start);
        lanes_.end[lanes_.count] = static_cast<std::uint32_t>(end);
        if (++lanes_.count == BLOCK) finish();
    }

    // Scores the pairs that were added.
    void finish() {
        if (lanes_.count == 0) return;
        draw_lines(field_, grid_, points_, settings_, lanes_);
        const std::int32_t most = std::max(settings_.min_samples, settings_.max_samples);
        for (std::int32_t turn = 0; turn < most && lanes_.count > 0; ++turn) {
            if (compact_) {
                take_samples<std::int32_t>(field_, settings_.paf_threshold, turn, lanes_);
            } else {
                take_samples<std::ptrdiff_t>(field_, settings_.paf_threshold, turn, lanes_);
            }
            if (turn % TURNS == TURNS - 1) drop_failed(lanes_);
        }
        for (std::size_t i = 0; i < lanes_.count; ++i) {
            const float score = score_of(i);
            if (score > 0) {
                connections_.push_back({score, index_, lanes_.start[i], lanes_.end[i]});
            }
        }
        lanes_.count = 0;
    }

  private:
    // Whether 32 bits hold the distance in memory between any two values of a field.
    static bool is_compact(const MapView &pafs) {
        auto reach = [](std::size_t size, std::ptrdiff_t stride) {
            return static_cast<double>(size) * std::abs(static_cast<double>(stride));
        };
        return reach(pafs.height, pafs.row_stride) + reach(pafs.width, pafs.column_stride) <
               std::numeric_limits<std::int32_t>::max();
    }

    float score_of(std::size_t i) const {
        const float mean = lanes_.sum[i] * (1 / static_cast<float>(lanes_.samples[i]));
        const float score = lanes_.allowed[i] < 0 ? -1 : mean;
        // The direction of so short a limb says nothing.
        if (lanes_.is_short[i] != 0) return std::max(score, settings_.short_limb_score);
        return score * std::min(grid_.longest / lanes_.length[i], 1.0F);
    }

    Field field_;
    const PafGrid &grid_;
    const PafPoints &points_;
    std::uint32_t index_;
    const Settings &settings_;
    std::vector<Connection> &connections_;
    bool compact_;
    Lanes lanes_;
};

}  // namespace

void place_on_pafs(const PeakList &peaks, const PafGrid &grid, PafPoints &points) {
    points.x.resize(peaks.peaks.size());
    points.y.resize(peaks.peaks.size());
    for (std::size_t i = 0; i < peaks.peaks.size(); ++i) {
        points.x[i] = peaks.peaks[i].x * grid.scale + grid.shift;
        points.y[i] = peaks.peaks[i].y * grid.scale + grid.shift;
    }
}

void find_connections(const MapView &pafs, const PafGrid &grid, const PeakList &peaks,
                      const PafPoints &points, Limb limb, std::size_t index,
                      const Settings &settings, std::vector<Connection> &connections) {
    LimbSearch search(pafs, grid, points, index, settings, connections);
    for (std::size_t a = peaks.first[limb.start]; a < peaks.first[limb.start + 1]; ++a) {
        for (std::size_t b = peaks.first[limb.end]; b < peaks.first[limb.end + 1]; ++b) {
            search.add(a, b);
        }
    }
    search.finish();
}

}  // namespace bpnet
