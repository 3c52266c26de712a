"""Frames of cameras and streams: what comes is read at once, what is too much is dropped."""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import av

from bpnet.errors import DataError
from bpnet.inference.addresses import without_password
from bpnet.inference.feeds import (
    AddressFeed,
    CameraFeed,
    Feed,
    FeedLostError,
    Shot,
    check_camera,
    check_stream,
)
from bpnet.inference.frames import Frame
from bpnet.inference.media import PresentationClock, reason_of

logger = logging.getLogger(__name__)

MOST_DOUBLINGS = 32  # of the wait between attempts: by then it is as long as any may be
CLOSING = 1.0  # seconds to wait for the reading thread; it may be waiting for the network


@dataclass(frozen=True)
class StreamPolicy:
    """What a camera or stream does when frames come faster than they are used, or not at all.

    Attributes:
        frames: latest: the oldest frame that waits makes room for a new one and is counted as
            dropped; all: reading waits, and the other side must bear it.
        queue: frames that wait at most.
        reconnects: attempts in a row before a stream is given up; a camera is at once.
        first_wait: seconds before the first attempt; each further one waits twice as long.
        longest_wait: seconds that an attempt waits at most.
        timeout: seconds without data after which a stream counts as lost.
    """

    frames: Literal["latest", "all"] = "latest"
    queue: int = 4
    reconnects: int = 8
    first_wait: float = 1.0
    longest_wait: float = 30.0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.frames not in ("latest", "all"):
            raise ValueError(f"frames is latest or all, not {self.frames!r}")
        if self.queue < 1 or self.reconnects < 0:
            raise ValueError(
                f"queue {self.queue} is below 1, or reconnects {self.reconnects} below 0"
            )
        if self.timeout <= 0 or not 0 <= self.first_wait <= self.longest_wait:
            raise ValueError(
                f"timeout {self.timeout} must be above 0, and first_wait {self.first_wait} from 0 "
                f"to longest_wait {self.longest_wait}"
            )


def open_camera(camera: str, *, policy: StreamPolicy | None = None) -> "LiveSource":
    """The frames of a camera, given as a number from 0 or a device such as ``/dev/video0``.

    Raises:
        DataError: It is an address.
    """
    check_camera(camera)
    return LiveSource(CameraFeed(camera), name=f"camera {camera}", policy=policy or StreamPolicy())


def open_stream(address: str, *, policy: StreamPolicy | None = None) -> "LiveSource":
    """The frames of a stream's address, or of a file as if it were one.

    Raises:
        DataError: It is neither an address nor a file.
    """
    policy = policy or StreamPolicy()
    check_stream(address)
    feed = AddressFeed(address, timeout=policy.timeout)
    return LiveSource(feed, name=without_password(address), policy=policy)


