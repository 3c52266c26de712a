"""Where the people of the last frames are expected to be."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

DAMPING = 1.5  # seconds in which an unseen person's speed falls to 1/e
MEASURED = 0.02  # standard deviation of a whole pose's place, sizes
PUSH = 2.0  # how fast a speed wanders, sizes a second, by the root of a second
START = 1.5  # standard deviation of a new person's speed, sizes a second
STRAY = 0.4  # sizes a second that a person may leave its way
HASTE = 0.4  # share of its speed by which that may be wrong while it is not seen
DOUBT = 0.5  # share of the filter's own uncertainty of the speed
MEMORY = 1.0  # seconds for which a keypoint that is not seen is carried along
OUTLIER = 0.02  # agreement below which a keypoint is not its person's, if others agree
SHRINK = 2.0  # seconds in which the remembered size of a person falls to 1/e


@dataclass
class Tracks:
    """T people who are followed, one a row.

    Attributes:
        ids: (T,) int64; -1 for people who are not confirmed.
        xy: (T, K, 2) float64, pixels; (0, 0) for keypoints that are not known.
        seen: (T, K) float64, seconds of the clip when a keypoint was last found; -inf: never.
        velocity: (T, 2) pixels a second.
        spread: (T, 3) variances of place, of place with speed, of speed, in sizes and seconds.
        size: (T,) pixels.
        last: (T,) seconds of the clip when the person was last found.
        frames: (T,) in how many frames the person was found.
        smoothed: (T, K, 2) keypoints after smoothing, pixels.
        smoothed_speed: (T, K, 2) their speed, pixels a second.
    """

    ids: NDArray[np.int64]
    xy: NDArray[np.float64]
    seen: NDArray[np.float64]
    velocity: NDArray[np.float64]
    spread: NDArray[np.float64]
    size: NDArray[np.float64]
    last: NDArray[np.float64]
    frames: NDArray[np.int64]
    smoothed: NDArray[np.float64]
    smoothed_speed: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def begin(cls, xy: NDArray[np.float64], found: NDArray[np.bool_], time: float) -> "Tracks":
        """People (T, K, 2) first seen at ``time``; ``found`` (T, K) says which keypoints."""
        count = len(xy)
        return cls(
            ids=np.full(count, -1, np.int64),
            xy=xy,
            seen=np.where(found, time, -np.inf),
            velocity=np.zeros((count, 2)),
            spread=np.tile([MEASURED**2, 0.0, START**2], (count, 1)),
            size=pose_size(xy, found),
            last=np.full(count, time),
            frames=np.ones(count, np.int64),
            smoothed=xy.copy(),
            smoothed_speed=np.zeros_like(xy),
        )

    def kept(self, which: NDArray[np.bool_]) -> "Tracks":
        """The rows ``which`` (T,) says."""
        return Tracks(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def joined(self, other: "Tracks") -> "Tracks":
        """The rows of both."""
        return Tracks(
            **{
                field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
                for field in fields(self)
            }
        )

    def known(self) -> NDArray[np.bool_]:
        """(T, K) keypoints whose place is known well enough."""
        return self.seen >= self.last[:, None] - MEMORY

    def expected(self, time: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Keypoints (T, K, 2) at ``time``, pixels, and the variance of their place (T, 2).

        Constant speed, damped: an unseen person is expected to stop in the end. The variance is
        greater along a person's way than across it, for who walks may stop or hurry.
        """
        gap = time - self.last
        far = DAMPING * -np.expm1(-gap / DAMPING)
        xy = self.xy + (self.velocity * far[:, None])[:, None]
        doubt = (STRAY + DOUBT * np.sqrt(self.spread[:, 2])) * self.size
        stray = doubt[:, None] + HASTE * np.abs(self.velocity)
        return xy, (stray * gap[:, None]) ** 2

    def found_again(
        self,
        rows: NDArray[np.intp],
        xy: NDArray[np.float64],
        found: NDArray[np.bool_],
        agreement: NDArray[np.float64],
        time: float,
    ) -> None:
        """Move the people of ``rows`` (M,) to the poses (M, K, 2) that they were found in.

        Args:
            rows: Each at most once.
            xy: Keypoints, pixels.
            found: (M, K) which keypoints.
            agreement: (M, K) how near each is to where it was expected, 0..1; 0 where unknown.
            time: Seconds of the clip.
        """
        gap = time - self.last[rows]
        expected = self.expected(time)[0][rows]
        weight = agreement.sum(axis=1)
        off = np.where(found[..., None], xy - expected, 0.0) * agreement[..., None]
        missed = off.sum(axis=1) / np.maximum(weight, 1e-9)[:, None]
        noise = MEASURED**2 * found.shape[1] / np.maximum(weight, 1e-3)
        believed = self._learn_speed(rows, missed, gap, noise)
        known = self.known()[rows]
        outlier = known & (agreement < OUTLIER) & (agreement.max(axis=1) > 0.3)[:, None]
        taken = found & ~outlier
        self.xy[rows] = np.where(taken[..., None], xy, expected + believed[:, None])
        self.seen[rows] = np.where(taken, time, self.seen[rows])
        self.last[rows] = time
        self.frames[rows] += 1
        now = pose_size(self.xy[rows], self.known()[rows])
        self.size[rows] = np.maximum(now, self.size[rows] * np.exp(-gap / SHRINK))

    def _learn_speed(
        self,
        rows: NDArray[np.intp],
        missed: NDArray[np.float64],
        gap: NDArray[np.float64],
        noise: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """A Kalman filter's step (constant velocity, white noise acceleration).

        Args:
            rows: (M,).
            missed: (M, 2) how far the people are from where they were expected, pixels.
            gap: (M,) seconds since they were last found.
            noise: (M,) variance of where they were found, sizes squared.

        Returns:
            The part of ``missed`` that is believed, (M, 2).
        """
        place, mixed, speed = self.spread[rows].T
        far = DAMPING * -np.expm1(-gap / DAMPING)
        left = np.exp(-gap / DAMPING)
        place = place + 2 * far * mixed + far**2 * speed + PUSH**2 * gap**3 / 3
        mixed = left * (mixed + far * speed) + PUSH**2 * gap**2 / 2
        speed = left**2 * speed + PUSH**2 * gap
        whole = place + noise
        gain = mixed / whole
        self.velocity[rows] = self.velocity[rows] * left[:, None] + gain[:, None] * missed
        rest = noise / whole
        self.spread[rows] = np.stack([place * rest, mixed * rest, speed - gain * mixed], axis=1)
        believed: NDArray[np.float64] = missed * (1 - rest)[:, None]
        return believed


def pose_size(xy: NDArray[np.float64], found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How large people (P, K, 2) are, pixels (P,): half the diagonal of their keypoints' box.

    Its square is near COCO's area of a person; unlike the box's own area it is not 0 where all
    keypoints are in a line.
    """
    low = np.where(found[..., None], xy, np.inf).min(axis=1, initial=np.inf)
    high = np.where(found[..., None], xy, -np.inf).max(axis=1, initial=-np.inf)
    sides = np.maximum(high - low, 0)
    return np.asarray(np.maximum(np.hypot(sides[:, 0], sides[:, 1]) / 2, 1.0))
