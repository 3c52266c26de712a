"""Ranges of activations from images: one table for every kind of INT8 graph.

The float32 graph runs over the images in ONNX Runtime, one image at a time; each activation has a
histogram of absolute values, so that memory does not grow with the number of images.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.export.graph import open_session, with_outputs

BINS = 2048
INT8_LEVELS = 128  # magnitudes of a symmetric int8: 0..127
PERCENTILE = 99.99


@dataclass
class AbsHistogram:
    """Counts of absolute values in ``BINS`` equal bins from 0 to ``limit``.

    The limit doubles when a larger value comes, and neighbouring bins merge: no count is spread or
    guessed, so the histogram is that of all values whatever their order.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    limit: float = 0.0
    largest: float = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the absolute values of an array of any shape."""
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max(initial=0.0))
        self.largest = max(self.largest, largest)
        if largest == 0.0:
            self.counts[0] += magnitudes.size
            return
        if self.limit == 0.0:
            self.limit = largest
        while self.limit < largest:
            self.counts[: BINS // 2] = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[BINS // 2 :] = 0
            self.limit *= 2
        bins = (magnitudes * np.float32(BINS / self.limit)).astype(np.int32)
        np.minimum(bins, BINS - 1, out=bins)  # the largest value lies on the last bin's edge
        self.counts += np.bincount(bins, minlength=BINS)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Upper edges of the bins (BINS,), in the tensor's unit."""
        return np.arange(1, BINS + 1, dtype=np.float64) * (self.limit / BINS)


def range_by_max(histogram: AbsHistogram) -> float:
    """The largest absolute value seen."""
    return histogram.largest


def range_by_percentile(histogram: AbsHistogram, percentile: float = PERCENTILE) -> float:
    """The edge of the first bin below which ``percentile`` % of all values lie."""
    counts = np.cumsum(histogram.counts)
    if histogram.limit == 0.0:
        return 0.0
    index = int(np.searchsorted(counts, counts[-1] * (percentile / 100)))
    return float(min(histogram.edges[min(index, BINS - 1)], histogram.largest))


def range_by_mse(histogram: AbsHistogram) -> float:
    """The range that rounds and clips with the least mean squared error."""
    if histogram.limit == 0.0:
        return 0.0
    centres = histogram.edges - histogram.limit / BINS / 2
    candidates = histogram.edges[INT8_LEVELS - 1 :: 8]
    errors = []
    for candidate in candidates:
        step = candidate / (INT8_LEVELS - 1)
        rounded = np.clip(np.rint(centres / step), 0, INT8_LEVELS - 1) * step
        errors.append(float(np.dot(histogram.counts, (centres - rounded) ** 2)))
    return float(min(candidates[int(np.argmin(errors))], histogram.largest))


def range_by_entropy(histogram: AbsHistogram) -> float:
    """The range whose quantised distribution diverges least (Kullback-Leibler) from the real one.

    As TensorRT's entropy calibrator does it: values above the range are counted at its end, and the
    bin of zero, which a ReLU fills, counts as much as its neighbour.
    """
    if histogram.limit == 0.0:
        return 0.0
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]
    best, best_divergence = BINS, np.inf
    for bins in range(INT8_LEVELS, BINS + 1):
        divergence = _divergence(counts, bins)
        if divergence <= best_divergence:
            best, best_divergence = bins, divergence
    return float(min(histogram.edges[best - 1], histogram.largest))


def _divergence(counts: NDArray[np.float64], bins: int) -> float:
    """Kullback-Leibler divergence of the first ``bins`` clipped counts from their int8 version."""
    inside = counts[:bins]
    clipped = inside.copy()
    clipped[-1] += counts[bins:].sum()
    level = (np.arange(bins) * INT8_LEVELS) // bins
    filled = inside > 0
    mass = np.bincount(level, weights=inside, minlength=INT8_LEVELS)
    width = np.bincount(level, weights=filled, minlength=INT8_LEVELS)
    average = np.divide(mass, width, out=np.zeros(INT8_LEVELS), where=width > 0)
    quantised = np.where(filled, average[level], 0.0)
    if not clipped.any() or not quantised.any():
        return float("inf")
    real, coded = clipped / clipped.sum(), quantised / quantised.sum()
    if np.any((real > 0) & (coded == 0)):
        return float("inf")
    some = real > 0
    return float(np.sum(real[some] * np.log(real[some] / coded[some])))


METHODS: dict[str, Callable[[AbsHistogram], float]] = {
    "entropy": range_by_entropy,
    "percentile": range_by_percentile,
    "max": range_by_max,
    "mse": range_by_mse,
}


def collect_histograms(
    model: onnx.ModelProto,
    images: Iterable[NDArray[np.float32]],
    tensors: Sequence[str],
    *,
    threads: int = 0,
) -> dict[str, AbsHistogram]:
    """Run ``images`` through ``model`` and count the values of ``tensors``.

    Args:
        model: A float32 graph with one input.
        images: Inputs in the graph's own layout, without the batch axis, normalised. Read once.
        tensors: Names of activations, inputs of the graph included.
        threads: Of ONNX Runtime; 0: one for every core.
    """
    source = model.graph.input[0].name
    computed = [name for name in tensors if name != source]
    session = open_session(with_outputs(model, computed), threads=threads)
    histograms = {name: AbsHistogram() for name in tensors}
    for image in images:
        if source in histograms:
            histograms[source].add(image)
        results = session.run(computed, {source: image[None]})
        for name, values in zip(computed, results, strict=True):
            histograms[name].add(values)
    return histograms


def make_ranges(histograms: dict[str, AbsHistogram], method: str) -> dict[str, float]:
    """The table: the largest absolute value that int8 has to hold, for every tensor."""
    choose = METHODS[method]
    return {name: choose(histogram) for name, histogram in histograms.items()}
