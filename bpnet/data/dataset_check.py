"""Looks for what can be read but cannot be meant: flags, boxes, keypoints, left and right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.data.annotation import Annotation
from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.data.keypoints import KeypointReader
from bpnet.data.summary import count_outside
from bpnet.errors import SpecError
from bpnet.pose.skeleton import Skeleton, side_of
from bpnet.spec.dataset import DatasetSpec

IDS_SHOWN = 5
LEAST_COMPARED = 10  # people, before left and right of a whole file are judged
NEAR = 0.05  # of the longer box side: a pair closer than that points nowhere
AGREED = 1.5  # length of the sum of the other pairs' directions: at least two more one way
CROSSING = 0.02  # of people; a pair that crosses more often does so by itself
OPPOSED = -0.8  # cosine of two pairs that point against each other


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a dataset, or looks so.

    Attributes:
        error: Training would learn something false or stop; otherwise have a look.
        sentence: What and where, with ids.
    """

    error: bool
    sentence: str


def check_dataset(
    dataset: CocoDataset, spec: DatasetSpec, *, crossed: bool = True
) -> list[Finding]:
    """What is wrong, or looks wrong, with an annotation file and its dataset spec.

    Args:
        dataset: The annotation file.
        spec: Its dataset spec.
        crossed: Also point at single people with a left and a right that look exchanged; some of
            them will only sit or turn that way.
    """
    people = [(one, image) for image in dataset.images for one in image.annotations if one.labelled]
    labelled = [one for one, _ in people]
    try:
        skeleton = Skeleton.from_category(spec.people(), spec.dataset)
        KeypointReader.build(skeleton, spec)
    except SpecError as error:
        return [Finding(True, f"the dataset spec: {error}")]
    return [
        *_check_flags(labelled, spec),
        *_check_people(people),
        *_check_names(dataset.images),
        *check_sides(labelled, skeleton, crossed=crossed),
    ]


def check_sides(
    people: Sequence[Annotation], skeleton: Skeleton, *, crossed: bool = True
) -> list[Finding]:
    """Whether left and right look exchanged: of the whole file, of one pair, of some people.

    The pairs of one person (left shoulder to right shoulder, left hip to right hip...) point the
    same way, more or less; one person in twenty of COCO has a pair that does not. And of two eyes
    that are both seen, the left one is on the right of the image.

    Args:
        people: Labelled people.
        skeleton: The keypoints of the dataset.
        crossed: Also point at single people.
    """
    pairs = [(a, b) for a, b in enumerate(skeleton.mirror) if a < b]
    if not people or not pairs:
        return []
    xy = np.array([one.xy for one in people], np.float64)  # (P, K, 2)
    known = np.array([one.visibility > 0 for one in people])  # (P, K)
    sizes = np.array([one.bbox[2:].max() for one in people])[:, None]  # (P, 1)
    first, second = np.array(pairs).T
    both = known[:, first] & known[:, second]  # (P, pairs)
    across = xy[:, first] - xy[:, second]
    length = np.linalg.norm(across, axis=2)
    far = both & (length > NEAR * sizes)
    directions = across * (far / np.maximum(length, 1e-9))[..., None]  # each pair counts the same
    others = directions.sum(axis=1, keepdims=True) - directions
    agreement = np.linalg.norm(others, axis=2)
    compared = far & (agreement >= AGREED)
    opposed = compared & ((directions * others).sum(axis=2) < OPPOSED * agreement)
    findings = _check_eyes(across, both, pairs, skeleton)
    findings += _check_pairs(compared, opposed, pairs, skeleton)
    rare = opposed.sum(axis=0) <= CROSSING * compared.sum(axis=0)  # ankles cross, hips do not
    some = [one.id for one, bad in zip(people, (opposed & rare).any(axis=1), strict=True) if bad]
    if some and crossed:
        findings.append(
            Finding(
                False,
                f"{_people(some)} with a left and a right that lie the other way round than the "
                f"rest of the body, where others seldom do: {_list(some)}",
            )
        )
    return findings


