"""What goes wrong, by kind, and the AP that each kind costs.

After Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV
2017, https://arxiv.org/abs/1707.05388. The similarity of a found keypoint to a labelled place is
its term of OKS, exp(-d^2 / (2 area (2 sigma)^2)). A labelled keypoint of a person who was found is

- good: within what labellers differ by, 0.85 or more;
- jitter: near, 0.5 to 0.85, and nearest to its own label;
- inversion: 0.5 or more to the other side's keypoint of the same person, and nearest to that;
- swap: 0.5 or more to that keypoint, or its other side, of another person, and nearest to that;
- miss: near none of these, or not found at all.

Here good comes first: who is within labellers' difference is right, however near others are. People
who were found are those that COCO matches at OKS 0.5, and of the rest those it matches at 0.1 (the
paper: all at 0.1). A detection that is matched with nobody is a false positive, unless COCO ignores
it (a crowd region, a person without keypoints); a person who is matched with none is missed.

Costs come of correcting a kind and measuring anew: a keypoint is put on its label; false positives
are taken away, and with them what COCO ignores, for at a higher OKS it might not; a missed person
is not counted (as in the paper, and in TIDE, https://arxiv.org/abs/2008.08115). With all corrected
AP is 1, but for what good keypoints are off.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpnet.diagnosis.comparison import (
    Booleans,
    Comparison,
    Floats,
    Found,
    keypoint_similarity,
    similarity,
)
from bpnet.diagnosis.precision import accumulate, match, match_image

GOOD, NEAR = 0.85, 0.5  # least similarities of a keypoint
MATCHED_FIRST, MATCHED_AT_ALL = 0.5, 0.1  # least OKS

MISS, SWAP, INVERSION, JITTER = "miss", "swap", "inversion", "jitter"
FALSE_POSITIVE, MISSED_PERSON = "false positive", "missed person"
KEYPOINT_KINDS = (MISS, SWAP, INVERSION, JITTER)  # in the paper's order of correction
KINDS = (*KEYPOINT_KINDS, FALSE_POSITIVE, MISSED_PERSON)


@dataclass(frozen=True)
class ImageErrors:
    """What is wrong in one image.

    Attributes:
        comparison: The image.
        person: (D,) the label that each detection is matched with; -1: none.
        oks: (D,) with that label; 0 where there is none.
        kinds: for each kind of ``KEYPOINT_KINDS``, and for ``good``, (D, K): which keypoints.
        false_positive: (D,).
        missed: (G,) labelled people that count and were not found.
    """

    comparison: Comparison
    person: NDArray[np.intp]
    oks: Floats
    kinds: dict[str, Booleans]
    false_positive: Booleans
    missed: Booleans

    def count(self, kind: str) -> int:
        """Keypoints, detections or people of this kind."""
        if kind == FALSE_POSITIVE:
            return int(self.false_positive.sum())
        return int((self.missed if kind == MISSED_PERSON else self.kinds[kind]).sum())

    def has(self, kind: str) -> bool:
        """Whether correcting this kind changes anything."""
        if kind == FALSE_POSITIVE:
            return bool((self.person < 0).any())
        return self.count(kind) > 0


@dataclass(frozen=True)
class ErrorKind:
    """One kind of error.

    Attributes:
        kind: Of ``KINDS``.
        count: Keypoints, detections or people.
        alone: AP if only this kind were corrected; -1 where nobody would be left to count.
        together: AP if this kind and those before it were corrected; -1 likewise.
    """

    kind: str
    count: int
    alone: float
    together: float


@dataclass(frozen=True)
class ErrorBreakdown:
    """All kinds of error.

    Attributes:
        ap: As found.
        kinds: In ``KINDS``' order.
        good: Keypoints that are right, of people who were found.
        labelled: Labelled keypoints of people who were found.
        people: Labelled people that count.
        by_keypoint: (K, 5) good and ``KEYPOINT_KINDS``, of people who were found.
    """

    ap: float
    kinds: tuple[ErrorKind, ...]
    good: int
    labelled: int
    people: int
    by_keypoint: NDArray[np.int64]


def find_errors(image: Comparison, sigmas: Floats, mirror: Sequence[int]) -> ImageErrors:
    """The errors of one image.

    Args:
        image: labels and detections.
        sigmas: (K,) of the keypoints.
        mirror: for each keypoint the one of the other side, or itself.
    """
    labels, found = image.labels, image.found
    table = similarity(labels, found, sigmas)
    person = _match_twice(table, labels.ignored, labels.crowd)
    counted = (person >= 0) & ~np.append(labels.ignored, True)[person]
    oks = np.zeros(len(person))
    matched = person >= 0
    oks[matched] = table[matched, person[matched]]
    excused = matched & ~counted & (oks >= MATCHED_FIRST)
    missed = ~labels.ignored
    missed[person[counted]] = False
    return ImageErrors(
        image,
        person=np.where(counted, person, -1),
        oks=np.where(counted, oks, 0.0),
        kinds=_keypoint_kinds(image, person, counted, sigmas, mirror),
        false_positive=~counted & ~excused,
        missed=missed,
    )


def break_down(errors: Sequence[ImageErrors], sigmas: Floats) -> ErrorBreakdown:
    """Counts and costs over all images, which are in the order of their ids."""
    found = [match_image(one.comparison, sigmas) for one in errors]
    kinds, together = [], found
    for position, kind in enumerate(KINDS):
        alone, together = (
            [
                match_image(corrected(one, wanted), sigmas) if one.has(kind) else before
                for one, before in zip(errors, matches, strict=True)
            ]
            for wanted, matches in (((kind,), found), (KINDS[: position + 1], together))
        )
        count = sum(one.count(kind) for one in errors)
        kinds.append(ErrorKind(kind, count, accumulate(alone).ap, accumulate(together).ap))
    width = len(sigmas)
    by_keypoint = np.zeros((width, 1 + len(KEYPOINT_KINDS)), np.int64)
    for one in errors:
        for column, kind in enumerate(("good", *KEYPOINT_KINDS)):
            by_keypoint[:, column] += one.kinds[kind].sum(axis=0)
    return ErrorBreakdown(
        ap=accumulate(found).ap,
        kinds=tuple(kinds),
        good=int(by_keypoint[:, 0].sum()),
        labelled=int(by_keypoint.sum()),
        people=sum(int((~one.comparison.labels.ignored).sum()) for one in errors),
        by_keypoint=by_keypoint,
    )


def corrected(errors: ImageErrors, kinds: Iterable[str]) -> Comparison:
    """The image as it would be without errors of these kinds."""
    labels, found = errors.comparison.labels, errors.comparison.found
    wanted = set(kinds)
    xy, present = found.xy.copy(), found.present.copy()
    for kind in set(KEYPOINT_KINDS) & wanted:
        rows, columns = np.nonzero(errors.kinds[kind])
        xy[rows, columns] = labels.xy[errors.person[rows], columns]
        present[rows, columns] = True
    better = Found(xy, present, found.score)
    if FALSE_POSITIVE in wanted:
        better = better.only(errors.person >= 0)
    if MISSED_PERSON in wanted:
        labels = labels.only(~errors.missed)
    return replace(errors.comparison, labels=labels, found=better)


def _match_twice(table: Floats, ignored: Booleans, crowd: Booleans) -> NDArray[np.intp]:
    """(D,) the label of each detection; those left at OKS 0.5 are matched at 0.1."""
    person: NDArray[np.intp] = match(table, ignored, crowd, np.array([MATCHED_FIRST]))[0]
    rest = np.flatnonzero(person < 0)
    free = np.setdiff1d(np.arange(table.shape[1]), person[person >= 0])
    free = np.union1d(free, np.flatnonzero(crowd)).astype(np.intp)
    again = match(
        table[np.ix_(rest, free)], ignored[free], crowd[free], np.array([MATCHED_AT_ALL])
    )[0]
    person[rest[again >= 0]] = free[again[again >= 0]]
    return person


def _keypoint_kinds(
    image: Comparison,
    person: NDArray[np.intp],
    counted: Booleans,
    sigmas: Floats,
    mirror: Sequence[int],
) -> dict[str, Booleans]:
    """Which keypoints (D, K) of matched detections are of each kind."""
    labels, found = image.labels, image.found
    turned = list(mirror)
    other_side = replace(labels, xy=labels.xy[:, turned], labelled=labels.labelled[:, turned])
    own_side = np.where(labels.labelled, keypoint_similarity(labels, found, sigmas), 0)
    across = np.where(other_side.labelled, keypoint_similarity(other_side, found, sigmas), 0)
    across[..., np.arange(len(turned)) == turned] = 0  # no other side  (D, G, K)
    rows = np.flatnonzero(counted)
    own, inverted, swapped = (np.zeros(found.present.shape) for _ in range(3))
    own[rows], inverted[rows] = own_side[rows, person[rows]], across[rows, person[rows]]
    others = np.maximum(own_side, across)
    others[rows, person[rows]] = 0
    if others.shape[1]:
        swapped[rows] = others.max(axis=1)[rows]
    inverted, swapped = inverted * found.present, swapped * found.present
    counts = np.zeros(found.present.shape, np.bool_)
    counts[rows] = labels.labelled[person[rows]]
    best = np.maximum(np.maximum(own, inverted), swapped)
    good = counts & (own >= GOOD)
    near = counts & ~good & (best >= NEAR)
    jitter = near & (own == best)
    inversion = near & ~jitter & (inverted == best)
    return {
        "good": good,
        JITTER: jitter,
        INVERSION: inversion,
        SWAP: near & ~jitter & ~inversion,
        MISS: counts & (best < NEAR),
    }
