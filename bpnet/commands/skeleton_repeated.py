"""OKS sigmas, measured from several labels of the same people."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet.commands.skeleton_labels import find_category, has_pose
from bpnet.data.annotation import Annotation
from bpnet.data.coco import read_coco
from bpnet.errors import DataError, SpecError
from bpnet.inference.assignment import assign
from bpnet.pose.skeleton import Skeleton

SAME_PERSON = 0.5  # least overlap (IoU) of the boxes of two labels of one person
LEAST_REPEATED = 20  # labels of a keypoint, before its sigma is measured


@dataclass(frozen=True)
class Repeated:
    """One person, labelled n times.

    Attributes:
        xy: (n, K, 2) float32, pixels.
        labelled: (n, K) bool.
        area: Square pixels, the mean of the labels'.
    """

    xy: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    area: float


def read_repeated(
    paths: Sequence[Path], keypoints: Sequence[str], *, category: str | None
) -> list[Repeated]:
    """The people that several annotation files label, found by image name and box.

    Args:
        paths: The files.
        keypoints: Names and order of the K keypoints of the result; those that the files do not
            have are never labelled.
        category: Of the files; None: the only one with keypoints.

    Raises:
        SpecError: There is one file only.
        DataError: A file is no COCO keypoint file, or no person is in two of them.
    """
    if len(paths) < 2:
        raise SpecError("--repeated needs two annotation files or more, of the same people")
    files = [_by_image(path, keypoints, category) for path in paths]
    groups: list[Repeated] = []
    for name, first in files[0].items():
        members = [[one] for one in first]
        for other in files[1:]:
            candidates = other.get(name, [])
            overlap = np.array([[_overlap(a, b) for b in candidates] for a in first], np.float64)
            for row, column in assign(np.where(overlap >= SAME_PERSON, overlap, 0.0)):
                members[row].append(candidates[column])
        groups += [_group(labels) for labels in members if len(labels) > 1]
    if not groups:
        raise DataError(
            f"{', '.join(map(str, paths))} have no person in common: images are matched by "
            f"file_name, people by boxes that overlap by {SAME_PERSON} and more"
        )
    return groups


def measure_sigmas(groups: Sequence[Repeated], skeleton: Skeleton) -> dict[str, tuple[float, int]]:
    """Sigma and number of labels of each keypoint that was labelled often enough.

    A sigma of 0 says that the labels are copies of each other.

    COCO's sigma is the standard deviation of a keypoint's labels against the scale, the root of
    the person's area: sigma^2 = E[d^2 / area] (cocodataset.org, keypoints evaluation). d^2 of n
    labels is the sum of the squared distances to their mean, divided by n - 1. Both of a mirror
    pair count together, as labels of one thing.
    """
    count = len(skeleton.keypoints)
    squares: list[list[float]] = [[] for _ in range(count)]
    labels = [0] * count
    for group in groups:
        for index in np.flatnonzero(group.labelled.sum(axis=0) > 1).tolist():
            xy = group.xy[group.labelled[:, index], index].astype(np.float64)  # (n, 2)
            distance = float(np.square(xy - xy.mean(axis=0)).sum()) / (len(xy) - 1)
            for one in {index, skeleton.mirror[index]}:
                squares[one].append(distance / group.area)
                labels[one] += len(xy)
    return {
        name: (float(np.sqrt(np.mean(squares[index]))), labels[index])
        for index, name in enumerate(skeleton.keypoints)
        if labels[index] >= LEAST_REPEATED
    }


def _by_image(
    path: Path, keypoints: Sequence[str], category: str | None
) -> dict[str, list[Annotation]]:
    """The people of each image, by its name, their keypoints in the order of ``keypoints``."""
    dataset = read_coco(path, category=str(find_category(path, category).get("name")))
    order = [
        dataset.keypoints.index(name) if name in dataset.keypoints else -1 for name in keypoints
    ]
    found: dict[str, list[Annotation]] = {}
    for image in dataset.images:
        for one in filter(has_pose, image.annotations):
            visible = np.where(np.array(order) < 0, 0, one.visibility[order])
            moved = dataclasses.replace(one, xy=one.xy[order], visibility=visible)
            found.setdefault(image.file_name, []).append(moved)
    return found


def _overlap(one: Annotation, other: Annotation) -> float:
    """Intersection over union of two boxes."""
    low = np.maximum(one.bbox[:2], other.bbox[:2])
    high = np.minimum(one.bbox[:2] + one.bbox[2:], other.bbox[:2] + other.bbox[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(one.bbox[2:]) + np.prod(other.bbox[2:])) - common
    return common / union if union > 0 else 0.0


def _group(labels: Sequence[Annotation]) -> Repeated:
    return Repeated(
        np.array([one.xy for one in labels]),
        np.array([one.visibility > 0 for one in labels]),
        max(1.0, float(np.mean([one.area for one in labels]))),
    )
