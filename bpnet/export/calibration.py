"""Ranges of activations from images: one table for every kind of INT8 graph.

The float32 graph runs over the images in ONNX Runtime, one image at a time; each activation has a
histogram of absolute values, so that memory does not grow with the number of images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.export.equalisation import depthwise_inputs
from bpnet.export.graph import open_session, with_outputs

BINS = 2048
INT8_LEVELS = 128  # magnitudes of a symmetric int8: 0..127
PERCENTILE = 99.99
AT_ONCE = 1 << 24  # values that are counted in one call: its float32 counts are then exact
SAME = 1e-12  # divergences nearer than this are the same but for rounding


@dataclass
class AbsHistogram:
    """Counts of absolute values in ``BINS`` equal bins from 0 to ``limit``.

    The limit doubles when a larger value comes, and neighbouring bins merge: no count is spread or
    guessed, so the histogram is that of all values whatever their order.

    Attributes:
        counts: Values in each bin (BINS,).
        limit: Upper edge of the last bin.
        largest: Largest absolute value.
        channels: Histograms of the channels one by one, where they are wanted.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    limit: float = 0.0
    largest: float = 0.0
    channels: "list[AbsHistogram]" = field(default_factory=list)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the absolute values of an array of any shape.

        Raises:
            ModelError: One of them is not finite.
        """
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not np.isfinite(largest):
            raise ModelError("it has values that are not finite, so it cannot be held in int8")
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
        for start in range(0, magnitudes.size, AT_ONCE):
            part = magnitudes[start : start + AT_ONCE].reshape(1, -1)
            found = cv2.calcHist([part], [0], None, [BINS], [0.0, self.limit]).ravel()
            counts = found.astype(np.int64)
            counts[-1] += part.size - counts.sum()  # the limit itself, which OpenCV leaves out
            self.counts += counts

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

    TensorRT's entropy calibrator, as published (S. Migacz, 8-bit inference with TensorRT, GTC
    2017): the first m bins are squeezed into 128 levels, for every m; values beyond them are
    counted in bin m; the bin of zero, which a ReLU fills, counts as much as its neighbour. The
    range is (m + 0.5) bins, so that of evenly spread values up to 1 is 1 + 1/4096.
    """
    if histogram.limit == 0.0:
        return 0.0
    bins = np.arange(INT8_LEVELS, int(np.flatnonzero(histogram.counts)[-1]) + 2)
    divergences = _divergences(histogram.counts.astype(np.float64), bins)
    (best,) = np.flatnonzero(divergences <= divergences.min() + SAME)[-1:]
    return float((bins[best] + 0.5) * histogram.limit / BINS)


def _divergences(counts: NDArray[np.float64], bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divergence (M,) of the first ``bins`` (M,) clipped counts from their 128 levels.

    A level's bins that hold anything share its mass evenly, so sums over bins are sums over levels
    of differences of running sums: all M at once, without a loop over bins.
    """
    counts = counts.copy()
    counts[0] = counts[1]
    mass_below = np.concatenate([[0.0], np.cumsum(counts)])
    filled_below = np.concatenate([[0], np.cumsum(counts > 0)])
    entropy_below = np.concatenate([[0.0], np.cumsum(_x_log_x(counts))])
    total = mass_below[-1]
    # Bin b is in level 128 b // m, so level l begins at the ceiling of l m / 128.
    starts = -(-np.arange(INT8_LEVELS + 1) * bins[:, None] // INT8_LEVELS)  # (M, 129)
    mass = np.diff(mass_below[starts])
    filled = np.diff(filled_below[starts])
    average = np.divide(mass, filled, out=np.ones_like(mass), where=filled > 0)
    last = counts[bins - 1]
    tail = total - mass_below[bins]
    with np.errstate(divide="ignore"):
        inside = np.log(mass_below[bins])
    real = (entropy_below[bins - 1] + _x_log_x(last + tail)) / total - np.log(total)
    coded = ((mass * np.log(average)).sum(axis=1) + tail * np.log(average[:, -1])) / total - inside
    impossible = (last == 0) & (tail > 0)  # values are clipped to where the code has none
    return np.where(impossible, np.inf, real - coded)


def _x_log_x(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * np.log(np.where(values > 0, values, 1.0))


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
) -> dict[str, AbsHistogram]:
    """Run ``images`` through ``model`` and count the values of ``tensors``.

    Args:
        model: A float32 graph with one input.
        images: Inputs in the graph's own layout, without the batch axis, normalised. Read once.
        tensors: Names of activations, inputs of the graph included.

    Raises:
        ModelError: A tensor has values that are not finite.
    """
    source = model.graph.input[0].name
    computed = [name for name in tensors if name != source]
    session = open_session(with_outputs(model, computed))
    histograms = {name: AbsHistogram() for name in tensors}
    for name, place in depthwise_inputs(model).items():
        if name in histograms:
            histograms[name].channels = [AbsHistogram() for _ in range(place.channels)]
    for number, image in enumerate(images):
        results = {source: image}
        results |= zip(computed, session.run(computed, {source: image[None]}), strict=True)
        for name, histogram in histograms.items():
            try:
                histogram.add(results[name])
                for index, channel in enumerate(histogram.channels):
                    channel.add(results[name][:, index])
            except ModelError as error:
                raise ModelError(f"{name}, on calibration image {number}: {error}") from error
        del results  # before the next run makes its own
    return histograms


class RangeTable(dict[str, float]):
    """The largest absolute value that int8 has to hold, for every tensor by name.

    Attributes:
        channels: The same for every channel (C,) of what depthwise convolutions read, see
            ``equalisation``; a calibration cache does not hold them.
    """

    def __init__(
        self, ranges: Mapping[str, float], channels: Mapping[str, NDArray[np.float64]]
    ) -> None:
        super().__init__(ranges)
        self.channels = channels


def make_ranges(histograms: dict[str, AbsHistogram], method: str) -> RangeTable:
    """The table, by one of ``METHODS``.

    Channels have their percentile: one alone has too few values for entropy, which clips them.
    """
    choose = METHODS[method]
    of_channel = range_by_max if method == "max" else range_by_percentile
    channels = {
        name: np.array([of_channel(channel) for channel in histogram.channels])
        for name, histogram in histograms.items()
        if histogram.channels
    }
    return RangeTable({name: choose(one) for name, one in histograms.items()}, channels)
