"""How sure a difference of AP between two networks is, on the images that it was measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.diagnosis.comparison import Floats
from bpnet.diagnosis.precision import THRESHOLDS, Matches, interpolate

ROUNDS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class ApDifference:
    """AP of one network beside another's, on the same images.

    Attributes:
        before: AP of the first, 0..1; -1 where nobody is labelled.
        after: AP of the second.
        low: Lower end of the interval of ``after - before``, 0..1.
        high: Upper end.
        images: How many images there were.
    """

    before: float
    after: float
    low: float
    high: float
    images: int

    @property
    def drop(self) -> float:
        """AP points (hundredths) that the second has less than the first."""
        return 100 * (self.before - self.after)


def compare_ap(
    before: Sequence[Matches],
    after: Sequence[Matches],
    *,
    rounds: int = ROUNDS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> ApDifference:
    """AP of both, and a paired bootstrap interval of the difference.

    Each round draws as many images as there are, with replacement, the same ones for both networks
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): what an image makes hard for
    both then cancels. The interval lies between percentiles of the rounds' differences.

    Args:
        before: A network's matches, an element an image.
        after: Another's, of the same images in the same order.
        rounds: How often images are drawn.
        confidence: Share of the rounds' differences inside the interval, 0..1.
        seed: Of the draws.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} images beside {len(after)}")
    people = np.array([one.people for one in before], np.int64)
    first, second = _Ranked(before), _Ranked(after)
    once = np.ones(len(people), np.int64)
    whole = first.ap(once, people), second.ap(once, people)
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(rounds if people.any() else 0):
        drawn = generator.integers(0, len(people), len(people))
        times = np.bincount(drawn, minlength=len(people))
        if np.dot(times, people):
            differences.append(second.ap(times, people) - first.ap(times, people))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(differences, [tail, 100 - tail]) if differences else (0.0, 0.0)
    return ApDifference(*whole, low=float(low), high=float(high), images=len(people))


class _Ranked:
    """The D detections of all images, the most certain first, so that drawing is only weighing."""

    def __init__(self, images: Sequence[Matches]) -> None:
        none = np.zeros((len(THRESHOLDS), 0), np.bool_)
        scores: Floats = np.concatenate([np.zeros(0), *[one.score for one in images]])
        order = np.argsort(-scores, kind="stable")
        counts = [len(one.score) for one in images]
        self._image = np.repeat(np.arange(len(images)), counts)[order]  # (D,)
        self._right = np.concatenate([none, *[one.right for one in images]], axis=1)[:, order]
        self._wrong = np.concatenate([none, *[one.wrong for one in images]], axis=1)[:, order]

    def ap(self, times: NDArray[np.int64], people: NDArray[np.int64]) -> float:
        """AP where image i counts ``times[i]`` times, (N,); -1 where nobody is labelled."""
        total = int(np.dot(times, people))
        if not total:
            return -1.0
        weight = times[self._image].astype(np.float64)
        chosen = weight > 0
        right, wrong, weight = self._right[:, chosen], self._wrong[:, chosen], weight[chosen]
        tp, fp = np.cumsum(right * weight, axis=1), np.cumsum(wrong * weight, axis=1)
        return interpolate(tp, fp, total).ap
