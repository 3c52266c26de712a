"""Histograms that grow and the ranges read off them, against plain NumPy."""

import cv2
import numpy as np
import onnx
import pytest
from exported_network import CONTRACT
from onnx import TensorProto, helper

from bpnet.errors import DataError, ModelError
from bpnet.export.calibration import (
    BINS,
    METHODS,
    AbsHistogram,
    collect_histograms,
    range_by_entropy,
    range_by_max,
    range_by_mse,
    range_by_percentile,
)
from bpnet.export.images import choose_images, read_fitted
from bpnet.inference.preprocess import InputFit, fit_image, to_tensor
from bpnet.inference.sources import read_image


def histogram_of(*arrays) -> AbsHistogram:
    histogram = AbsHistogram()
    for array in arrays:
        histogram.add(np.asarray(array, np.float32))
    return histogram


def test_a_histogram_that_grew_is_that_of_all_values():
    draw = np.random.default_rng(1)
    parts = [draw.normal(0, sigma, 5000).astype(np.float32) for sigma in (0.1, 1.0, 7.0)]
    grown = histogram_of(*parts)
    values = np.abs(np.concatenate(parts))
    expected, _ = np.histogram(values, bins=BINS, range=(0, grown.limit))
    assert values.max() <= grown.limit <= 2 * values.max()
    assert grown.counts.sum() == values.size
    # A value on an edge may fall to either side in float32.
    assert np.abs(np.cumsum(grown.counts) - np.cumsum(expected)).max() <= 2


def test_the_largest_value_is_exact_and_may_be_negative():
    assert range_by_max(histogram_of([0.5, -3.25], [1.0])) == 3.25


def test_the_percentile_is_numpys_within_a_bin():
    values = np.random.default_rng(2).exponential(1.0, 200_000)
    histogram = histogram_of(values)
    expected = np.percentile(values.astype(np.float32), 99.0)
    assert range_by_percentile(histogram, 99.0) == pytest.approx(
        expected, abs=histogram.limit / BINS
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_has_range_zero(method):
    assert METHODS[method](histogram_of(np.zeros(10))) == 0.0


@pytest.mark.parametrize("choose", [range_by_entropy, range_by_mse])
def test_one_outlier_among_many_is_clipped(choose):
    values = np.abs(np.random.default_rng(3).normal(0, 1, 100_000))
    with_outlier = histogram_of(values, [40.0])
    assert 2.5 < choose(with_outlier) < 30.0


@pytest.mark.parametrize("choose", [range_by_entropy, range_by_mse])
def test_an_even_spread_is_kept_whole(choose):
    assert choose(histogram_of(np.linspace(0, 2, 100_001))) == pytest.approx(2.0, rel=0.02)


def test_entropys_range_of_a_known_histogram():
    """Counts that fall to 1/e in 128 bins, to nothing in 1,768; the answer is the reference's."""
    counts = np.floor(1e6 * np.exp(-np.arange(BINS) / 128)).astype(np.int64)
    histogram = AbsHistogram(counts=counts, limit=2.0, largest=2.0)
    assert range_by_entropy(histogram) == 1408.5 * 2 / 2048
    assert plain_entropy_range(histogram) == 1408.5 * 2 / 2048


def plain_entropy_range(histogram: AbsHistogram) -> float:
    """TensorRT's published recipe (GTC 2017, 8-bit inference), a level at a time."""
    counts = histogram.counts.astype(float)
    counts[0] = counts[1]
    best, least = None, np.inf
    for bins in range(128, BINS + 1):
        reference = counts[:bins].copy()
        reference[-1] += counts[bins:].sum()
        candidate = np.zeros(bins)
        for level in range(128):
            first, end = (-(-edge * bins // 128) for edge in (level, level + 1))
            inside = counts[first:end]
            candidate[first:end][inside > 0] = inside.sum() / max(1, (inside > 0).sum())
        p, q = reference / reference.sum(), candidate / candidate.sum()
        if np.any((p > 0) & (q == 0)):
            continue
        some = p > 0
        divergence = np.sum(p[some] * np.log(p[some] / q[some]))
        if divergence <= least:
            best, least = bins, divergence
    return (best + 0.5) * histogram.limit / BINS


def test_entropys_scale_of_even_values_is_tensorrts():
    """3c010a14 is in the caches that TensorRT itself writes for inputs evenly spread up to 1."""
    even = (np.arange(2048 * 16) + 0.5) / 2048 / 16
    scale = range_by_entropy(histogram_of(np.append(even, 1.0))) / 127
    assert np.float32(scale).view(np.uint32) == 0x3C010A14


def test_the_histogram_of_a_known_array():
    """Eight values and their bins, the limit and zeros among them."""
    values = np.float32([0, 0, -0.25, 0.25, 1, -2, 1.99, 0.001])
    histogram = histogram_of(values)
    assert (histogram.limit, histogram.largest) == (2.0, 2.0)
    filled = np.flatnonzero(histogram.counts)
    assert dict(zip(filled.tolist(), histogram.counts[filled].tolist(), strict=True)) == {
        0: 2, 1: 1, 256: 2, 1024: 1, 2037: 1, 2047: 1,
    }  # fmt: skip


def test_values_that_are_not_finite_are_named_with_their_tensor():
    graph = helper.make_graph(
        [helper.make_node("Log", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match=r"y, on calibration image 1: .* not finite"):
        collect_histograms(model, [np.float32([1, 2]), np.float32([1, -1])], ["y"])


def test_histograms_are_of_inputs_and_of_what_the_graph_computes():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    images = iter([np.float32([-4, 1, 2]), np.float32([-1, 3, 0])])
    found = collect_histograms(model, images, ["x", "y"])
    assert {name: one.largest for name, one in found.items()} == {"x": 4.0, "y": 3.0}
    assert found["y"].counts.sum() == 6


@pytest.fixture
def folder(tmp_path):
    for index in range(10):
        image = np.full((40, 80, 3), index * 20, np.uint8)
        cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    return tmp_path


def test_images_are_chosen_evenly_and_always_the_same(folder):
    assert [path.name for path in choose_images(folder, 5)] == [
        f"{index}.png" for index in (0, 2, 4, 6, 8)
    ]
    assert choose_images(folder, 3) == choose_images(folder, 3)


def test_a_missing_folder_is_an_error_and_so_are_too_few_images(folder):
    with pytest.raises(DataError, match=r"absent is not a folder"):
        choose_images(folder / "absent", 2)
    with pytest.raises(DataError, match=r"holds 10 images, but 11 are asked for"):
        choose_images(folder, 11)


def test_images_are_fitted_and_normalised_as_in_inference(folder):
    paths = choose_images(folder, 2)
    (_, image) = read_fitted(paths, height=64, width=64)
    fit = InputFit(height=64, width=64, mode="pad_image_input")
    assert np.array_equal(image, fit_image(read_image(paths[1]), fit).image)
    tensor = to_tensor(image[None], CONTRACT)[0]
    assert tensor.shape == (64, 64, 3)
    np.testing.assert_allclose(tensor, image / 256.0 - 0.5, atol=1e-7)
