"""What every source of pictures gives: frames, one after the other.

A source that fails as a whole (a stream that stays gone, a camera unplugged, a video cut short)
ends with a last frame that has a ``failure`` and no image: what came before stands, and other
sources go on. What can be known before reading (no such file, no video in it) is raised as a
``DataError`` by ``open_source``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright; None where it could not be used.
        index: of the frame in its source, from 0; frames that were dropped count too.
        time: seconds since the source's first frame; 0 for photos.
        record: what the source says of the frame, kept in the results: ``full_image_path`` of a
            photo, ``image_id`` and the like of a JSON list.
        failure: why it could not be used, a sentence that names the file or stream.
    """

    image: NDArray[np.uint8] | None
    index: int
    time: float = 0.0
    record: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None


class FrameSource(Protocol):
    """A photo, a folder, a list, a video, a camera or a stream.

    Attributes:
        name: as printed, logged and written: never with a password.
        moving: whether frames follow each other in time, so that people can be tracked.
        count: frames that are expected; None where nobody knows.
        frame_rate: frames a second of a video, a camera or a stream, of the latter two known from
            the first frame on; None for photos and where nobody knows.
        header: what the source says besides its frames, kept in the results.
        dropped: frames left out by policy so far.
    """

    name: str
    moving: bool
    count: int | None
    frame_rate: float | None
    header: dict[str, Any]
    dropped: int

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order. Ends with the source; a failure of one frame does not end it."""

    def close(self) -> None:
        """Let go of files, devices and connections; a second time does nothing.

        May be called from another thread than the one that iterates, whose loop then ends.
        """
