"""What a pipeline gives for each frame, and which frames it takes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpnet.inference.frames import Frame, FrameSource
from bpnet.inference.predictor import PreparedImage
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints


@dataclass(frozen=True)
class FrameResult:
    """What came of one frame.

    Attributes:
        source: where the frame is from.
        frame: the frame, as the source gave it.
        failure: why it could not be used, a sentence that names it; None where it could.
        persons: in pixels of the frame, with ids where people are tracked; None on a failure.
        maps: that the people were read from; None on a failure.
        prepared: the network's inputs, whose last the maps cover; None on a failure.
        drawing: (H, W, 3) uint8 RGB, what the pipeline's ``draw`` made of it.
        last: nothing of its source follows; never said of cameras and streams.
    """

    source: FrameSource
    frame: Frame
    failure: str | None = None
    persons: PersonKeypoints | None = None
    maps: PoseMaps | None = None
    prepared: PreparedImage | None = None
    drawing: NDArray[np.uint8] | None = None
    last: bool = False


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of each source are used. Failures are never left out, and do not count.

    Attributes:
        skip: So many of the first are not.
        every: Of the others, one in so many is.
        most: So many at most; None: all.
    """

    skip: int = 0
    every: int = 1
    most: int | None = None

    def of(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The chosen ones of ``frames``; nothing is read past the last of them."""
        position = taken = 0
        for frame in frames:
            if frame.failure is not None:
                yield frame
                continue
            if position >= self.skip and (position - self.skip) % self.every == 0:
                yield frame
                taken += 1
                if taken == self.most:
                    return
            position += 1

    def count(self, frames: int | None) -> int | None:
        """How many of so many frames are chosen; None where nobody knows."""
        if frames is None:
            return None
        chosen = max(0, -((self.skip - frames) // self.every))
        return chosen if self.most is None else min(chosen, self.most)


Draw = Callable[[FrameResult], NDArray[np.uint8]]
"""Draws a result that is no failure; (H, W, 3) uint8 RGB."""
