"""COCO's matching and average precision over arrays, to be asked many times.

The same figures as pycocotools', which the headline comes from and which a test compares with; it
takes the matching of one image at all thresholds at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.diagnosis.comparison import Booleans, Comparison, Floats, similarity

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of OKS
RECALLS = np.linspace(0, 1, 101)
ANY_AREA = (0.0, 1e10)  # square pixels


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision at 101 recalls for each of T thresholds.

    Attributes:
        precision: (T, 101); -1 where nobody is labelled.
        recall: (T,) the highest; -1 where nobody is labelled.
        people: labelled people that count.
    """

    precision: Floats
    recall: Floats
    people: int

    @property
    def ap(self) -> float:
        """Mean over recalls and thresholds; -1 where nobody is labelled."""
        return float(self.precision.mean()) if self.people else -1.0

    @property
    def ar(self) -> float:
        """Mean over thresholds of the highest recall; -1 where nobody is labelled."""
        return float(self.recall.mean()) if self.people else -1.0


@dataclass(frozen=True)
class Matches:
    """Which of the D detections of one image are right, at each of T thresholds.

    Attributes:
        score: (D,).
        right: (T, D).
        wrong: (T, D); detections that are neither are ignored.
        people: labelled people that count.
    """

    score: Floats
    right: Booleans
    wrong: Booleans
    people: int


def match(
    table: Floats, ignored: Booleans, crowd: Booleans, thresholds: Floats = THRESHOLDS
) -> NDArray[np.intp]:
    """The label of each detection at each threshold, (T, D); -1: none.

    As COCO matches: in the order of the detections, each takes the most similar label that is still
    free, one that counts before one that is ignored. Crowd regions are always free.

    Args:
        table: (D, G) similarities, the most certain detection first.
        ignored: (G,) labels that do not count.
        crowd: (G,) labels that may be taken more than once.
        thresholds: (T,) least similarities.
    """
    count, labels = table.shape
    matched = np.full((len(thresholds), count), -1, np.intp)
    if not table.size:
        return matched
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]  # (T, 1)
    free = np.ones((len(thresholds), labels), np.bool_)
    rows = np.arange(len(thresholds))
    for index in range(count):
        possible = (table[index] >= least) & (free | crowd)
        # Above 1 where it counts; the last of equals, as pycocotools has it.
        value = np.where(possible, table[index] + 2 * ~ignored, -1)
        best = labels - 1 - value[:, ::-1].argmax(axis=1)
        hit = possible[rows, best]
        matched[hit, index] = best[hit]
        free[rows[hit], best[hit]] = False
    return matched


def match_image(
    image: Comparison,
    sigmas: Floats,
    *,
    area: tuple[float, float] = ANY_AREA,
) -> Matches:
    """Which detections of one image are right.

    Args:
        image: labels and detections.
        sigmas: (K,) of the keypoints.
        area: the people that count, least and greatest area in square pixels; others are ignored,
            and so are unmatched detections of other areas.
    """
    labels, found = image.labels, image.found
    ignored = labels.ignored | (labels.area < area[0]) | (labels.area > area[1])
    matched = match(similarity(labels, found, sigmas), ignored, labels.crowd)
    size = found.area
    outside = (size < area[0]) | (size > area[1])  # (D,)
    none = matched < 0
    forgiven = np.where(none, outside, np.append(ignored, False)[matched])
    people = int(np.count_nonzero(~ignored))
    return Matches(found.score, ~none & ~forgiven, none & ~forgiven, people)


def accumulate(images: Sequence[Matches]) -> PrecisionRecall:
    """Precision over recall of all detections of ``images``, in the order of their ids."""
    people = sum(one.people for one in images)
    if not people:
        rows = len(THRESHOLDS)
        return PrecisionRecall(np.full((rows, len(RECALLS)), -1.0), np.full(rows, -1.0), 0)
    order = np.argsort(-np.concatenate([one.score for one in images]), kind="stable")
    hits = np.concatenate([one.right for one in images], axis=1)[:, order]
    misses = np.concatenate([one.wrong for one in images], axis=1)[:, order]
    tp = np.cumsum(hits, axis=1, dtype=np.float64)
    fp = np.cumsum(misses, axis=1, dtype=np.float64)
    return interpolate(tp, fp, people)


def precision_recall(
    images: Sequence[Comparison], sigmas: Floats, *, area: tuple[float, float] = ANY_AREA
) -> PrecisionRecall:
    """Precision over recall of ``images``, in the order of their ids; see ``match_image``."""
    return accumulate([match_image(image, sigmas, area=area) for image in images])


def interpolate(tp: Floats, fp: Floats, people: int) -> PrecisionRecall:
    """Precision at the 101 recalls from running counts (T, D): the highest at or right of each."""
    recall = tp / people
    precision = tp / (tp + fp + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    table = np.zeros((len(tp), len(RECALLS)))
    for row, reached, best in zip(table, recall, envelope, strict=True):
        places = np.searchsorted(reached, RECALLS, side="left")
        inside = places < len(best)
        row[inside] = best[places[inside]]
    last = recall[:, -1] if recall.shape[1] else np.zeros(len(tp))
    return PrecisionRecall(table, last, people)
