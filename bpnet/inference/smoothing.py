"""Steadier keypoints: the one-euro filter, in units of a person's size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPEED_CUTOFF = 1.0  # Hz; of the speed that sets the cut-off, as the paper has it
START_ANEW = 0.5  # seconds; a keypoint not seen for longer is as new


@dataclass(frozen=True)
class OneEuroFilter:
    """Casiez, Roussel, Vogel: "1 Euro Filter: A Simple Speed-based Low-pass Filter", CHI 2012.

    A keypoint at rest is smoothed most, a fast one hardly, so that it does not lag. Speeds are in
    sizes of the person a second: the same settings serve every image size and every distance.

    Attributes:
        cutoff: Cut-off frequency at rest, Hz.
        speed_gain: Hz more for each size a second.
    """

    cutoff: float
    speed_gain: float

    def step(
        self,
        xy: NDArray[np.float64],
        *,
        before: NDArray[np.float64],
        speed: NDArray[np.float64],
        elapsed: NDArray[np.float64],
        size: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The smoothed keypoints (P, K, 2), pixels, and their speed (P, K, 2), pixels a second.

        Args:
            xy: (P, K, 2) keypoints as found, pixels.
            before: (P, K, 2) the last smoothed keypoints.
            speed: (P, K, 2) the last smoothed speed.
            elapsed: (P, K) seconds since ``before``; infinite for keypoints that are new.
            size: (P,) of each person, pixels.
        """
        new = elapsed > START_ANEW
        gap = np.where(new, 1.0, elapsed)[..., None]  # (P, K, 1)
        moved = (xy - before) / np.maximum(gap, 1e-6)
        speed = speed + _share(SPEED_CUTOFF, gap) * (moved - speed)
        pace = np.hypot(speed[..., 0], speed[..., 1]) / size[:, None]
        cutoff = (self.cutoff + self.speed_gain * pace)[..., None]
        smoothed = before + _share(cutoff, gap) * (xy - before)
        anew = new[..., None]
        return np.where(anew, xy, smoothed), np.where(anew, 0.0, speed)


def _share(cutoff: NDArray[np.float64] | float, gap: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of what is new in the output of a low-pass filter, after ``gap`` seconds."""
    turns = 2 * np.pi * cutoff * gap
    return np.asarray(turns / (1 + turns))