class LiveSource:
    """Frames that come when they come; a ``FrameSource`` that can be iterated once.

    A thread reads from the first iteration on, so that the newest frame is at hand and the other
    side never waits (with the policy ``all``: does). A source that is lost and stays lost ends with
    a frame that has a ``failure``.

    Args:
        feed: What is read.
        name: As printed: without a password.
        policy: When frames are dropped and how connections are made again.

    Attributes:
        reconnects: connections that were made again so far.
    """

    moving = True
    count: int | None = None

    def __init__(self, feed: Feed, *, name: str, policy: StreamPolicy) -> None:
        self.name = name
        self.header: dict[str, Any] = {}
        self.frame_rate: float | None = None
        self.dropped = 0
        self.reconnects = 0
        self._feed = feed
        self._policy = policy
        self._queue: deque[tuple[int, float, Shot]] = deque()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = False  # no more frames are put into the queue
        self._whole = False  # the reading thread came to its end by itself
        self._failure: str | None = None
        self._index = 0  # of the next frame
        self._time = 0.0  # of the last frame

    def __iter__(self) -> Iterator[Frame]:
        """The frames that are not dropped, and a failure where the source is lost."""
        if self._thread is None:
            name = f"reading {self.name}"
            self._thread = threading.Thread(target=self._read, name=name, daemon=True)
            self._thread.start()
            # While FFmpeg waits for the network, PyAV calls Python, which must not have ended.
            atexit.register(self._outlive)
        try:
            while (taken := self._take()) is not None:
                yield self._frame(*taken)
            if self._closed.is_set():
                return
            if not self._whole:
                raise RuntimeError(f"the thread that reads {self.name} failed")
            if self._failure is not None:
                yield Frame(None, self._index, self._time, failure=self._failure)
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration and let go of the camera or connection."""
        first = not self._closed.is_set()
        self._closed.set()
        with self._changed:
            self._queue.clear()
            self._changed.notify_all()
        if first and self._thread is not None:
            self._thread.join(CLOSING)
            if not self._thread.is_alive():
                atexit.unregister(self._outlive)
        if first and self._index:
            logger.info(
                "%s: %s frames, %s dropped, %s damaged, %s reconnects",
                self.name,
                self._index,
                self.dropped,
                self._feed.damaged,
                self.reconnects,
            )

    def _outlive(self) -> None:
        """Let the reading thread end before Python does: it waits ``timeout`` at most."""
        self.close()
        if self._thread is not None:
            self._thread.join(self._policy.timeout + CLOSING)

    def _frame(self, index: int, seconds: float, shot: Shot) -> Frame:
        try:
            return Frame(shot.picture(), index, seconds)
        except (av.FFmpegError, DataError) as error:
            said = reason_of(error) if isinstance(error, av.FFmpegError) else str(error)
            failure = f"{self.name}: frame {index} cannot be used: {said}"
            return Frame(None, index, seconds, failure=failure)

    def _take(self) -> tuple[int, float, Shot] | None:
        """The oldest frame that waits; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended or self._closed.is_set())
            if self._closed.is_set() or not self._queue:
                return None
            taken = self._queue.popleft()
            self._changed.notify_all()
            return taken

    def _read(self) -> None:
        """The reading thread."""
        try:
            self._failure = self._follow()
            self._whole = True
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _follow(self) -> str | None:
        """Put frames into the queue until the source ends; why, if it should not have."""
        clock = PresentationClock(step=0.0)
        came: float | None = None  # when the last frame did
        attempts = 0  # in a row
        while not self._closed.is_set():
            try:
                with closing(self._feed.shots()) as shots:
                    for shot in shots:
                        now = time.monotonic()
                        waited = None if came is None else now - came
                        came = now
                        if attempts:
                            attempts = 0
                            self.reconnects += 1
                            logger.info("%s: connected again", self.name)
                        if not self._offer(shot, clock.at(shot.presented, waited=waited)):
                            return None
                return None
            except FeedLostError as error:
                if self._closed.is_set():
                    return None
                if error.final or attempts == self._policy.reconnects:
                    return self._said(error, attempts)
                doubled = 2.0 ** min(attempts, MOST_DOUBLINGS)
                wait = min(self._policy.first_wait * doubled, self._policy.longest_wait)
                attempts += 1
                logger.warning(
                    "%s: %s; attempt %s of %s to connect again in %g s",
                    self.name,
                    error,
                    attempts,
                    self._policy.reconnects,
                    wait,
                )
                self._closed.wait(wait)
        return None

    def _offer(self, shot: Shot, seconds: float) -> bool:
        """Put a frame into the queue; False where nobody takes it any more."""
        with self._changed:
            if self._policy.frames == "all":
                self._changed.wait_for(
                    lambda: len(self._queue) < self._policy.queue or self._closed.is_set()
                )
            elif len(self._queue) == self._policy.queue:
                self._queue.popleft()
                self.dropped += 1
            if self._closed.is_set():
                return False
            self._queue.append((self._index, seconds, shot))
            self._index += 1
            self.frame_rate = self._feed.frame_rate
            self._time = seconds
            self._changed.notify_all()
            return True

    def _said(self, error: FeedLostError, attempts: int) -> str:
        again = f"; {attempts} attempts to connect again failed" if attempts else ""
        return f"{self.name}: {error}{again}"
