"""IDF1: how well ids stay with people over a whole clip.

Ristani, Solera, Zou, Cucchiara, Tomasi: "Performance Measures and a Data Set for Multi-Target,
Multi-Camera Tracking", ECCV workshops 2016.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.inference.assignment import assign

LEAST_OKS = 0.5  # of a person found with a true one


@dataclass(frozen=True)
class IdentityFrame:
    """True and found people of one frame.

    Attributes:
        true_ids: (P,).
        found_ids: (Q,).
        similarity: (P, Q) how alike each pair is, 0..1.
    """

    true_ids: NDArray[np.integer]
    found_ids: NDArray[np.integer]
    similarity: NDArray[np.floating]


@dataclass(frozen=True)
class IdentityScore:
    """IDF1 and what it is made of.

    Attributes:
        idf1: 2 ``kept`` / (``true`` + ``found``): 1 where every person has one id of its own.
        matched: Appearances of true people under any id.
        kept: Appearances of people under the one id that serves them best.
        true: Appearances of true people, one a person a frame.
        found: Appearances of ids.
        switches: How often a person's id is another one than when it was last found.
    """

    idf1: float
    matched: int
    kept: int
    true: int
    found: int
    switches: int


def identity_score(
    frames: Sequence[IdentityFrame], *, least_similarity: float = LEAST_OKS
) -> IdentityScore:
    """IDF1 over ``frames``.

    Each true identity is paired with one id at most, and each id with one identity, for the whole
    clip, so that as many appearances agree as can; an appearance agrees where the two people are
    at least ``least_similarity`` alike.
    """
    agree: defaultdict[tuple[int, int], int] = defaultdict(int)
    last: dict[int, int] = {}
    matched = switches = true = found = 0
    for frame in frames:
        alike = frame.similarity >= least_similarity
        true, found = true + len(frame.true_ids), found + len(frame.found_ids)
        for row, column in zip(*np.nonzero(alike), strict=True):
            agree[int(frame.true_ids[row]), int(frame.found_ids[column])] += 1
        for row, column in assign(np.where(alike, frame.similarity, 0.0)):
            person, given = int(frame.true_ids[row]), int(frame.found_ids[column])
            switches += last.get(person, given) != given
            last[person] = given
            matched += 1
    people = sorted({person for person, _ in agree})
    ids = sorted({given for _, given in agree})
    appearances = np.array([[agree[person, given] for given in ids] for person in people], float)
    kept = sum(
        int(appearances[pair]) for pair in assign(appearances.reshape(len(people), len(ids)))
    )
    idf1 = 2 * kept / max(true + found, 1)
    return IdentityScore(idf1, matched, kept, true, found, switches)


def keypoint_similarity(
    true: NDArray[np.floating],
    found: NDArray[np.floating],
    present: NDArray[np.bool_],
    sigmas: Sequence[float],
) -> NDArray[np.float64]:
    """(P, Q) object keypoint similarity, as COCO has it, of true people with people found.

    A keypoint that was not found counts 0. The area is that of the true keypoints' box, times 0.53,
    the mean of COCO's areas to boxes.

    Args:
        true: (P, K, 3) x, y and above 0 where the keypoint is there.
        found: (Q, K, 2).
        present: (Q, K) which of ``found`` are there.
        sigmas: Of the skeleton's K keypoints.
    """
    labelled = true[..., 2] > 0  # (P, K)
    xy = true[..., :2]
    low = np.where(labelled[..., None], xy, np.inf).min(axis=1)
    high = np.where(labelled[..., None], xy, -np.inf).max(axis=1)
    area = np.maximum(0.53 * np.prod(np.maximum(high - low, 1.0), axis=-1), 1.0)  # (P,)
    square = ((xy[:, None] - found[None]) ** 2).sum(axis=-1)  # (P, Q, K)
    spread = 8 * np.asarray(sigmas) ** 2 * area[:, None, None]
    each = np.exp(-square / spread) * present * labelled[:, None]
    return np.asarray(each.sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1)[:, None])
