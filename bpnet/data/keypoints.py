"""A dataset's joints -> the skeleton's keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError, SpecError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec

LABELLED = ("visible", "annotatable", "occluded")  # truncated and not_labeled are not


@dataclass(frozen=True)
class KeypointReader:
    """Reads the joints of one dataset as the keypoints of a skeleton.

    Attributes:
        dataset: Name of the dataset.
        joints: How many joints it has.
        copied: (C, 2) the skeleton's keypoint and the dataset's joint that it is.
        derived: The skeleton's keypoint, and the joints that it is the mean of.
        keypoints: How many keypoints the skeleton has.
        flags: The raw visibility flags that mean labelled.
    """

    dataset: str
    joints: int
    copied: NDArray[np.intp]
    derived: tuple[tuple[int, tuple[int, ...]], ...]
    keypoints: int
    flags: tuple[int, ...]

    @classmethod
    def build(cls, skeleton: Skeleton, spec: DatasetSpec) -> "KeypointReader":
        """The reader from a dataset to a skeleton, matched by name.

        Raises:
            SpecError: They have no keypoint in common, or a visibility flag means nothing known.
        """
        names = spec.people().keypoints
        place = {name: joint for joint, name in enumerate(names)}
        copied, derived = [], []
        for keypoint, name in enumerate(skeleton.keypoints):
            sources = skeleton.derived.get(name, ())
            if name in place:
                copied.append((keypoint, place[name]))
            elif sources and all(source in place for source in sources):
                derived.append((keypoint, tuple(place[source] for source in sources)))
        if not copied:
            raise SpecError(
                f"skeleton {skeleton.name} and dataset {spec.dataset} have no keypoint name in "
                f"common ({skeleton.keypoints[0]}..., {names[0]}...); rename one's keypoints"
            )
        return cls(
            dataset=spec.dataset,
            joints=len(names),
            copied=np.array(copied, np.intp),
            derived=tuple(derived),
            keypoints=len(skeleton.keypoints),
            flags=_labelled_flags(spec),
        )

    def read(self, joints: NDArray[np.float64]) -> NDArray[np.float32]:
        """Keypoints (P, K, 3) float32 of joints (P, joints, 3): x, y in pixels, 1 where labelled.

        A keypoint that the dataset lacks is the mean of its sources where all of them are
        labelled. Unlabelled keypoints are (0, 0, 0).

        Raises:
            DataError: The record has another number of joints than the dataset spec.
        """
        return self.read_all([joints])

    def read_all(self, records: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
        """As ``read``, of several records at once: all their people, one after the other."""
        for joints in records:
            if joints.shape[1] != self.joints and len(joints):
                raise DataError(
                    f"dataset {self.dataset} has {self.joints} keypoints in its spec but "
                    f"{joints.shape[1]} in its records; convert it again with that spec"
                )
        peopled = [joints for joints in records if len(joints)]
        if not peopled:
            return np.zeros((0, self.keypoints, 3), np.float32)
        everyone = np.concatenate(peopled)
        keypoints = np.zeros((len(everyone), self.keypoints, 3), np.float32)
        flags = everyone[..., 2]
        labelled = (flags[..., None] == self.flags).any(axis=-1)  # (P, joints)
        known = np.concatenate([everyone[..., :2], np.ones_like(everyone[..., :1])], axis=-1)
        known[~labelled] = 0
        keypoints[:, self.copied[:, 0]] = known[:, self.copied[:, 1]]
        for keypoint, sources in self.derived:
            complete = labelled[:, sources].all(axis=1)
            keypoints[complete, keypoint] = known[complete][:, sources].mean(axis=1)
        return keypoints


def _labelled_flags(spec: DatasetSpec) -> tuple[int, ...]:
    """The raw visibility flags of a dataset that mean labelled."""
    flags, meanings = spec.visibility_flags.value, spec.visibility_flags.mapping
    missing = sorted(name for name in flags if name not in meanings)
    if missing:
        raise SpecError(
            f"the dataset spec of {spec.dataset} gives visibility {missing[0]} a value but no "
            "mapping; add it under visibility_flags.mapping"
        )
    return tuple(value for name, value in flags.items() if meanings[name] in LABELLED)
