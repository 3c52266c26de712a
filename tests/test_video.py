"""Frames of video files: when and how a player shows them, and what is said of damage."""

import gc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import number_of, set_display_matrix, wreck_packets, write_clip

from bpnet.errors import DataError
from bpnet.inference.sources import open_source
from bpnet.inference.video import VideoSource

UNEVEN = [0.0, 0.04, 0.14, 0.15, 0.5, 1.25, 1.3, 2.0]  # seconds
EVEN = [number / 10 for number in range(40)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_frames_come_at_their_true_times(tmp_path: Path, suffix: str) -> None:
    source = open_source(str(write_clip(tmp_path / f"a.{suffix}", UNEVEN)), input_type="video")
    frames = list(source)
    assert source.moving
    assert source.count is not None
    assert [frame.index for frame in frames] == list(range(len(UNEVEN)))
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=0.002)
    assert [number_of(frame.image) for frame in frames] == list(range(len(UNEVEN)))
    assert not any(frame.failure for frame in frames)


def test_a_video_can_be_read_again_and_stopped(tmp_path: Path) -> None:
    source = VideoSource(write_clip(tmp_path / "a.mp4", EVEN))
    assert source.count == 40
    assert source.frame_rate == pytest.approx(10, rel=0.02)
    assert len(list(source)) == len(list(source)) == 40
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((0, 1, -1, 0), lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)),
        ((-1, 0, 0, -1), lambda image: cv2.rotate(image, cv2.ROTATE_180)),
        ((0, -1, 1, 0), lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)),
        ((-1, 0, 0, 1), lambda image: cv2.flip(image, 1)),
    ],
)
def test_a_turned_video_is_shown_upright(tmp_path: Path, matrix: tuple, shown) -> None:
    path = write_clip(tmp_path / "a.mp4", [0.0, 0.1])
    stored = next(iter(VideoSource(path))).image
    set_display_matrix(path, matrix)
    image = next(iter(VideoSource(path))).image
    assert np.array_equal(image, shown(stored))
    assert image.flags.c_contiguous


def test_frames_are_let_go_of_without_the_garbage_collector(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", EVEN)

    def alive() -> int:
        return sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        assert len(list(VideoSource(path))) == 40
        assert alive() <= before + 1  # that whose display matrix was read
    finally:
        gc.enable()


def test_pixels_that_are_not_square_become_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [0.0, 0.1], aspect=Fraction(3, 2))
    image = next(iter(VideoSource(path))).image
    assert image.shape == (48, 96, 3)
    assert image[5, 40, 0] > 200  # still within the red quarter
    assert image[5, 55, 0] < 60


def test_large_pictures_have_the_colours_of_high_definition(tmp_path: Path) -> None:
    # PyAV writes BT.601 and does not say so: read as BT.709, red is another one.
    small, large = (
        next(iter(VideoSource(write_clip(tmp_path / f"{rows}.mp4", [0.0], size=(rows, 64))))).image
        for rows in (576, 592)
    )
    assert small[9, 9].tolist() == pytest.approx([250, 0, 0], abs=6)
    assert large[9, 9].tolist() != pytest.approx([250, 0, 0], abs=6)


def test_damage_in_the_middle_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", EVEN)
    wreck_packets(path, [12, 13, 14])  # up to a key frame
    frames = list(VideoSource(path))
    (broken,) = (frame for frame in frames if frame.failure)
    assert broken.image is None
    assert broken.index == 12
    assert "a.mp4 is damaged between 1.10 s and 1.50 s, from frame 12 on" in broken.failure
    whole = [frame for frame in frames if not frame.failure]
    assert [frame.index for frame in whole] == [*range(12), *range(15, 40)]
    assert all(number_of(frame.image) == frame.index % 8 for frame in whole)
    assert [frame.time for frame in whole] == pytest.approx([f.index / 10 for f in whole])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_cut_end_is_named_after_what_could_be_read(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", EVEN)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    *frames, last = VideoSource(path)
    assert len([frame for frame in frames if frame.image is not None]) > 5
    assert last.image is None
    assert "is cut short: it says it lasts 4." in last.failure


def test_the_last_frames_are_named_too(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", EVEN)
    wreck_packets(path, [38, 39])
    *frames, last = VideoSource(path)
    assert len(frames) == 38
    assert "is damaged after 3.70 s, at its end, from frame 38 on" in last.failure


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"notes\.mp4 cannot be read as a video"):
        VideoSource(tmp_path / "notes.mp4")
    with pytest.raises(DataError, match=r"gone\.mp4 is not there"):
        VideoSource(tmp_path / "gone.mp4")
    with av.open(str(tmp_path / "sound.mka"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(DataError, match=r"sound\.mka holds no video"):
        VideoSource(tmp_path / "sound.mka")
    with pytest.raises(DataError, match=r"http://u:\*\*\*@h/a.mp4 is an address"):
        open_source("http://u:geheim@h/a.mp4", input_type="video")


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "plain.mp4", [0.0, 0.1]).rename(tmp_path / "http:a%d.mp4")
    assert len(list(VideoSource(path))) == 2


@pytest.mark.coco
def test_real_clips_are_read_to_their_end(shared_data: Path) -> None:
    source = VideoSource(shared_data / "video" / "one-by-one-person-detection.mp4")
    count, last = 0, None
    for frame in source:
        assert frame.failure is None
        count, last = count + 1, frame
    assert (count, source.count, source.frame_rate) == (1394, 1394, pytest.approx(10))
    assert last.time == pytest.approx(139.3)
    assert last.image.shape == (432, 768, 3)
    demo = [frame.time for frame in VideoSource(shared_data / "video" / "demo.mp4")]
    assert demo == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
