"""What a live source reads: a camera, a stream on the network, or a file as if it were one."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from bpnet.errors import DataError
from bpnet.inference.addresses import is_address, without_password
from bpnet.inference.image_decoding import as_rgb
from bpnet.inference.media import (
    USUAL_RATE,
    Converter,
    Damage,
    decode,
    open_input,
    rate_of,
    reason_of,
    video_stream,
)

NO_TIMESTAMPS = 0x0080  # FFmpeg's AVFMT_NOTIMESTAMPS: it makes times up, of 25 frames a second
NEARLY = 2.5  # frames that may be missing at the end of what is complete
# Trying again changes nothing, if it never worked.
HOPELESS = (
    av.error.HTTPBadRequestError,
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.ProtocolNotFoundError,
    av.error.FileNotFoundError,
    av.error.PermissionError,
)


class FeedLostError(Exception):
    """No more frames come: the reason, without the address.

    Args:
        reason: half a sentence.
        final: trying again changes nothing.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True)
class Shot:
    """A frame as it came; most are never looked at when the network is slow.

    Attributes:
        presented: when, in seconds of the source's clock; None where it has none.
        picture: makes the (H, W, 3) uint8 RGB picture of it.
    """

    presented: float | None
    picture: Callable[[], NDArray[np.uint8]]


class Feed(Protocol):
    """A connection that can be made again.

    Attributes:
        frame_rate: frames a second, once the first frame has come; None where nobody knows.
        damaged: frames that came broken so far.
    """

    frame_rate: float | None
    damaged: int

    def shots(self) -> Generator[Shot, None, None]:
        """Connect, and give the frames as they come. Ends where the source says that it ends.

        Raises:
            FeedLostError: There is no connection, or no longer.
        """


class CameraFeed:
    """A camera, by its number or device.

    Args:
        camera: 0 for the first, or a device such as ``/dev/video0``.
    """

    def __init__(self, camera: str) -> None:
        self.frame_rate: float | None = None
        self.damaged = 0
        self._camera = camera

    def shots(self) -> Generator[Shot, None, None]:
        """The camera's pictures; never ends but by ``FeedLostError``, which is final."""
        device = self._device()
        if device is not None and not device.exists():
            raise FeedLostError(f"there is no {device}; is it plugged in?", final=True)
        if self._camera.isdecimal():
            capture = cv2.VideoCapture(int(self._camera))
        elif device is not None and device.is_char_device():
            capture = cv2.VideoCapture(self._camera, cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(self._camera)
        try:
            if not capture.isOpened():
                raise FeedLostError(
                    "it cannot be opened; another program may be using it, or this user may not",
                    final=True,
                )
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            self.frame_rate = capture.get(cv2.CAP_PROP_FPS) or None
            yield from self._read(capture)
        finally:
            capture.release()

    def _read(self, capture: cv2.VideoCapture) -> Generator[Shot, None, None]:
        count = 0
        while True:
            try:
                came, pixels = capture.read()
            except cv2.error as error:
                raise FeedLostError(f"it gives no pictures: {error.err}", final=True) from error
            if not came:
                said = f"it gives no more pictures after {count}; was it unplugged?"
                raise FeedLostError(said if count else "it gives no pictures", final=True)
            count += 1
            yield Shot(None, partial(as_rgb, pixels, f"camera {self._camera}"))

    def _device(self) -> Path | None:
        """The camera's file, where there are such."""
        if not self._camera.isdecimal():
            return Path(self._camera)
        return Path(f"/dev/video{self._camera}") if sys.platform == "linux" else None


class AddressFeed:
    """A stream on the network, or a file that is read at the speed at which it is shown.

    What has a length ends at its end, and if that is in seconds, goes on after a lost connection
    where it was. Anything else never ends by itself: when it does, the connection is lost.

    Args:
        address: as FFmpeg takes it (rtsp, rtmp, http, https, udp, ...), or a file.
        timeout: seconds without data after which a connection is lost.
    """

    def __init__(self, address: str, *, timeout: float) -> None:
        self.frame_rate: float | None = None
        self.damaged = 0
        self._address = address
        self._timeout = timeout
        self._on_network = is_address(address)
        self._reached: float | None = None  # seconds of the source's clock

    def shots(self) -> Generator[Shot, None, None]:
        """The stream's frames, those of a file when they are due."""
        try:
            with self._open() as container:
                yield from self._read(container)
        except av.FFmpegError as error:  # its text holds the address
            raise FeedLostError(reason_of(error)) from None

    def _read(self, container: InputContainer) -> Generator[Shot, None, None]:
        stream = video_stream(container)
        if stream is None:
            raise FeedLostError("it holds no video that can be decoded", final=True)
        timed = not int(container.format.flags) & NO_TIMESTAMPS
        behind = self._reached if container.duration else None
        converter = Converter(stream)
        self.frame_rate = rate_of(stream)
        began: tuple[float, float] | None = None  # on our clock and on the file's
        with closing(decode(container, stream)) as items:
            for item in items:
                if isinstance(item, Damage):
                    self.damaged += not item.final
                    if item.final and not self._is_over(container):
                        raise FeedLostError(item.reason, final=not self._on_network)
                    continue
                presented = item.time if timed else None
                if presented is not None:
                    if behind is not None and presented <= behind:
                        continue
                    began = began or (time.monotonic(), presented)
                    if not self._on_network:
                        due = began[0] + presented - began[1]
                        time.sleep(max(0.0, due - time.monotonic()))
                    self._reached = presented
                yield Shot(presented, partial(converter.picture, item))
        if self._on_network and not container.duration and (container.size or 0) <= 0:
            raise FeedLostError("the other side ended it")

    def _open(self) -> InputContainer:
        place = self._address if self._on_network else f"file:{self._address}"
        options = {}
        if self._address.lower().startswith("rtsp"):
            options["rtsp_flags"] = "prefer_tcp"  # lost packets would be damaged pictures
        try:
            return open_input(place, options=options, timeout=self._timeout)
        except av.FFmpegError as error:
            final = not self._on_network or isinstance(error, HOPELESS)
            final = final and self._reached is None
            raise FeedLostError(f"it cannot be opened: {reason_of(error)}", final=final) from None

    def _is_over(self, container: InputContainer) -> bool:
        """Whether a recording has come to its end; servers that do not say its size just stop."""
        if not container.duration or self._reached is None:
            return False
        end = ((container.start_time or 0) + container.duration) / av.time_base
        return end - self._reached < NEARLY / (self.frame_rate or USUAL_RATE)


def check_stream(address: str) -> None:
    """Raises a ``DataError`` where a stream is a file that is not there."""
    if not is_address(address) and not Path(address).is_file():
        raise DataError(
            f"{without_password(address)} is neither a file nor an address such as "
            "rtsp://user:password@camera/stream"
        )


def check_camera(camera: str) -> None:
    """Raises a ``DataError`` where a camera is an address."""
    if is_address(camera):
        raise DataError(
            f"{without_password(camera)} is an address, which --input_type stream takes; camera "
            "takes a number from 0 or a device"
        )
