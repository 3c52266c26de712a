#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

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
                          to_numpy(std::move(persons.person_score), count), persons.dropped_peaks);
}

// What Python holds.
class NativeDecoder {
  public:
    NativeDecoder(std::size_t keypoints,
                  const std::vector<std::pair<std::size_t, std::size_t>> &limbs,
                  const bpnet::Settings &settings)
        : decoder_(bpnet::Decoder(keypoints, to_limbs(limbs), settings)) {}

    nb::list decode(const std::vector<MapsTuple> &batch, std::size_t threads) {
        std::vector<bpnet::Maps> maps;
        for (const auto &[heatmaps, pafs, heatmap_stride, paf_stride] : batch) {
            maps.push_back({view(heatmaps), view(pafs), heatmap_stride, paf_stride});
            // The Python face says it better; this only keeps the core within its arrays.
            const char *fault = decoder_.decoder().fault(maps.back());
            if (fault != nullptr) throw std::invalid_argument(fault);
        }
        std::vector<bpnet::Persons> persons;
        {
            nb::gil_scoped_release unlocked;
            decoder_.decode(maps, threads, persons);
        }
        nb::list result;
        for (bpnet::Persons &image : persons) {
            result.append(to_tuple(std::move(image), decoder_.decoder().keypoints()));
        }
        return result;
    }

  private:
    static std::vector<bpnet::Limb> to_limbs(
        const std::vector<std::pair<std::size_t, std::size_t>> &pairs) {
        std::vector<bpnet::Limb> limbs;
        for (const auto &[start, end] : pairs) limbs.push_back({start, end});
        return limbs;
    }

    bpnet::BatchDecoder decoder_;
};

}  // namespace

NB_MODULE(_native, module) {
    // Python keeps what a traceback or a global holds to its end: no fault of a user's program.
    nb::set_leak_warnings(false);
    nb::class_<bpnet::Settings>(module, "Settings")
        .def(nb::init<>())
        .def("fault", &bpnet::Settings::fault)
        .def_rw("heatmap_threshold", &bpnet::Settings::heatmap_threshold)
        .def_rw("cell_share", &bpnet::Settings::cell_share)
        .def_rw("max_peaks", &bpnet::Settings::max_peaks)
        .def_rw("refine", &bpnet::Settings::refine)
        .def_rw("paf_threshold", &bpnet::Settings::paf_threshold)
        .def_rw("min_sample_share", &bpnet::Settings::min_sample_share)
        .def_rw("samples_per_cell", &bpnet::Settings::samples_per_cell)
        .def_rw("min_samples", &bpnet::Settings::min_samples)
        .def_rw("max_samples", &bpnet::Settings::max_samples)
        .def_rw("short_limb", &bpnet::Settings::short_limb)
        .def_rw("short_limb_score", &bpnet::Settings::short_limb_score)
        .def_rw("length_limit", &bpnet::Settings::length_limit)
        .def_rw("paf_cell_corners", &bpnet::Settings::paf_cell_corners)
        .def_rw("min_keypoints", &bpnet::Settings::min_keypoints)
        .def_rw("min_mean_score", &bpnet::Settings::min_mean_score)
        .def_rw("small_person", &bpnet::Settings::small_person);
    nb::class_<NativeDecoder>(module, "Decoder")
        .def(nb::init<std::size_t, const std::vector<std::pair<std::size_t, std::size_t>> &,
                      const bpnet::Settings &>(),
             nb::arg("keypoints"), nb::arg("limbs"), nb::arg("settings"))
        .def("decode", &NativeDecoder::decode, nb::arg("batch"), nb::arg("threads"));
}
