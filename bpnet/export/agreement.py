"""Do two networks find the same people?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

LEAST_SIMILARITY = 0.5  # OKS, from which two findings are one person
SAME_PLACE = 0.1  # pixels of the photo


@dataclass(frozen=True)
class Agreement:
    """The people of an exported model beside those of the trained network.

    Attributes:
        trained: People that the trained network finds.
        exported: People that the exported model finds.
        matched: People that both find.
        score_share: The part of all person scores, of both, that is on people whom both find:
            unlike ``share``, hardly moved by the least certain people.
        changed_keypoints: Keypoints of matched people that only one of the two finds.
        mean_shift: Mean distance of the keypoints that both find, pixels of the photo.
        largest_shift: The largest one.
    """

    trained: int = 0
    exported: int = 0
    matched: int = 0
    score_share: float = 1.0
    changed_keypoints: int = 0
    mean_shift: float = 0.0
    largest_shift: float = 0.0

    @property
    def share(self) -> float:
        """People that both find among all people found, 0..1; 1 where nobody is found."""
        every = self.trained + self.exported - self.matched
        return self.matched / every if every else 1.0

    @property
    def identical(self) -> bool:
        """The same people with the same keypoints at the same places."""
        alike = self.trained == self.exported == self.matched and not self.changed_keypoints
        return alike and self.largest_shift <= SAME_PLACE

    def line(self) -> str:
        """A sentence for a terminal."""
        if self.identical:
            return f"the same {self.trained} people"
        return (
            f"{self.matched} of {self.trained} people found again, {self.exported - self.matched} "
            f"others, {self.score_share:.1%} alike by their scores; keypoints moved "
            f"{self.mean_shift:.2f} pixels on average, at most {self.largest_shift:.1f}; "
            f"{self.changed_keypoints} appeared or vanished"
        )


class AgreementCount:
    """Counts people over many images."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._sigmas = np.asarray(skeleton.sigmas, np.float64)
        self._trained = self._exported = self._changed = 0
        self._shifts: list[NDArray[np.float64]] = []
        self._matched = 0
        self._scores = self._alike = 0.0

    def add(self, trained: PersonKeypoints, exported: PersonKeypoints) -> None:
        """The people of one image, in its pixels."""
        self._trained += len(trained)
        self._exported += len(exported)
        self._scores += float(trained.person_score.sum() + exported.person_score.sum())
        for mine, theirs in match_people(trained, exported, self._sigmas):
            self._matched += 1
            self._alike += float(trained.person_score[mine] + exported.person_score[theirs])
            both = (trained.score[mine] > 0) & (exported.score[theirs] > 0)
            either = (trained.score[mine] > 0) | (exported.score[theirs] > 0)
            self._changed += int(np.count_nonzero(either & ~both))
            shift = trained.xy[mine][both].astype(np.float64) - exported.xy[theirs][both]
            self._shifts.append(np.hypot(shift[:, 0], shift[:, 1]))

    def result(self) -> Agreement:
        """What was counted so far."""
        shifts = np.concatenate([np.zeros(0), *self._shifts])
        return Agreement(
            trained=self._trained,
            exported=self._exported,
            matched=self._matched,
            score_share=self._alike / self._scores if self._scores else 1.0,
            changed_keypoints=self._changed,
            mean_shift=float(shifts.mean()) if len(shifts) else 0.0,
            largest_shift=float(shifts.max(initial=0.0)),
        )


def match_people(
    first: PersonKeypoints, second: PersonKeypoints, sigmas: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Pairs (index in first, index in second) of the same person, the most similar first.

    Similarity is COCO's OKS with the person of ``first`` as the label, over the keypoints that
    either has; one that only one of them has counts 0. Each person is in one pair at most.

    Args:
        first: People of an image.
        second: Other findings in the same image.
        sigmas: (K,) of the keypoints.
    """
    table = np.zeros((len(first), len(second)))
    for index in range(len(first)):
        xy, found = first.xy[index].astype(np.float64), first.score[index] > 0
        if not found.any():
            continue
        sides = np.ptp(xy[found], axis=0)
        # The box of a straight limb has no area, though the person has a size.
        area = max(float(sides.prod()), float(sides.max()) ** 2 / 4, 1.0)  # square pixels
        distance = ((second.xy - xy) ** 2).sum(axis=-1)  # (P, K)
        others = second.score > 0
        terms = np.exp(-distance / (2 * area * (2 * sigmas) ** 2)) * (found & others)
        table[index] = terms.sum(axis=1) / np.maximum((found | others).sum(axis=1), 1)
    pairs = []
    while table.size and table.max() >= LEAST_SIMILARITY:
        mine, theirs = divmod(int(table.argmax()), table.shape[1])
        pairs.append((mine, theirs))
        table[mine] = table[:, theirs] = 0
    return pairs