def _check_eyes(
    across: NDArray[np.float64],
    both: NDArray[np.bool_],
    pairs: Sequence[tuple[int, int]],
    skeleton: Skeleton,
) -> list[Finding]:
    """Whether most faces show the left eye on the left of the image, as in a mirror."""
    findings = []
    for place, pair in enumerate(pairs):
        names = [skeleton.keypoints[keypoint] for keypoint in pair]
        if not all("eye" in name.lower() for name in names):
            continue
        # The side is told by the name: whichever keypoint of the pair stands first in the file.
        sides = [side_of(name) for name in names]
        if sorted(sides) != ["l", "r"]:
            continue
        seen = across[both[:, place], place, 0] * (1 if sides[0] == "l" else -1)
        mirrored = int((seen < 0).sum())
        if len(seen) >= LEAST_COMPARED and mirrored > len(seen) / 2:
            findings.append(
                Finding(
                    False,
                    f"{mirrored} of {len(seen)} faces have the left eye on the left of the image: "
                    "left and right look exchanged in the whole file, or mean the viewer's",
                )
            )
    return findings


def _check_pairs(
    compared: NDArray[np.bool_],
    opposed: NDArray[np.bool_],
    pairs: Sequence[tuple[int, int]],
    skeleton: Skeleton,
) -> list[Finding]:
    """Whether a pair lies the other way round than the rest in most people."""
    findings = []
    for place, (a, b) in enumerate(pairs):
        count, bad = int(compared[:, place].sum()), int(opposed[:, place].sum())
        if count >= LEAST_COMPARED and bad > count / 2:
            findings.append(
                Finding(
                    False,
                    f"{skeleton.keypoints[a]} and {skeleton.keypoints[b]} look exchanged: in "
                    f"{bad} of {count} people they lie the other way round than the other pairs",
                )
            )
    return findings


def _check_flags(people: Sequence[Annotation], spec: DatasetSpec) -> Iterable[Finding]:
    meant = np.array(list(spec.visibility_flags.value.values()))
    unknown: dict[int, list[int]] = {}
    for one in people:
        for flag in set(one.visibility[~np.isin(one.visibility, meant)].tolist()):
            unknown.setdefault(flag, []).append(one.id)
    for flag, ids in sorted(unknown.items()):
        yield Finding(
            True,
            f"{_people(ids)} with the visibility flag {flag}, which visibility_flags.value of the "
            f"dataset spec does not name: {_list(ids)}",
        )


def _check_people(people: Sequence[tuple[Annotation, CocoImage]]) -> Iterable[Finding]:
    outside = [one.id for one, image in people if count_outside(one, image)]
    flat = [one.id for one, _ in people if one.bbox[2:].min() <= 0]
    beyond = [
        one.id
        for one, image in people
        if (one.bbox[:2] + one.bbox[2:] > (image.width + 1, image.height + 1)).any()
        or one.bbox.min() < -1
    ]
    corner = [
        one.id for one, _ in people if ((one.xy == 0).all(axis=1) & (one.visibility > 0)).any()
    ]
    miscounted = [
        one.id for one, _ in people if one.num_keypoints != np.count_nonzero(one.visibility > 0)
    ]
    for ids, said in (
        (outside, "with labelled keypoints outside the image"),
        (flat, "with a box without area"),
        (beyond, "with a box that leaves the image (boxes are x, y, width, height)"),
        (corner, "with a labelled keypoint at (0, 0), where unlabelled ones are"),
        (miscounted, "with another num_keypoints than labelled keypoints"),
    ):
        if ids:
            yield Finding(False, f"{_people(ids)} {said}: {_list(ids)}")


def _check_names(images: Sequence[CocoImage]) -> Iterable[Finding]:
    owners: dict[str, list[int]] = {}
    for image in images:
        owners.setdefault(image.file_name, []).append(image.id)
    for name, ids in owners.items():
        if len(ids) > 1:
            yield Finding(False, f"images {_list(ids)} are the same file {name}")


def _people(ids: Sequence[int]) -> str:
    return "1 person" if len(ids) == 1 else f"{len(ids)} people"


def _list(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(str, ids[:IDS_SHOWN])) + more
