"""Films: frames at their times, and playable whatever ends the writing."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from test_inference_outputs import full_disk

from bpnet.errors import DataError
from bpnet.inference.mp4 import Mp4Writer

TIMES = [0.0, 0.04, 0.3, 0.31, 1.0, 2.5]  # seconds

KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from bpnet.inference.mp4 import Mp4Writer

film = Mp4Writer(Path(sys.argv[1]), frame_rate=20, endless=sys.argv[2] == "endless")
for number in range(100):
    film.write(np.full((48, 64, 3), number, np.uint8), number / 20)
os.kill(os.getpid(), 9)
"""


def write_noise(film: Mp4Writer, frames: int) -> None:
    for number in range(frames):
        film.write(noise(number), number / 20)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)


def frame_times(path: Path) -> list[float]:
    """Of the frames that can be decoded, without a complaint of the decoder."""
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("endless", [False, True])
def test_frames_keep_their_times_and_colours(tmp_path: Path, endless: bool) -> None:
    path = tmp_path / "film.mp4"
    film = Mp4Writer(path, frame_rate=20, endless=endless)
    image = np.full((48, 64, 3), (200, 40, 90), np.uint8)
    for time in TIMES:
        film.write(image, time)
    assert not path.exists()
    film.close()
    film.close()
    assert frame_times(path) == pytest.approx(TIMES, abs=1e-4)
    assert [each.name for each in tmp_path.iterdir()] == ["film.mp4"]
    with av.open(str(path)) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_allclose(shown.mean((0, 1)), (200, 40, 90), atol=4)


def test_the_last_frame_is_shown_as_long_as_the_one_before(tmp_path: Path) -> None:
    film = Mp4Writer(tmp_path / "film.mp4", frame_rate=20, endless=False)
    for time in (0.0, 0.25, 0.5, 0.75):
        film.write(noise(0), time)
    film.close()
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.0)


def test_times_that_stand_still_go_on(tmp_path: Path) -> None:
    film = Mp4Writer(tmp_path / "film.mp4", frame_rate=None, endless=True)
    for _ in range(3):
        film.write(noise(0), 1.0)
    film.write(noise(0), 1.5)
    film.close()
    times = frame_times(tmp_path / "film.mp4")
    assert times == pytest.approx([0, 0, 0, 0.5], abs=1e-3)
    assert len(set(times)) == 4


def test_odd_and_changing_sizes_fit_the_first(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    film = Mp4Writer(path, frame_rate=20, endless=False)
    for number, size in enumerate([(47, 63), (47, 63), (94, 126), (30, 20), (48, 64)]):
        film.write(np.full((*size, 3), 250, np.uint8), number / 20)
    film.close()
    with av.open(str(path)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert {image.shape for image in images} == {(48, 64, 3)}
    assert images[2].min() > 230
    assert images[3][:, 32].min() > 200  # narrower: black at its sides only
    assert images[3][:, 2].max() < 40


@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("bytes_free", [40_000, 100_000])
def test_a_full_disk_leaves_a_film_of_what_was_done(
    tmp_path: Path, endless: bool, bytes_free: int
) -> None:
    path = tmp_path / "film.mp4"
    film = Mp4Writer(path, frame_rate=20, endless=endless)
    with full_disk(bytes_free):
        with pytest.raises(DataError, match=r"film\.mp4 cannot be written: File too large"):
            write_noise(film, 200)
        film.close()
    times = frame_times(path)
    assert times == pytest.approx([number / 20 for number in range(len(times))], abs=1e-4)
    assert 10 < len(times) < 200
    assert [each.name for each in tmp_path.iterdir()] == ["film.mp4"]


def test_an_end_that_does_not_fit_is_undone(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    for path, missing in ((whole, 0), (tmp_path / "cut.mp4", 100)):
        film = Mp4Writer(path, frame_rate=20, endless=False)
        write_noise(film, 50)
        if missing:
            with full_disk(whole.stat().st_size - missing), pytest.raises(DataError):
                film.close()
        else:
            film.close()
    assert len(frame_times(whole)) == 50
    assert len(frame_times(tmp_path / "cut.mp4")) >= 40


def test_a_film_without_a_whole_fragment_is_not_left(tmp_path: Path) -> None:
    film = Mp4Writer(tmp_path / "film.mp4", frame_rate=20, endless=True)
    with full_disk(200):
        with pytest.raises(DataError):
            write_noise(film, 200)
        film.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["endless", "file"])
def test_a_killed_process_leaves_a_part_that_plays(tmp_path: Path, kind: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "film.mp4"), kind], check=False
    )
    assert killed.returncode == -9
    (part,) = tmp_path.iterdir()
    assert len(frame_times(part)) >= 60
