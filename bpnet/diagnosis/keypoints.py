"""How well each keypoint is found: AP and PCK.

AP of a keypoint is COCO's keypoint AP with that keypoint only, as COCO-WholeBody measures parts of
the body (https://arxiv.org/abs/2007.11858): OKS has one term, people on whom it is not labelled are
ignored, detections without it are left out, and the score is the person's.

PCK@a is the share of labelled keypoints that are found within ``a`` times the longer side of the
person's box (Yang and Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", TPAMI
2013). The person is the one that the error breakdown matches; all keypoints of a missed person and
those that were not found count as wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.diagnosis.comparison import Booleans, Floats
from bpnet.diagnosis.errors import ImageErrors
from bpnet.diagnosis.precision import precision_recall

PCK_SHARES = (0.05, 0.1, 0.2)  # of the longer side of the box


@dataclass(frozen=True)
class KeypointFigures:
    """One keypoint, or all of them.

    Attributes:
        name: Of the keypoint.
        labelled: How often it is labelled on people that count.
        ap: Average precision, 0..1; -1 where it is never labelled.
        pck: At each of ``PCK_SHARES``, 0..1; -1 where it is never labelled.
    """

    name: str
    labelled: int
    ap: float
    pck: tuple[float, ...]


def measure_keypoints(
    errors: Sequence[ImageErrors], names: Sequence[str], sigmas: Floats
) -> tuple[KeypointFigures, ...]:
    """The figures of each of the K keypoints; images in the order of their ids."""
    labelled, right = _count_right(errors, len(names))
    figures = []
    for column, name in enumerate(names):
        images = [one.comparison.of_keypoints([column]) for one in errors]
        ap = precision_recall(images, sigmas[column : column + 1]).ap
        figures.append(
            KeypointFigures(
                name, int(labelled[column]), ap, _shares(right[:, column], labelled[column])
            )
        )
    return tuple(figures)


def total_pck(errors: Sequence[ImageErrors], keypoints: int) -> tuple[float, ...]:
    """PCK over all keypoints, at each of ``PCK_SHARES``."""
    labelled, right = _count_right(errors, keypoints)
    return _shares(right.sum(axis=1), labelled.sum())


def _shares(right: NDArray[np.int64], labelled: np.int64) -> tuple[float, ...]:
    if not labelled:
        return (-1.0,) * len(PCK_SHARES)
    return tuple((right / labelled).tolist())


def _count_right(
    errors: Sequence[ImageErrors], keypoints: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labelled keypoints (K,), and those of them found within each share (S, K)."""
    labelled = np.zeros(keypoints, np.int64)
    right = np.zeros((len(PCK_SHARES), keypoints), np.int64)
    for one in errors:
        labels, found = one.comparison.labels, one.comparison.found
        labelled += (labels.labelled & ~labels.ignored[:, None]).sum(axis=0)
        rows = np.flatnonzero(one.person >= 0)
        people = one.person[rows]
        distance = np.linalg.norm(found.xy[rows] - labels.xy[people], axis=-1)  # (n, K)
        known: Booleans = labels.labelled[people] & found.present[rows]
        side = labels.bbox[people, 2:].max(axis=1, initial=0)[:, None]
        for row, share in zip(right, PCK_SHARES, strict=True):
            row += (known & (distance <= share * side)).sum(axis=0)
    return labelled, right
