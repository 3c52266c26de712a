"""The people of one image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpnet.pose.transform import ImageTransform


@dataclass(frozen=True)
class Person:
    """One of them.

    Attributes:
        xy: (K, 2) float32, pixels; (0, 0) where a keypoint was not found.
        score: (K,) float32; 0 where a keypoint was not found.
        person_score: the higher, the more certain.
        id: the same in every frame of a video; None where people are not tracked.
    """

    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    person_score: float
    id: int | None = None


@dataclass(frozen=True)
class PersonKeypoints:
    """P persons of one image.

    Attributes:
        xy: (P, K, 2) float32, pixels; (0, 0) where a keypoint was not found.
        score: (P, K) float32; 0 where a keypoint was not found.
        person_score: (P,) float32; the higher, the more certain.
        dropped_peaks: candidates for keypoints that were left out, for there were more than the
            decoder considers; above 0, people may be missing.
        ids: (P,) int64, the same for one person in every frame of a video, -1 for who is not
            followed (yet); None where people are not tracked.
    """

    xy: NDArray[np.float32]
    score: NDArray[np.float32]
    person_score: NDArray[np.float32]
    dropped_peaks: int = 0
    ids: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, index: int) -> Person:
        number = None if self.ids is None else int(self.ids[index])
        return Person(self.xy[index], self.score[index], float(self.person_score[index]), number)

    def __iter__(self) -> Iterator[Person]:
        return (self[index] for index in range(len(self)))

    def moved(self, transform: ImageTransform) -> "PersonKeypoints":
        """The same people in the target image of ``transform``."""
        xy = np.where(self.score[..., None] > 0, transform.apply(self.xy), np.float32(0))
        return replace(self, xy=xy.astype(np.float32))
