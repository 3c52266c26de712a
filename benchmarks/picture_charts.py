"""A part of pictures.py: its charts."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bpnet.decode import Decoder, DecoderSettings
from bpnet.export.calibration import METHODS, AbsHistogram, collect_histograms
from bpnet.export.graph import get_contract
from bpnet.export.quantize import convolutions, ranged_tensors
from bpnet.inference.preprocess import InputFit, fit_image, to_tensor
from bpnet.pose.maps import PoseMaps, input_to_map
from bpnet.pose.skeleton import Skeleton

DPI = 100
COLOURS = ("#2f6db3", "#d1622b", "#3a8f5c", "#8a4fb0")
AROUND = 3  # cells shown on each side of a limb

Picture = NDArray[np.uint8]


def draw_close_up(
    keypoints: NDArray[np.float32], maps: PoseMaps, skeleton: Skeleton, *, limb: int
) -> Picture:
    """The cells of a heatmap and of a PAF around one limb, the longest of all people's.

    Args:
        keypoints: (P, K, 3), x and y in pixels of the network's input.
        maps: Drawn of them.
        skeleton: Theirs.
        limb: Its number.
    """
    start, end = skeleton.limbs[limb]
    whole = keypoints[(keypoints[:, [start, end], 2] > 0).all(axis=1)]
    lengths = np.linalg.norm(whole[:, start, :2] - whole[:, end, :2], axis=1)
    person = whole[lengths.argmax()]
    ends = input_to_map(person[[start, end], :2], maps.heatmap_stride)  # cells
    people = Decoder(skeleton)(maps)
    nearest = np.abs(people.xy[:, start] - person[start, :2]).sum(axis=1).argmin()
    found = input_to_map(people.xy[nearest][[start, end]], maps.heatmap_stride)
    figure = Figure(figsize=(8.4, 4.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    name = skeleton.keypoints[start]
    left.imshow(maps.heatmaps[..., start], cmap="Blues", vmin=0, vmax=1.2)
    _mark(left, ends[:1], found[:1])
    left.set_title(f"heatmap of {name}")
    vectors = maps.pafs[..., 2 * limb : 2 * limb + 2]
    right.imshow(np.linalg.norm(vectors, axis=-1), cmap="Oranges", vmin=0, vmax=1.6)
    rows, columns = np.nonzero(np.linalg.norm(vectors, axis=-1))
    x, y = vectors[rows, columns].T
    right.quiver(columns, rows, x, y, angles="xy", scale_units="xy", scale=1.2, width=0.006)
    points = np.linspace(found[0], found[1], _samples(float(np.hypot(*(found[1] - found[0])))))
    right.plot(*points.T, "o-", color=COLOURS[0], markersize=4, label="samples of the decoder")
    right.set_title(f"PAF from {name} to {skeleton.keypoints[end]}")
    low, high = np.floor(ends.min(axis=0)) - AROUND, np.ceil(ends.max(axis=0)) + AROUND
    for axes in (left, right):
        axes.set(xlim=(low[0] - 0.5, high[0] + 0.5), ylim=(high[1] + 0.5, low[1] - 0.5))
        axes.set_xticks(np.arange(low[0], high[0] + 1))
        axes.set_yticks(np.arange(low[1], high[1] + 1))
        axes.grid(visible=False)
        axes.set(xlabel=f"cells of {maps.heatmap_stride:g} pixels")
        axes.legend(loc="lower left", fontsize=8, framealpha=0.9)
    return _pixels(figure)


def draw_ranges(fp32: Path, pictures: Sequence[Picture]) -> Picture:
    """What values the input of one convolution has, and the range that each method gives it.

    Args:
        fp32: An exported network.
        pictures: That it is calibrated with.
    """
    graph = onnx.load(str(fp32))
    contract = get_contract(graph, fp32)
    assert contract is not None
    assert contract.height is not None
    assert contract.width is not None
    fit = InputFit(contract.height, contract.width, "pad_image_input", multiple=1)
    inputs = [to_tensor(fit_image(one, fit).image[None], contract)[0] for one in pictures]
    histograms = collect_histograms(graph, inputs, ranged_tensors(graph))
    names = [node.input[0] for node in convolutions(graph)]
    name = max(names, key=lambda one: _disagreement(histograms[one]))
    figure = Figure(figsize=(8.4, 3.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    histogram = histograms[name]
    coarse = histogram.counts.reshape(-1, 16).sum(axis=1)
    axes.stairs(
        coarse, np.linspace(0, histogram.limit, len(coarse) + 1), fill=True, color="#b9c4d0"
    )
    for (method, find), colour in zip(METHODS.items(), COLOURS, strict=True):
        value = find(histogram)
        axes.axvline(value, color=colour, linewidth=2, label=f"{method}: {value:.2f}")
    axes.set(yscale="log", xlabel="absolute value", ylabel="how often")
    axes.set_xlim(0, 1.05 * histogram.largest)
    axes.set_title(f"values of {name}")
    axes.legend()
    return _pixels(figure)


def draw_pruning(sweeps: Mapping[str, Path]) -> Picture:
    """AP against the operations left, a line for each table of ``bpnet prune --sweep``."""
    figure = Figure(figsize=(8.4, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for (name, table), colour in zip(sweeps.items(), COLOURS, strict=False):
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        left = [100 * float(row["gflops_left"]) for row in rows]
        ap = [float(row["ap"]) for row in rows]
        axes.plot(left, ap, marker="o", color=colour, label=name)
    axes.set(xlabel="% of the operations left", ylabel="AP before retraining", xlim=(102, 45))
    axes.set_ylim(bottom=-0.02)
    axes.grid(color="#dfe3e8")
    axes.legend(title="--criterion")
    return _pixels(figure)


def _mark(axes: Axes, true: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    """Where points (N, 2) are, and where the decoder finds them."""
    axes.plot(*true.T, "+", color="black", markersize=14, label="label")
    axes.plot(*found.T, "o", color=COLOURS[1], markersize=5, label="found by the decoder")


def _samples(cells: float) -> int:
    """How many samples the decoder takes along a limb so long."""
    settings = DecoderSettings()
    fitting = min(int(cells * settings.samples_per_cell + 1), settings.max_samples)
    return max(fitting, settings.min_samples)


def _disagreement(histogram: AbsHistogram) -> float:
    """How many times the largest of the methods' ranges is the least."""
    ranges = [find(histogram) for find in METHODS.values()]
    return max(ranges) / max(min(ranges), 1e-9)


def _pixels(figure: Figure) -> Picture:
    """The figure drawn (H, W, 3)."""
    pixels = io.BytesIO()
    figure.savefig(pixels, format="rgba")
    width, height = (round(inches * DPI) for inches in figure.get_size_inches())
    picture = np.frombuffer(pixels.getvalue(), np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(picture[..., :3])
