"""Frames of any sources in, people out, with every step at work at once.

    for result in run(load("model.onnx"), [open_source("clip.mp4", input_type="video")]):
        print(result.frame.index, result.persons)

    read (a thread a source) -> prepare -> network -> decode, track -> draw -> whoever iterates

A thread a step, with bounded queues between them: a slow step makes those before it wait, so memory
does not grow; only a live source then drops frames, by its own policy. All the steps but the ones
in plain Python let go of Python's lock.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from bpnet.errors import DataError
from bpnet.inference.frame_result import Draw, FrameChoice, FrameResult
from bpnet.inference.frames import FrameSource
from bpnet.inference.predictor import Predictor
from bpnet.inference.stages import Channel, EndedError, Flow, StageTimes
from bpnet.inference.tracking import Tracker
from bpnet.pose.persons import PersonKeypoints
from bpnet.spec.tracker import TrackerSettings

FILES_AT_ONCE = 2  # videos that are read side by side; cameras and streams all are


def run(
    predictor: Predictor,
    sources: Sequence[FrameSource],
    *,
    tracker: TrackerSettings | None = None,
    draw: Draw | None = None,
    choice: FrameChoice | None = None,
    flow: Flow | None = None,
    times: StageTimes | None = None,
) -> Generator[FrameResult, None, None]:
    """The result of each frame; in order within a source. Closes the sources at its end.

    Photos and folders come one after the other. Videos, cameras and streams are read side by side
    and share the network's batches, so their results mix. A frame that cannot be used is a result
    with a ``failure``, and the rest goes on; so is the end of a source that fails as a whole.

    Args:
        predictor: The network; at most its batch size of frames are in each queue.
        sources: What is read.
        tracker: Follow people through each video, camera and stream, with these settings.
        draw: Called in a thread of its own for every result that is no failure.
        choice: Which frames of each source are used; None: all.
        flow: Stops the run from another thread: what is under way is left, and the iteration ends.
        times: Filled with what each step has done.

    Raises:
        BpnetError: The network failed.
    """
    line = _Line(
        predictor,
        sources,
        tracker=tracker,
        draw=draw,
        choice=choice or FrameChoice(),
        flow=flow or Flow(),
        times=times or StageTimes(),
    )
    return line.results()


@dataclass(frozen=True)
class _Item:
    """A frame on its way, and the number of its source."""

    number: int
    result: FrameResult


class _Line:
    """The threads of one run and the queues between them."""

    def __init__(
        self,
        predictor: Predictor,
        sources: Sequence[FrameSource],
        *,
        tracker: TrackerSettings | None,
        draw: Draw | None,
        choice: FrameChoice,
        flow: Flow,
        times: StageTimes,
    ) -> None:
        self._predictor = predictor
        self._sources = sources
        self._draw = draw
        self._choice = choice
        self._flow = flow
        self._times = times
        self._trackers = {
            number: Tracker(predictor.backend.contract.skeleton, tracker)
            for number, source in enumerate(sources)
            if tracker is not None and source.moving
        }
        live = bool(sources) and all(_is_live(source) for source in sources)
        # What waits for company is late: of live sources a batch takes no more than one each.
        self._batch = min(predictor.batch_size, len(sources)) if live else predictor.batch_size
        self._patient = not live
        self._readers = _share_out(sources)
        self._read = Channel[_Item](flow, self._batch, writers=len(self._readers))
        self._prepared = Channel[_Item](flow, self._batch)
        self._predicted = Channel[list[_Item]](flow, 1)
        self._decoded = Channel[_Item](flow, self._batch)
        self._drawn = Channel[_Item](flow, self._batch)

    def results(self) -> Generator[FrameResult, None, None]:
        """Starts the threads, gives what comes out, and raises what one of them raised."""
        steps = [self._run_prepare, self._run_network, self._run_decode]
        last = self._decoded
        if self._draw is not None:
            steps.append(self._run_draw)
            last = self._drawn
        readers: list[Future[None]] = []
        with ThreadPoolExecutor(len(self._readers) + len(steps), "bpnet") as pool:
            try:
                readers += [pool.submit(self._run_read, numbers) for numbers in self._readers]
                readers += [pool.submit(step) for step in steps]
                for future in readers:
                    future.add_done_callback(self._stop_on_failure)
                for item in last:
                    yield item.result
            except EndedError:
                pass
            finally:
                self._flow.stop()
                self._close_sources()
        for future in readers:
            if not isinstance(future.exception(), EndedError | None):
                future.result()

    def _close_sources(self) -> None:
        """All of them at once: a stream may take seconds to let go of its connection."""
        with ThreadPoolExecutor(max(1, len(self._readers)), "bpnet closing") as pool:
            for closed in [pool.submit(source.close) for source in self._sources]:
                closed.result()

    def _stop_on_failure(self, future: Future[None]) -> None:
        if future.exception() is not None:
            self._flow.stop()

    def _run_read(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            source = self._sources[number]
            try:
                self._read_source(number, source)
            finally:
                source.close()
        self._read.close()

    def _read_source(self, number: int, source: FrameSource) -> None:
        frames = self._choice.of(source)
        held: _Item | None = None  # the last frame of a file is known when there is no other
        while True:
            with self._times.read.measure():
                frame = next(frames, None)
            if held is not None:
                last = replace(held.result, last=frame is None)
                self._read.put(replace(held, result=last))
            if frame is None:
                self._times.read.frames -= 1
                return
            held = _Item(number, FrameResult(source, frame, frame.failure))
            if _is_live(source):
                self._read.put(held)
                held = None

    def _run_prepare(self) -> None:
        for item in self._read:
            image = item.result.frame.image
            if image is None or item.result.failure is not None:
                self._prepared.put(item)
                continue
            with self._times.prepare.measure():
                try:
                    result = replace(item.result, prepared=self._predictor.prepare(image))
                except DataError as error:
                    said = f"{_title(item.result)}: {error}"
                    result = replace(item.result, failure=said)
            self._prepared.put(replace(item, result=result))
        self._prepared.close()

    def _run_network(self) -> None:
        while items := self._prepared.take(self._batch, patient=self._patient):
            inputs = [each.result.prepared for each in items]
            prepared = [each for each in inputs if each is not None]
            with self._times.network.measure(len(prepared)):
                maps = iter(self._predictor.infer(prepared) if prepared else [])
            self._predicted.put(
                [
                    item
                    if item.result.prepared is None
                    else replace(item, result=replace(item.result, maps=next(maps)))
                    for item in items
                ]
            )
        self._predicted.close()

    def _run_decode(self) -> None:
        for items in self._predicted:
            usable = [each.result for each in items if each.result.maps is not None]
            with self._times.decode.measure(len(usable)):
                maps = [each.maps for each in usable if each.maps is not None]
                prepared = [each.prepared for each in usable if each.prepared is not None]
                people = iter(self._predictor.decode(maps, prepared) if maps else [])
                found = [
                    item if item.result.maps is None else self._tracked(item, next(people))
                    for item in items
                ]
            for item in found:
                self._decoded.put(item)
        self._decoded.close()

    def _tracked(self, item: _Item, persons: PersonKeypoints) -> _Item:
        tracker = self._trackers.get(item.number)
        if tracker is not None:
            persons = tracker.update(persons, item.result.frame.time)
        return replace(item, result=replace(item.result, persons=persons))

    def _run_draw(self) -> None:
        assert self._draw is not None
        for item in self._decoded:
            if item.result.persons is not None:
                with self._times.draw.measure():
                    drawn = self._draw(item.result)
                item = replace(item, result=replace(item.result, drawing=drawn))
            self._drawn.put(item)
        self._drawn.close()


def _is_live(source: FrameSource) -> bool:
    """Whether its frames come when they come."""
    return source.moving and source.count is None


def _share_out(sources: Sequence[FrameSource]) -> list[Iterator[int]]:
    """The numbers of the sources that each reading thread takes, one after the other.

    A live source has a thread of its own; videos share a few; photos and folders share one, so that
    they come in order.
    """
    photos = [number for number, source in enumerate(sources) if not source.moving]
    live = [number for number, source in enumerate(sources) if _is_live(source)]
    videos = [
        number for number, source in enumerate(sources) if source.moving and not _is_live(source)
    ]
    # An iterator that several threads take from; next() of a list's iterator is one step.
    shared = iter(videos)
    readers: list[Iterator[int]] = [iter([number]) for number in live]
    readers += [shared] * min(FILES_AT_ONCE, len(videos))
    return readers + ([iter(photos)] if photos else [])


def _title(result: FrameResult) -> str:
    """What a sentence calls a frame."""
    path = result.frame.record.get("full_image_path")
    return str(path) if path is not None else f"{result.source.name} frame {result.frame.index}"
