"""The pipeline of threads: the same people as one by one, and every way to its end."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from listed import ListedFrames, spots_image, spots_predictor

from bpnet.errors import ModelError
from bpnet.inference.frame_result import FrameChoice
from bpnet.inference.frames import Frame
from bpnet.inference.pipeline import run
from bpnet.inference.stages import Flow, StageTimes
from bpnet.spec.tracker import TrackerSettings


def moving_spots(folder: Path, count: int, *, row: int = 60) -> list[np.ndarray]:
    """A person of spots that goes right by two pixels a frame."""
    return [spots_image(folder, (60 + 2 * i, row), (62 + 2 * i, row + 90)) for i in range(count)]


def test_people_are_those_of_the_predictor_whatever_the_sizes(tmp_path: Path) -> None:
    whole = spots_image(tmp_path, (80, 50), (84, 140))
    images = [whole, whole[:, :200], whole[:240], whole, whole[20:], whole[:, :200], whole[:220]]
    predictor = spots_predictor(tmp_path)
    results = list(run(predictor, [ListedFrames(images, moving=False)]))
    assert [result.frame.index for result in results] == list(range(len(images)))
    for image, result in zip(images, results, strict=True):
        alone = predictor(image)
        assert len(alone) >= 1  # the grey of padding looks like one too
        assert result.persons.xy.tobytes() == alone.xy.tobytes()
        assert result.persons.score.tobytes() == alone.score.tobytes()


def test_several_videos_share_batches_and_keep_their_order_and_ids(tmp_path: Path) -> None:
    upper = ListedFrames(moving_spots(tmp_path, 12), name="upper")
    lower = ListedFrames(moving_spots(tmp_path, 9, row=120), name="lower")
    times = StageTimes()
    results = list(
        run(spots_predictor(tmp_path), [upper, lower], tracker=TrackerSettings(), times=times)
    )
    for source, count in ((upper, 12), (lower, 9)):
        own = [result for result in results if result.source is source]
        assert [result.frame.index for result in own] == list(range(count))
        assert [result.persons.ids.tolist() for result in own] == [[1]] * count
        assert [result.last for result in own] == [False] * (count - 1) + [True]
        assert source.closed.is_set()
    assert times.read.frames == times.network.frames == times.decode.frames == 21


def test_a_frame_that_cannot_be_used_does_not_stop_the_rest(tmp_path: Path) -> None:
    person = spots_image(tmp_path, (80, 50), (84, 140))
    source = ListedFrames([person, "b is broken", np.zeros((4, 90, 3), np.uint8), person])
    results = list(run(spots_predictor(tmp_path), [source]))
    assert [result.persons is None for result in results] == [False, True, True, False]
    assert results[1].failure == "b is broken"
    assert results[2].failure.startswith("list frame 2: an image of 90x4 pixels is too small")


def test_reading_waits_for_who_iterates(tmp_path: Path) -> None:
    image = spots_image(tmp_path, (80, 50), (84, 140))
    source = ListedFrames([image] * 1000)
    results = run(spots_predictor(tmp_path, batch_size=2), [source])
    next(results)
    before = -1
    while source.read != before:
        before = source.read
        time.sleep(0.1)
    assert source.read < 20
    results.close()
    assert source.closed.is_set()


def test_a_live_frame_does_not_wait_for_company(tmp_path: Path) -> None:
    image = spots_image(tmp_path, (80, 50), (84, 140))
    sources = [ListedFrames([image], live=True), ListedFrames([image] * 3, live=True)]
    results = run(spots_predictor(tmp_path, batch_size=8), sources)
    assert [len(result.persons) for result in islice(results, 4)] == [1] * 4
    results.close()


def test_another_thread_stops_a_run_that_waits(tmp_path: Path) -> None:
    flow = Flow()
    image = spots_image(tmp_path, (80, 50), (84, 140))
    source = ListedFrames([image], live=True)
    seen = []
    for result in run(spots_predictor(tmp_path), [source], flow=flow):
        seen.append(result)
        flow.stop()
    assert len(seen) == 1
    assert source.closed.is_set()


@pytest.mark.parametrize(
    ("stage", "error"), [("network", ModelError("no memory")), ("draw", ValueError("a bug"))]
)
def test_an_error_of_a_step_is_raised_and_ends_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    predictor = spots_predictor(tmp_path)
    draw: Callable | None = None
    if stage == "draw":
        draw = fail
    else:
        monkeypatch.setattr(predictor.backend, "predict", fail)
    image = spots_image(tmp_path, (80, 50), (84, 140))
    sources = [ListedFrames([image] * 50), ListedFrames([image], live=True)]
    with pytest.raises(type(error), match=str(error)):
        list(run(predictor, sources, draw=draw))
    assert all(source.closed.is_set() for source in sources)


def test_sources_without_frames_give_nothing(tmp_path: Path) -> None:
    predictor = spots_predictor(tmp_path)
    assert list(run(predictor, [ListedFrames([]), ListedFrames([], moving=False)])) == []
    assert list(run(predictor, [])) == []


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (FrameChoice(), [0, 1, "cut", 3, 4, 5]),
        (FrameChoice(skip=2), ["cut", 3, 4, 5]),
        (FrameChoice(every=2), [0, "cut", 3, 5]),
        (FrameChoice(most=2), [0, 1]),
        (FrameChoice(skip=1, every=3, most=2), [1, "cut", 5]),
        (FrameChoice(skip=9), ["cut"]),
    ],
)
def test_frames_are_chosen_and_failures_never_left_out(
    choice: FrameChoice, chosen: list[int | str]
) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    frames = [Frame(image, i) if i != 2 else Frame(None, 2, failure="cut") for i in range(6)]
    assert [frame.failure or frame.index for frame in choice.of(frames)] == chosen
    assert choice.count(5) == len(chosen) - chosen.count("cut")
    assert choice.count(None) is None
