"""Frames of a video file."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from bpnet.errors import DataError
from bpnet.inference.frames import Frame
from bpnet.inference.media import (
    USUAL_RATE,
    Converter,
    Damage,
    PresentationClock,
    decode,
    open_input,
    rate_of,
    reason_of,
    video_stream,
)

LEAST_CUT = 1.0  # seconds that may be missing at the end: files round their duration
LARGEST_SIMPLE = 720  # rows; up to here one thread decodes as fast as anyone needs
THREADS = 4  # that decode larger frames; PyAV then loses up to as many before damage at the end


class VideoSource:
    """The frames of a video file as a player shows them; a ``FrameSource``.

    Times are those of the file, whatever its frame rate does. Damaged frames are left out: each run
    of them is one frame with a ``failure``, and their numbers are not given to others. A file that
    ends earlier than it says ends with a failure.

    Args:
        path: The file; what FFmpeg reads.

    Raises:
        DataError: It is not there or is no video.
    """

    moving = True
    dropped = 0

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.header: dict[str, Any] = {}
        self._path = path
        self._closed = False
        if not path.is_file():
            raise DataError(f"{path} is not there or is not a file; --input takes a video file")
        with self._open() as container:
            stream = self._stream(container)
            self.frame_rate = rate_of(stream)
            self._end = _end(container, stream)
            self.count = _count(stream, self._end, self.frame_rate)

    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order of their presentation."""
        with self._open() as container:
            stream = self._stream(container)
            if stream.height > LARGEST_SIMPLE:
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = THREADS
            reading = _Reading(self.name, Converter(stream), 1 / (self.frame_rate or USUAL_RATE))
            with closing(decode(container, stream)) as items:
                for item in items:
                    if self._closed:
                        return
                    yield from reading.take(item)
            yield from reading.end(self._end)

    def close(self) -> None:
        """End the iteration, and with it let go of the file."""
        self._closed = True

    def _open(self) -> InputContainer:
        try:
            # With "file:" a colon in the name is no protocol.
            return open_input(f"file:{self._path}")
        except av.FFmpegError as error:
            raise DataError(
                f"{self._path} cannot be read as a video: {reason_of(error)}; a recording that was "
                "cut off may lack its index"
            ) from error

    def _stream(self, container: InputContainer) -> VideoStream:
        stream = video_stream(container)
        if stream is None:
            raise DataError(f"{self._path} holds no video that can be decoded")
        return stream


class _Reading:
    """One pass over a file: numbers, times and damage so far."""

    def __init__(self, name: str, converter: Converter, step: float) -> None:
        self._name = name
        self._converter = converter
        self._clock = PresentationClock(step)
        self._index = 0
        self._time = 0.0
        self._longest = 0.0  # seconds between two frames
        self._damaged: list[Damage] = []  # that is still to say

    def take(self, item: av.VideoFrame | Damage) -> Iterator[Frame]:
        """The frame, after the damage before it."""
        if isinstance(item, Damage):
            self._damaged.append(item)
            return
        try:
            image = self._converter.picture(item)
        except av.FFmpegError as error:
            self._damaged.append(Damage(reason_of(error), item.time))
            return
        time = self._clock.at(item.time)
        # Of frames that are decoded in another order than shown, damage is known before its turn.
        due = item.time
        if due is None or all(
            each.presented is None or each.presented < due for each in self._damaged
        ):
            yield from self._damage(f"between {self._time:.2f} s and {time:.2f} s")
        self._longest = max(self._longest, time - self._time)
        self._time = time
        yield Frame(image, self._index, time)
        self._index += 1

    def end(self, expected: float | None) -> Iterator[Frame]:
        """What is to say at the end of a file that says it lasts ``expected`` seconds."""
        yield from self._damage(f"after {self._time:.2f} s, at its end")
        if self._index == 0:
            yield Frame(None, 0, failure=f"{self._name} holds no frames")
        elif expected is not None and expected - self._time > LEAST_CUT + 2 * self._longest:
            said = (
                f"{self._name} is cut short: it says it lasts {expected:.1f} s, its last frame is "
                f"at {self._time:.1f} s"
            )
            yield Frame(None, self._index, self._time, failure=said)

    def _damage(self, when: str) -> Iterator[Frame]:
        """The frame that stands for a run of damaged ones; others without an error may miss too."""
        if not self._damaged:
            return
        reason = self._damaged[0].reason
        said = f"{self._name} is damaged {when}, from frame {self._index} on: {reason}"
        yield Frame(None, self._index, self._time, failure=said)
        self._index += len(self._damaged)
        self._damaged = []


def _end(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the video says it lasts, in seconds; None where it does not."""
    lengths = []
    if stream.duration is not None and stream.time_base is not None:
        lengths.append(float(stream.duration * stream.time_base))
    # Without that, the container's length is that of its longest stream, perhaps of sound.
    if container.duration is not None and (lengths or len(container.streams) == 1):
        lengths.append(container.duration / av.time_base)
    return min(lengths, default=None)


def _count(stream: VideoStream, end: float | None, rate: float | None) -> int | None:
    if stream.frames:
        return int(stream.frames)
    return round(end * rate) if end is not None and rate is not None else None
