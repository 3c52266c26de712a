#include "assembly.h"

#include <cstring>
#include <utility>

namespace bpnet {
namespace {

// Ranks connections by score, the best first, and equal ones as they stand.
void rank(const std::vector<Connection> &connections, Ranking &ranking) {
    constexpr std::size_t DIGIT_BITS = 8;
    constexpr std::size_t DIGITS = 1U << DIGIT_BITS;
    const std::size_t count = connections.size();
    std::vector<std::uint64_t> &from = ranking.keys;
    std::vector<std::uint64_t> &to = ranking.sorted;
    from.resize(count);
    to.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits = 0;  // of a float above 0: they rise as it does
        std::memcpy(&bits, &connections[i].score, sizeof bits);
        from[i] = std::uint64_t{~bits} << 32U | i;
    }
    for (std::size_t shift = 32; shift < 64; shift += DIGIT_BITS) {
        std::size_t first[DIGITS + 1] = {};
        auto digit = [&](std::uint64_t key) { return (key >> shift) & (DIGITS - 1); };
        for (const std::uint64_t key : from) ++first[digit(key) + 1];
        for (std::size_t i = 0; i < DIGITS; ++i) first[i + 1] += first[i];
        for (const std::uint64_t key : from) to[first[digit(key)]++] = key;
        std::swap(from, to);
    }
}

class Assembly {
  public:
    Assembly(std::size_t keypoints, std::vector<std::int32_t> &person, People &people)
        : keypoints_(keypoints), person_(person), people_(people) {}

    void join(const Connection &connection, Limb limb) {
        const std::int32_t first = person_[connection.start];
        const std::int32_t second = person_[connection.end];
        if (first < 0 && second < 0) {
            const std::int32_t person = start_person();
            add(person, limb.start, connection.start, 0);
            add(person, limb.end, connection.end, connection.score);
        } else if (first < 0) {
            add(second, limb.start, connection.start, connection.score);
        } else if (second < 0) {
            add(first, limb.end, connection.end, connection.score);
        } else if (first != second) {
            merge(static_cast<std::size_t>(first), static_cast<std::size_t>(second),
                  connection.score);
        }
    }

  private:
    std::int32_t start_person() {
        people_.peak.resize(people_.peak.size() + keypoints_, -1);
        people_.size.push_back(0);
        people_.limb_score.push_back(0);
        return static_cast<std::int32_t>(people_.size.size() - 1);
    }

    void add(std::int32_t person, std::size_t keypoint, std::uint32_t peak, float score) {
        const auto p = static_cast<std::size_t>(person);
        std::int32_t &slot = people_.peak[p * keypoints_ + keypoint];
        if (slot >= 0) return;
        slot = static_cast<std::int32_t>(peak);
        person_[peak] = person;
        ++people_.size[p];
        people_.limb_score[p] += score;
    }

    void merge(std::size_t into, std::size_t from, float score) {
        std::int32_t *kept = people_.peak.data() + into * keypoints_;
        std::int32_t *gone = people_.peak.data() + from * keypoints_;
        for (std::size_t k = 0; k < keypoints_; ++k) {
            if (kept[k] >= 0 && gone[k] >= 0) return;
        }
        for (std::size_t k = 0; k < keypoints_; ++k) {
            if (gone[k] < 0) continue;
            kept[k] = gone[k];
            person_[static_cast<std::size_t>(gone[k])] = static_cast<std::int32_t>(into);
            gone[k] = -1;
        }
        people_.size[into] += people_.size[from];
        people_.size[from] = 0;
        people_.limb_score[into] += people_.limb_score[from] + score;
    }

    std::size_t keypoints_;
    std::vector<std::int32_t> &person_;  // of each peak, -1 for none
    People &people_;
};

}  // namespace

void assemble_people(const std::vector<Connection> &connections, const PeakList &peaks,
                     const std::vector<Limb> &limbs, Ranking &ranking,
                     std::vector<std::int32_t> &person, People &people) {
    people.peak.clear();
    people.size.clear();
    people.limb_score.clear();
    person.assign(peaks.peaks.size(), -1);
    rank(connections, ranking);
    Assembly assembly(peaks.first.size() - 1, person, people);
    for (const std::uint64_t key : ranking.keys) {
        const Connection &connection = connections[static_cast<std::uint32_t>(key)];
        assembly.join(connection, limbs[connection.limb]);
    }
}

}  // namespace bpnet
