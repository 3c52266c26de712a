"""What an export is measured by: people that agree, AP with its interval, limits."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from spots import PAIR, write_dataset, write_model

from bpnet.data.coco import read_subset
from bpnet.diagnosis.bootstrap import ApDifference, compare_ap
from bpnet.diagnosis.precision import Matches, accumulate
from bpnet.errors import DataError
from bpnet.export.agreement import AgreementCount, match_people
from bpnet.export.artefact import best_ranges
from bpnet.export.trial import Candidate, ap_loss, compare_networks, labelled_photos, predictor_at
from bpnet.export.verify import Comparison, DifferenceSum, MapDifference
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.pose.persons import PersonKeypoints
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.reader import read_spec

NOTHING = MapDifference(largest=1.0, maximum=0.0, mean=0.0, cosine=1.0)


def people(*persons) -> PersonKeypoints:
    """Persons of two keypoints (x, y); None: not found."""
    xy = np.zeros((len(persons), 2, 2), np.float32)
    score = np.zeros((len(persons), 2), np.float32)
    for index, person in enumerate(persons):
        for keypoint, place in enumerate(person):
            if place is not None:
                xy[index, keypoint], score[index, keypoint] = place, 1
    return PersonKeypoints(xy, score, np.ones(len(persons), np.float32))


def agreement(trained, exported):
    count = AgreementCount(PAIR)
    count.add(trained, exported)
    return count.result()


def image_with(hits: str, people: int = 1) -> Matches:
    """An image whose detections are right (r) or wrong (w), the most certain first."""
    right = np.tile(np.array([hit == "r" for hit in hits], np.bool_), (10, 1))
    score = np.linspace(0.9, 0.5, len(hits))
    return Matches(score, right, ~right, people)


def test_people_agree_in_any_order():
    first = people([(10, 10), (10, 60)], [(80, 10), (80, 60)])
    second = people([(80, 10), (80, 60)], [(10, 10), (10, 60)])
    found = agreement(first, second)
    assert (found.trained, found.matched, found.share) == (2, 2, 1.0)
    assert found.identical
    assert found.line() == "the same 2 people"
    assert match_people(first, second, np.array([0.1, 0.1])) == [(0, 1), (1, 0)]


def test_a_keypoint_that_moves_or_vanishes_is_counted():
    first = people([(10, 10), (10, 60)], [(80, 10), (80, 60)])
    moved = agreement(first, people([(13, 14), (10, 60)], [(80, 10), None]))
    assert (moved.matched, moved.changed_keypoints) == (2, 1)
    assert moved.largest_shift == pytest.approx(5.0)
    assert moved.mean_shift == pytest.approx(5 / 3)
    assert not moved.identical
    assert agreement(people([(10, 10), (10, 60)]), people([(10, 10), (10, 60.05)])).identical


def test_people_elsewhere_are_others():
    found = agreement(people([(10, 10), (10, 60)]), people([(150, 10), (150, 60)]))
    assert (found.matched, found.share) == (0, 0.0)
    assert "0 of 1 people found again, 1 others" in found.line()
    assert agreement(people(), people()).share == 1.0


def test_agreement_by_score_follows_the_certain_people():
    first = people([(10, 10), (10, 60)], [(80, 10), (80, 60)])
    weights = np.float32([0.9, 0.1])
    found = agreement(
        dataclasses.replace(first, person_score=weights),
        dataclasses.replace(people([(10, 10), (10, 60)]), person_score=weights[:1]),
    )
    assert found.share == 0.5
    assert found.score_share == pytest.approx(1.8 / 1.9)


def test_the_interval_of_equal_networks_is_nothing():
    images = [image_with("rw"), image_with("w"), image_with("r", people=2)]
    found = compare_ap(images, images)
    assert found.before == found.after == accumulate(images).ap
    assert (found.low, found.high, found.drop, found.images) == (0.0, 0.0, 0.0, 3)


def test_the_interval_holds_the_difference_and_pairs_the_images():
    before = [image_with("r")] * 30 + [image_with("w")] * 10
    after = [image_with("r")] * 27 + [image_with("w")] * 13
    found = compare_ap(before, after)
    assert found.drop == pytest.approx(
        100 * (accumulate(before).ap - accumulate(after).ap), abs=1e-9
    )
    assert found.low < found.after - found.before < found.high <= 0
    # Three of forty images differ. Unpaired, the interval would reach far above 0.
    assert compare_ap(before, before[::-1]).high > 0
    assert compare_ap(before, after) == found


def test_nobody_labelled_has_no_ap():
    found = compare_ap([image_with("w", people=0)], [image_with("w", people=0)])
    assert (found.before, found.after, found.low, found.high) == (-1, -1, 0, 0)
    assert compare_ap([], []).images == 0


def compared(value: float, *, peak: float = 1.0, precision: str) -> Comparison:
    """Heatmaps of a peak beside a cell of nothing, off by ``value`` everywhere."""
    trained = np.array([[[0.0], [peak]]], np.float32)
    heatmaps = DifferenceSum()
    heatmaps.add(trained, trained + np.float32(value))
    return Comparison(precision, 1, heatmaps.result(), NOTHING)


def test_maps_alone_are_held_to_limits():
    assert compared(5e-5, precision="fp32").fault() is None
    fault = compared(5e-3, precision="fp32").fault()
    assert fault.startswith("the largest error of its heatmaps is 0.005 of the largest value")
    assert compared(5e-3, precision="fp16").fault() is None
    for precision in ("int8", "int8+fp16"):
        assert compared(5e-2, precision=precision).fault() is not None
        assert compared(np.nan, precision=precision).fault() is not None


def test_noise_on_maps_of_nobody_is_no_fault():
    assert compared(0.005, peak=0.01, precision="fp16").fault() is None
    assert compared(0.02, peak=0.01, precision="fp16").fault() is not None


def test_finer_maps_are_compared_with_the_nearest_cells():
    trained = np.array([[[0.0], [1.0]]], np.float32)
    difference = DifferenceSum()
    difference.add(trained, trained.repeat(4, axis=0).repeat(4, axis=1))
    assert (difference.result().maximum, difference.result().cosine) == (0.0, 1.0)


def test_ap_decides_where_it_was_measured():
    off = MapDifference(largest=1.0, maximum=0.5, mean=0.2, cosine=0.9)
    lost = ApDifference(before=0.400, after=0.392, low=-0.02, high=0.01, images=9)
    int8 = Comparison("int8", 9, off, off, label="int8 tensorrt", ap=lost)
    assert int8.fault() is None
    assert int8.fault(0.5) == "int8 tensorrt loses 0.80 AP points, above the limit of 0.5"
    assert dataclasses.replace(int8, ap=None).fault() is not None
    half = Comparison("fp16", 9, NOTHING, NOTHING, ap=lost)
    assert half.fault() == "fp16 loses 0.80 AP points, above the limit of 0.1"
    exact = Comparison("fp32", 9, off, off, ap=dataclasses.replace(lost, after=0.4))
    assert "largest error of its heatmaps" in exact.fault()
    assert "AP: 39.20, trained 40.00; difference -0.80" in "\n".join(int8.lines())
    assert int8.numbers()["int8_tensorrt_AP"] == 0.392


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """A network that finds spots, its labels, and the folder of their images."""
    folder = tmp_path_factory.mktemp("spots")
    spec = read_spec(write_dataset(folder), DatasetSpec)
    dataset, images = read_subset(spec, spec.test_data)
    return write_model(folder / "spots.onnx"), dataset, images


def predictor(path, **changes):
    backend = OnnxBackend(path)
    backend.contract = dataclasses.replace(backend.contract, **changes)
    return predictor_at(backend, None, height=256, width=256)


def test_networks_see_the_same_pixels_and_lose_what_they_lose(spots):
    path, dataset, folder = spots
    swapped = Candidate("bgr", "fp16", predictor(path, channel_order="bgr"))
    same = Candidate("same", "fp32", predictor(path))
    found, exact = compare_networks(
        predictor(path),
        [swapped, same],
        labelled_photos(dataset.images, folder),
        dataset=dataset,
    )
    assert exact.people.identical
    assert exact.people.trained == 2
    assert exact.ap.before > 0.9
    assert exact.fault() is None
    assert exact.heatmaps.maximum == 0
    # The network of swapped colours finds nobody where top is red.
    assert found.ap.after < 0.1
    assert "AP points, above the limit of 0.1" in found.fault()


def test_ap_loss_measures_a_graph(spots):
    import onnx

    path, dataset, folder = spots
    loss = ap_loss(predictor(path), lambda: labelled_photos(dataset.images, folder), dataset, None)
    graph = onnx.load(path)
    assert loss(graph) == 0
    weights = next(one for one in graph.graph.initializer if one.name == "w")
    weights.CopyFrom(onnx.numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "w"))
    assert loss(graph) > 90


def test_images_that_cannot_be_used_are_named(spots, tmp_path, caplog):
    _, dataset, folder = spots
    missing = dataclasses.replace(dataset.images[0], file_name="gone.png")
    found = list(labelled_photos([missing, dataset.images[1]], folder))
    assert [number for number, _ in found] == [5]
    assert "gone.png" in caplog.text
    with pytest.raises(DataError, match="none of the 1 images could be used"):
        list(labelled_photos([missing], folder))
    with pytest.raises(DataError, match="there are no images"):
        compare_networks(predictor(Path(spots[0])), [], [], dataset=dataset)


def test_the_contract_says_how_maps_are_read(spots):
    assert predictor(spots[0], heatmap_threshold=0.3).decoder.settings.heatmap_threshold == 0.3


def test_the_best_ranges_are_those_of_the_least_error():
    import onnx
    from onnx import helper, numpy_helper

    # One value in forty thousand is all that the output has, and percentiles leave it out.
    weights = np.array([1, -1], np.float32).reshape(2, 1, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c"),
        helper.make_node("Conv", ["c", "v"], ["paf_out"], name="o"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "two",
        [value("x", onnx.TensorProto.FLOAT, ("n", 1, 200, 200))],
        [value("paf_out", onnx.TensorProto.FLOAT, ("n", 1, 200, 200))],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(weights.reshape(1, 2, 1, 1), "v"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    image = np.zeros((1, 200, 200), np.float32)
    image[0, 3, 3] = 100.0
    table, method = best_ranges(model, [image] * 2, total=2)
    assert table["x"] == pytest.approx(100.0, rel=0.01)
    assert method != "percentile"
    with pytest.raises(ValueError, match="form is 'other'"):
        best_ranges(model, [image] * 2, total=2, forms=["onnxruntime", "other"])
