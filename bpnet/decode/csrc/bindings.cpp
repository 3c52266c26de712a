#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "batch.h"

namespace nb = nanobind;

namespace {

using MapArray = nb::ndarray<const float, nb::ndim<3>, nb::device::cpu>;
using MapsTuple = std::tuple<MapArray, MapArray, float, float>;

bpnet::MapView view(const MapArray &array) {
    return {array.data(),    array.shape(0),  array.shape(1), array.shape(2),
            array.stride(0), array.stride(1), array.stride(2)};
}

template <typename... Sizes>
nb::object to_numpy(std::vector<float> &&values, Sizes... sizes) {
    auto owned = std::make_unique<std::vector<float>>(std::move(values));
    float *data = owned->data();
    nb::capsule owner(owned.release(),
                      [](void *p) noexcept { delete static_cast<std::vector<float> *>(p); });
    return nb::cast(nb::ndarray<nb::numpy, float>(data, {sizes...}, owner));
}

nb::tuple to_tuple(bpnet::Persons &&persons, std::size_t keypoints) {
    const std::size_t count = persons.person_score.size();
    return nb::make_tuple(to_numpy(std::move(persons.xy), count, keypoints, std::size_t{2}),
                          to_numpy(std::move(persons.score), count, keypoints),
                          to_numpy(std::move(persons.person_score), count));
}

// What Python holds: the decoder and the workspaces of its calls.
class NativeDecoder {
  public:
    NativeDecoder(std::size_t keypoints,
                  const std::vector<std::pair<std::size_t, std::size_t>> &limbs,
                  const bpnet::Settings &settings)
        : decoder_(keypoints, to_limbs(keypoints, limbs), settings) {}

    nb::list decode(const std::vector<MapsTuple> &batch, std::size_t threads) {
        std::vector<bpnet::Maps> maps;
        for (const auto &[heatmaps, pafs, heatmap_stride, paf_stride] : batch) {
            maps.push_back({view(heatmaps), view(pafs), heatmap_stride, paf_stride});
            check(maps.back());
        }
        std::vector<bpnet::Persons> persons;
        {
            nb::gil_scoped_release unlocked;
            bpnet::decode_batch(decoder_, maps, threads, pool_, persons);
        }
        nb::list result;
        for (bpnet::Persons &image : persons) {
            result.append(to_tuple(std::move(image), decoder_.keypoints()));
        }
        return result;
    }

  private:
    static std::vector<bpnet::Limb> to_limbs(
        std::size_t keypoints, const std::vector<std::pair<std::size_t, std::size_t>> &pairs) {
        std::vector<bpnet::Limb> limbs;
        for (const auto &[start, end] : pairs) {
            if (start >= keypoints || end >= keypoints || start == end) {
                throw std::invalid_argument("a limb must join two different keypoints");
            }
            limbs.push_back({start, end});
        }
        return limbs;
    }

    // The Python face says it better; this only keeps the core within its arrays.
    void check(const bpnet::Maps &maps) const {
        const bpnet::MapView &heatmaps = maps.heatmaps;
        const bpnet::MapView &pafs = maps.pafs;
        if (heatmaps.height * heatmaps.width == 0 || heatmaps.channels < decoder_.keypoints() ||
            (decoder_.limbs() > 0 &&
             (pafs.height * pafs.width == 0 || pafs.channels < 2 * decoder_.limbs()))) {
            throw std::invalid_argument("maps do not fit the skeleton");
        }
        for (const float stride : {maps.heatmap_stride, maps.paf_stride}) {
            if (!(stride > 0 && std::isfinite(stride))) {
                throw std::invalid_argument("strides must be finite and above 0");
            }
        }
    }

    bpnet::Decoder decoder_;
    bpnet::WorkspacePool pool_;
};

}  // namespace

NB_MODULE(_native, module) {
    nb::class_<bpnet::Settings>(module, "Settings")
        .def(
            "__init__",
            [](bpnet::Settings *self, float heatmap_threshold, float cell_share,
               std::size_t max_peaks, bool refine, float paf_threshold, float min_sample_share,
               float samples_per_cell, int min_samples, int max_samples, float short_limb,
               float short_limb_score, float length_limit, bool paf_cell_corners,
               std::size_t min_keypoints, float min_mean_score) {
                new (self) bpnet::Settings{
                    heatmap_threshold, cell_share,       max_peaks,        refine,
                    paf_threshold,     min_sample_share, samples_per_cell, min_samples,
                    max_samples,       short_limb,       short_limb_score, length_limit,
                    paf_cell_corners,  min_keypoints,    min_mean_score};
            },
            nb::kw_only(), nb::arg("heatmap_threshold"), nb::arg("cell_share"),
            nb::arg("max_peaks"), nb::arg("refine"), nb::arg("paf_threshold"),
            nb::arg("min_sample_share"), nb::arg("samples_per_cell"), nb::arg("min_samples"),
            nb::arg("max_samples"), nb::arg("short_limb"), nb::arg("short_limb_score"),
            nb::arg("length_limit"), nb::arg("paf_cell_corners"), nb::arg("min_keypoints"),
            nb::arg("min_mean_score"));
    nb::class_<NativeDecoder>(module, "Decoder")
        .def(nb::init<std::size_t, const std::vector<std::pair<std::size_t, std::size_t>> &,
                      const bpnet::Settings &>(),
             nb::arg("keypoints"), nb::arg("limbs"), nb::arg("settings"))
        .def("decode", &NativeDecoder::decode, nb::arg("batch"), nb::arg("threads"));
}
