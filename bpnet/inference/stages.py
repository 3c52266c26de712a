"""Bounded queues between the threads of a pipeline, which all end together."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class EndedError(Exception):
    """Raised in a stage whose pipeline has ended; nobody else sees it."""


@dataclass
class StageTime:
    """What one stage of a pipeline has done.

    Attributes:
        frames: that went through it.
        seconds: of work; waiting for the stages beside it does not count.
        cpu_seconds: of them, on a processor and in the stage's own thread.
    """

    frames: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def measure(self, frames: int = 1) -> Iterator[None]:
        """Count a block of work on so many frames."""
        began, cpu_began = time.perf_counter(), time.thread_time()
        yield
        self.seconds += time.perf_counter() - began
        self.cpu_seconds += time.thread_time() - cpu_began
        self.frames += frames


@dataclass
class StageTimes:
    """What each step of a pipeline has done so far."""

    read: StageTime = field(default_factory=StageTime)
    prepare: StageTime = field(default_factory=StageTime)
    network: StageTime = field(default_factory=StageTime)
    decode: StageTime = field(default_factory=StageTime)
    draw: StageTime = field(default_factory=StageTime)
    write: StageTime = field(default_factory=StageTime)


class Flow:
    """Whether a pipeline goes on; any thread may stop it, and then every queue of it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: list[Channel[Any]] = []
        self.stopped = False

    def stop(self) -> None:
        """End every stage as soon as it asks for work; a second time does nothing."""
        with self._lock:
            self.stopped = True
            channels = list(self._channels)
        for channel in channels:
            channel.wake()

    def join(self, channel: "Channel[Any]") -> None:
        """Take ``channel`` along when the pipeline stops."""
        with self._lock:
            self._channels.append(channel)


class Channel(Generic[T]):
    """A queue that makes its writers wait when it is full, so memory is bounded.

    Every method but ``close`` raises EndedError once the pipeline has stopped.
    """

    def __init__(self, flow: Flow, size: int, *, writers: int = 1) -> None:
        """A queue of at most ``size`` items, which ends when all its writers have closed it."""
        self._flow = flow
        self._size = size
        self._open_writers = writers
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        flow.join(self)

    def put(self, item: T) -> None:
        """Add an item; waits while the queue is full."""
        with self._changed:
            self._changed.wait_for(lambda: self._flow.stopped or len(self._items) < self._size)
            if self._flow.stopped:
                raise EndedError
            self._items.append(item)
            self._changed.notify_all()

    def take(self, most: int, *, patient: bool = True) -> list[T]:
        """Up to ``most`` items; none when every writer has closed the queue and it is empty.

        Args:
            most: How many; not above the queue's size.
            patient: Wait until there are so many, or no more will come; else take what is there.
        """
        least = most if patient else 1
        with self._changed:
            self._changed.wait_for(
                lambda: self._flow.stopped or self._open_writers == 0 or len(self._items) >= least
            )
            if self._flow.stopped:
                raise EndedError
            items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._changed.notify_all()
            return items

    def __iter__(self) -> Iterator[T]:
        """The items, one after the other."""
        while items := self.take(1):
            yield items[0]

    def close(self) -> None:
        """One writer has no more items."""
        with self._changed:
            self._open_writers -= 1
            self._changed.notify_all()

    def wake(self) -> None:
        """Let everyone who waits see that the pipeline has stopped."""
        with self._changed:
            self._changed.notify_all()
