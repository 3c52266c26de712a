"""How fast models find people: milliseconds a stage, and images a second."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bpnet.drawing import draw_persons
from bpnet.inference.predictor import Predictor, PreparedImage
from bpnet.inference.sources import read_image
from bpnet.pose.maps import PoseMaps

STAGES = ("read", "prepare", "network", "decode", "draw")
RANDOM_IMAGES = 8
RANDOM_SIZE = (480, 640)  # height, width in pixels; about that of a COCO photo


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        model: its name in the table.
        predictor: opened; its batch size is the case's.
        threads: of the network, None: all cores.
        streams: callers at once, each with a batch of its own.
    """

    model: str
    predictor: Predictor
    threads: int | None = None
    streams: int = 1


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and their first and third quartile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Spread":
        """The spread of one number or more."""
        low, median, high = np.quantile(np.asarray(numbers), (0.25, 0.5, 0.75))
        return cls(round(float(median), 4), round(float(low), 4), round(float(high), 4))


@dataclass(frozen=True)
class Speed:
    """What was measured of a case.

    Attributes:
        model: its name.
        precision: fp32, fp16, int8 or int8+fp16, as the model says of itself.
        runs_on: the library and device.
        threads: of the network; None: all cores.
        height: of the network's input, pixels.
        width: of the network's input, pixels.
        batch: images a call.
        streams: callers at once.
        ms: of one image in each stage, the stages one after the other.
        call_ms: of one call of the network, as its caller sees it.
        images_per_s: through the network, all streams together.
        one_by_one_per_s: images through all stages with nothing at the same time.
        people: found in an image, on average.
    """

    model: str
    precision: str
    runs_on: str
    threads: int | None
    height: int
    width: int
    batch: int
    streams: int
    ms: dict[str, Spread]
    call_ms: Spread
    images_per_s: Spread
    one_by_one_per_s: Spread
    people: float


@dataclass
class _Times:
    """The seconds of every round of one case."""

    stages: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})
    calls: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    people: int = 0
    size: tuple[int, int] = (0, 0)


def measure_speed(
    cases: Sequence[Case],
    files: Sequence[Path],
    *,
    repeats: int,
    warm_up: int,
    on_round: Callable[[], object] | None = None,
) -> list[Speed]:
    """The speed of each case. Every round takes all in turn, so that what disturbs one does all.

    Args:
        cases: what to measure.
        files: images; each call takes the next ones, and the first again after the last.
        repeats: rounds that count.
        warm_up: rounds before them.
        on_round: called after each case of each round.

    Raises:
        DataError: An image cannot be used.
        ModelError: A model failed.
    """
    times = [_Times() for _ in cases]
    for number in range(warm_up + repeats):
        for case, measured in zip(cases, times, strict=True):
            into = measured if number >= warm_up else _Times()
            count = case.predictor.batch_size * case.streams
            first = number * count
            chosen = [files[(first + index) % len(files)] for index in range(count)]
            _run_round(case, chosen, into)
            if on_round is not None:
                on_round()
    return [_summary(case, measured, repeats) for case, measured in zip(cases, times, strict=True)]


def write_random_images(folder: Path, *, count: int = RANDOM_IMAGES) -> list[Path]:
    """JPEG files of random blobs: their colours and edges cost what those of a photo do."""
    draw = np.random.default_rng(0)
    height, width = RANDOM_SIZE
    paths = []
    for number in range(count):
        coarse = draw.integers(0, 256, (height // 40, width // 40, 3), np.uint8)
        blobs = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = draw.integers(-8, 9, blobs.shape)
        pixels = np.clip(blobs.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        path = folder / f"{number}.jpg"
        path.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())
        paths.append(path)
    return paths


def _run_round(case: Case, files: Sequence[Path], into: _Times) -> None:
    predictor, streams = case.predictor, case.streams
    skeleton = predictor.backend.contract.skeleton
    clock = _laps()
    images = [read_image(path) for path in files]
    into.stages["read"].append(next(clock) / len(files))
    prepared = [predictor.prepare(image) for image in images]
    into.stages["prepare"].append(next(clock) / len(files))

    batches = [prepared[start::streams] for start in range(streams)]
    with ThreadPoolExecutor(streams) as pool:
        next(clock)
        called = list(pool.map(lambda batch: _call(predictor, batch), batches))
        together = next(clock)
    into.stages["network"].append(together / len(files))
    into.together.append(len(files) / together)
    into.calls += [seconds for seconds, _ in called]

    maps = called[0][1]
    count = len(maps)
    next(clock)
    people = predictor.decode(maps, batches[0])
    into.stages["decode"].append(next(clock) / count)
    for image, found in zip(images[::streams], people, strict=True):
        draw_persons(image, found, skeleton)
    into.stages["draw"].append(next(clock) / count)
    into.people += sum(map(len, people))
    into.size = prepared[0].inputs[-1].image.shape[:2]


def _call(predictor: Predictor, batch: Sequence[PreparedImage]) -> tuple[float, list[PoseMaps]]:
    """The seconds of one call of the network, and its maps."""
    begun = time.perf_counter()
    maps = predictor.infer(batch)
    return time.perf_counter() - begun, maps


def _laps() -> Iterator[float]:
    """The seconds since it was last asked, the first time since it was made."""
    last = time.perf_counter()

    def lap() -> float:
        nonlocal last
        begun, last = last, time.perf_counter()
        return last - begun

    return iter(lap, -1.0)


def _summary(case: Case, times: _Times, repeats: int) -> Speed:
    contract = case.predictor.backend.contract
    whole = [sum(stages) for stages in zip(*times.stages.values(), strict=True)]
    return Speed(
        model=case.model,
        precision=contract.precision,
        runs_on=case.predictor.backend.runs_on,
        threads=case.threads,
        height=times.size[0],
        width=times.size[1],
        batch=case.predictor.batch_size,
        streams=case.streams,
        ms={name: Spread.of([1000 * x for x in taken]) for name, taken in times.stages.items()},
        call_ms=Spread.of([1000 * seconds for seconds in times.calls]),
        images_per_s=Spread.of(times.together),
        one_by_one_per_s=Spread.of([1 / seconds for seconds in whole]),
        people=round(times.people / (repeats * case.predictor.batch_size), 2),
    )
