"""Labelled people beside a skeleton: what they say of its keypoints, limbs and sigmas."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet.data.annotation import Annotation
from bpnet.data.coco import CocoDataset, read_coco, read_subset
from bpnet.data.json_lists import read_lists
from bpnet.errors import DataError, SpecError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.reader import read_spec


@dataclass(frozen=True)
class People:
    """P labelled people.

    Attributes:
        names: The K keypoint names of the labels.
        xy: (P, K, 2) float32, pixels.
        labelled: (P, K) bool.
        scale: (P,) float64, the root of each one's area, pixels.
    """

    names: tuple[str, ...]
    xy: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, dataset: CocoDataset) -> "People":
        """The people of an annotation file that have keypoints."""
        found = [one for image in dataset.images for one in image.annotations if has_pose(one)]
        keypoints = len(dataset.keypoints)
        return cls(
            dataset.keypoints,
            np.array([one.xy for one in found], np.float32).reshape(-1, keypoints, 2),
            np.array([one.visibility > 0 for one in found], bool).reshape(-1, keypoints),
            np.sqrt(np.array([max(one.area, 1.0) for one in found], np.float64)),
        )

    def seen_as(self, skeleton: Skeleton) -> "People":
        """The same people with the keypoints of ``skeleton``, its derived ones as means."""
        shape = (len(self.xy), len(skeleton.keypoints))
        xy, labelled = np.zeros((*shape, 2), np.float32), np.zeros(shape, bool)
        for index, name in enumerate(skeleton.keypoints):
            parts = [name] if name in self.names else skeleton.derived.get(name, ())
            if parts and set(parts) <= set(self.names):
                own = [self.names.index(part) for part in parts]
                xy[:, index] = self.xy[:, own].mean(axis=1)
                labelled[:, index] = self.labelled[:, own].all(axis=1)
        return People(skeleton.keypoints, xy, labelled, self.scale)


def has_pose(one: Annotation) -> bool:
    """Whether an annotation is of one person with a labelled keypoint."""
    return not one.crowd and bool((one.visibility > 0).any())


def find_category(path: Path, wanted: str | None) -> dict[str, Any]:
    """The category of a JSON file that has keypoints, or the one of that name.

    Raises:
        DataError: The file has no such category, or several and ``wanted`` is None.
    """
    entries: list[Any] = []
    read_lists(path, {"categories": entries.append})
    named = [entry for entry in entries if isinstance(entry, dict) and entry.get("keypoints")]
    if wanted is not None:
        named = [entry for entry in named if entry.get("name") == wanted]
    if len(named) == 1:
        return dict(named[0])
    found = ", ".join(str(entry.get("name")) for entry in named)
    if named:
        raise DataError(f"{path} has several categories with keypoints; --category: {found}")
    asked = f"no category `{wanted}`" if wanted is not None else "no category"
    raise DataError(f"{path} has {asked} with keypoints in a list `categories`")


def read_people(path: Path, category: str | None) -> People:
    """The people of an annotation file.

    Raises:
        DataError: It is no COCO keypoint file, or nobody in it has a pose.
    """
    name = str(find_category(path, category).get("name"))
    people = People.of(read_coco(path, category=name))
    if not len(people.xy):
        raise DataError(f"{path} labels no keypoint of any {name}")
    return people


def people_of_file(path: Path, skeleton: Skeleton, *, category: str | None) -> People:
    """The people of an annotation file, with the keypoints of ``skeleton``."""
    return read_people(path, category).seen_as(skeleton)


def people_of_spec(path: Path, skeleton: Skeleton) -> People:
    """The people of a dataset spec's training data, else of its test data.

    Raises:
        SpecError: It has neither.
        DataError: Nobody has a pose.
    """
    spec = read_spec(path, DatasetSpec)
    section = spec.train_data or spec.test_data
    if section is None:
        raise SpecError(f"{path} has neither train_data nor test_data")
    dataset, _ = read_subset(spec, section)
    people = People.of(dataset)
    if not len(people.xy):
        raise DataError(f"{section.annotation_root_dir_path} labels no keypoint of anybody")
    return people.seen_as(skeleton)
