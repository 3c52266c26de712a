"""Is an exported model still the network that was trained? Its maps, its people and its AP say."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.diagnosis.bootstrap import ApDifference
from bpnet.export.agreement import Agreement

FULL = 1.0  # of a map at its peak; where nobody is seen, the largest value is noise
# What an artefact may lose, as a part of the largest value of the trained network's maps.
# float32 and float16: the largest error of any cell; int8: the mean error over all cells.
MAXIMUM_ERROR = {"fp32": 1e-4, "fp16": 1e-2}
MEAN_ERROR = {"int8": 3e-2, "int8+fp16": 3e-2}
MAXIMUM_DROP = {"fp32": 0.1, "fp16": 0.1, "int8": 1.0, "int8+fp16": 1.0}  # AP points


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


@dataclass
class DifferenceSum:
    """Adds up what makes a ``MapDifference``, image after image."""

    largest: float = 0.0
    maximum: float = 0.0
    total: float = 0.0
    cells: int = 0
    product: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def add(self, trained: NDArray[np.float32], exported: NDArray[np.float32]) -> None:
        """Maps (h, w, C) of one image; a finer grid is compared with the nearest trained cells."""
        ratio = exported.shape[0] // trained.shape[0]
        expected = trained.repeat(ratio, axis=0).repeat(ratio, axis=1).astype(np.float64)
        found = exported.astype(np.float64)
        errors = np.abs(expected - found)
        self.largest = max(self.largest, float(np.abs(expected).max()))
        self.maximum = float(np.maximum(self.maximum, errors.max()))  # unlike max(), keeps NaN
        self.total += float(errors.sum())
        self.product += float((expected * found).sum())
        self.left += float((expected**2).sum())
        self.right += float((found**2).sum())
        self.cells += errors.size

    def result(self) -> MapDifference:
        """The difference over all images so far."""
        norm = float(np.sqrt(self.left * self.right))
        cosine = self.product / norm if norm else 1.0
        return MapDifference(self.largest, self.maximum, self.total / max(self.cells, 1), cosine)


@dataclass(frozen=True)
class Comparison:
    """An exported model beside the trained network.

    Attributes:
        precision: fp32, fp16, int8 or int8+fp16.
        images: How many images were compared.
        heatmaps: Difference of the heatmaps.
        pafs: Difference of the PAFs.
        label: What tells it from others of its precision; default: the precision.
        people: How far both find the same people; None where nobody was looked for.
        ap: AP of both; None where no labels were given.
    """

    precision: str
    images: int
    heatmaps: MapDifference
    pafs: MapDifference
    label: str = ""
    people: Agreement | None = None
    ap: ApDifference | None = None

    @property
    def name(self) -> str:
        """The label, else the precision."""
        return self.label or self.precision

    def fault(self, max_drop: float | None = None) -> str | None:
        """What exceeds its limit, in words; None where nothing does.

        Where AP was measured it decides, for it is what the maps are for; float32 maps are held to
        their limit all the same.

        Args:
            max_drop: AP points that AP may fall; None: ``MAXIMUM_DROP`` of the precision.
        """
        if self.ap is not None:
            limit = MAXIMUM_DROP[self.precision] if max_drop is None else max_drop
            if not self.ap.drop <= limit:
                return (
                    f"{self.name} loses {self.ap.drop:.2f} AP points, above the limit of {limit:g}"
                )
            if self.precision != "fp32":
                return None
        return self._map_fault()

    def _map_fault(self) -> str | None:
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
        head = f"{self.name:20}{'largest error':>16}{'mean error':>14}{'cosine':>12}"
        rows = [
            f"  {kind:18}{difference.relative_maximum:16.3g}{difference.relative_mean:14.3g}"
            f"{difference.cosine:12.7f}"
            for kind, difference in (("heatmaps", self.heatmaps), ("PAFs", self.pafs))
        ]
        if self.people is not None:
            rows.append(f"  people: {self.people.line()}")
        if self.ap is not None:
            rows.append(f"  {describe_ap(self.ap)}")
        return [head, *rows]

    def numbers(self) -> dict[str, float]:
        """The same for status.json and sidecars."""
        stem = self.name.replace(" ", "_")
        numbers = {
            f"{stem}_{kind}_{name}": value
            for kind, difference in (("heatmaps", self.heatmaps), ("pafs", self.pafs))
            for name, value in (
                ("max", difference.relative_maximum),
                ("mean", difference.relative_mean),
                ("cosine", difference.cosine),
            )
        }
        if self.people is not None:
            numbers[f"{stem}_people_agreement"] = self.people.share
            numbers[f"{stem}_people_agreement_by_score"] = self.people.score_share
        if self.ap is not None:
            numbers |= {
                "trained_AP": self.ap.before,
                f"{stem}_AP": self.ap.after,
                f"{stem}_AP_difference_low": self.ap.low,
                f"{stem}_AP_difference_high": self.ap.high,
            }
        return numbers


def describe_ap(ap: ApDifference) -> str:
    """AP of both in a line, in points."""
    if ap.before < 0:
        return f"AP: n/a, for nobody is labelled in these {ap.images} images"
    return (
        f"AP: {100 * ap.after:.2f}, trained {100 * ap.before:.2f}; difference "
        f"{100 * (ap.after - ap.before):+.2f} (95 % interval {100 * ap.low:+.2f} to "
        f"{100 * ap.high:+.2f}, paired over {ap.images} images)"
    )
