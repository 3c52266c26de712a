"""Is an exported model still the network that was trained? Its maps say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.pose.maps import PoseMaps

FULL = 1.0  # of a map at its peak; where nobody is seen, the largest value is noise
# What an artefact may lose, as a part of the largest value of the trained network's maps.
# float32 and float16: the largest error of any cell; int8: the mean error over all cells.
MAXIMUM_ERROR = {"fp32": 1e-4, "fp16": 1e-2}
MEAN_ERROR = {"int8": 3e-2}


@dataclass(frozen=True)
class MapDifference:
    """How far one kind of map lies from the trained network's.

    Attributes:
        largest: Largest absolute value of the trained network's maps.
        maximum: Largest absolute difference.
        mean: Mean absolute difference.
        cosine: Cosine of the angle between the two, all cells taken as one vector.
    """

    largest: float
    maximum: float
    mean: float
    cosine: float

    @property
    def relative_maximum(self) -> float:
        """The largest difference as a part of the largest value, or of 1 where that is less."""
        return self.maximum / max(self.largest, FULL)

    @property
    def relative_mean(self) -> float:
        """The mean difference as a part of the largest value, or of 1 where that is less."""
        return self.mean / max(self.largest, FULL)


@dataclass(frozen=True)
class Comparison:
    """An exported model beside the trained network.

    Attributes:
        precision: fp32, fp16 or int8.
        images: How many images were compared.
        heatmaps: Difference of the heatmaps.
        pafs: Difference of the PAFs.
    """

    precision: str
    images: int
    heatmaps: MapDifference
    pafs: MapDifference

    def fault(self) -> str | None:
        """What exceeds its limit, in words; None where nothing does."""
        for kind, difference in (("heatmaps", self.heatmaps), ("PAFs", self.pafs)):
            for name, value, limits in (
                ("largest", difference.relative_maximum, MAXIMUM_ERROR),
                ("mean", difference.relative_mean, MEAN_ERROR),
            ):
                limit = limits.get(self.precision)
                if limit is not None and not value <= limit:  # NaN exceeds every limit
                    return (
                        f"the {name} error of its {kind} is {value:.2g} of the largest value, "
                        f"above the limit of {limit:g} for {self.precision}"
                    )
        return None

    def lines(self) -> list[str]:
        """A table for a terminal."""
        head = f"{self.precision:10}{'largest error':>16}{'mean error':>14}{'cosine':>12}"
        rows = [
            f"  {kind:8}{difference.relative_maximum:16.3g}{difference.relative_mean:14.3g}"
            f"{difference.cosine:12.7f}"
            for kind, difference in (("heatmaps", self.heatmaps), ("PAFs", self.pafs))
        ]
        return [head, *rows]

    def numbers(self) -> dict[str, float]:
        """The same for status.json."""
        return {
            f"{self.precision}_{kind}_{name}": value
            for kind, difference in (("heatmaps", self.heatmaps), ("pafs", self.pafs))
            for name, value in (
                ("max", difference.relative_maximum),
                ("mean", difference.relative_mean),
                ("cosine", difference.cosine),
            )
        }


def compare_maps(
    trained: Sequence[PoseMaps], exported: Sequence[PoseMaps], *, precision: str
) -> Comparison:
    """The maps of the same images by the trained network and by an exported model.

    PAFs of a finer grid than the trained network's are compared with its nearest cells.
    """
    return Comparison(
        precision=precision,
        images=len(trained),
        heatmaps=_difference(
            [maps.heatmaps for maps in trained], [maps.heatmaps for maps in exported]
        ),
        pafs=_difference([maps.pafs for maps in trained], [maps.pafs for maps in exported]),
    )


def _difference(
    trained: Sequence[NDArray[np.float32]], exported: Sequence[NDArray[np.float32]]
) -> MapDifference:
    largest = maximum = total = product = left = right = 0.0
    cells = 0
    for mine, theirs in zip(trained, exported, strict=True):
        ratio = theirs.shape[0] // mine.shape[0]
        expected = mine.repeat(ratio, axis=0).repeat(ratio, axis=1).astype(np.float64)
        found = theirs.astype(np.float64)
        errors = np.abs(expected - found)
        largest = max(largest, float(np.abs(expected).max()))
        maximum = float(np.maximum(maximum, errors.max()))  # unlike max(), keeps NaN
        total += float(errors.sum())
        product += float((expected * found).sum())
        left += float((expected**2).sum())
        right += float((found**2).sum())
        cells += errors.size
    norm = float(np.sqrt(left * right))
    return MapDifference(largest, maximum, total / cells, product / norm if norm else 1.0)
