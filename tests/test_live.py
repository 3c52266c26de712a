"""Cameras and streams: what is dropped, lost and connected again, with real clips and servers."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import number_of, sends, serving, wreck_packets, write_clip

from bpnet.errors import DataError
from bpnet.inference.feeds import AddressFeed, FeedLostError, Shot
from bpnet.inference.frames import Frame
from bpnet.inference.live import LiveSource, StreamPolicy, open_camera, open_stream
from bpnet.inference.media import PresentationClock

TIMES = [number / 20 for number in range(20)]
QUICK = StreamPolicy(frames="all", reconnects=2, first_wait=0.01, longest_wait=0.02, timeout=2)
SECRETS = "geheim"
NAME = "http://me:***@{place}/{file}?token=***"


def stream(place: str, file: str, policy: StreamPolicy = QUICK) -> LiveSource:
    return open_stream(f"http://me:{SECRETS}@{place}/{file}?token={SECRETS}", policy=policy)


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames if frame.image is not None]


def test_a_file_comes_at_the_speed_at_which_it_is_shown(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [0.0, 0.1, 0.3])
    source = open_stream(str(path), policy=QUICK)
    started = time.monotonic()
    frames = list(source)
    assert time.monotonic() - started >= 0.3
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.1, 0.3])
    assert (source.moving, source.count, source.dropped) == (True, None, 0)
    assert source.frame_rate is not None
    assert list(source) == []


def test_the_latest_frames_are_kept_and_the_dropped_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", TIMES)
    source = open_stream(str(path), policy=StreamPolicy(queue=2))
    frames = iter(source)
    first = next(frames)
    while source.dropped < 17 and source._thread.is_alive():
        time.sleep(0.01)
    rest = list(frames)
    assert (first.index, first.time) == (0, 0.0)
    assert [frame.index for frame in rest] == [18, 19]
    assert [frame.time for frame in rest] == pytest.approx([0.9, 0.95])
    assert numbers(rest) == [18 % 8, 19 % 8]
    assert source.dropped == 17


def test_nothing_is_dropped_where_all_are_wanted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", TIMES)
    source = open_stream(str(path), policy=StreamPolicy(frames="all", queue=1))
    frames = []
    for frame in source:
        frames.append(frame.index)
        time.sleep(0.06)
    assert frames == list(range(20))
    assert source.dropped == 0


def test_a_stream_that_is_cut_is_connected_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    first = write_clip(tmp_path / "a.ts", TIMES[:10]).read_bytes()
    second = write_clip(tmp_path / "b.ts", TIMES[:6]).read_bytes()
    with serving([sends(first), sends(second)]) as place:
        source = stream(place, "live.ts")
        *frames, last = source
    assert numbers(frames) == [number % 8 for number in [*range(10), *range(6)]]
    assert [frame.index for frame in frames] == list(range(16))
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert times[9] == pytest.approx(0.45)
    assert times[15] - times[10] == pytest.approx(0.25)  # the stream's clock, begun anew
    assert source.reconnects == 1
    name = NAME.format(place=place, file="live.ts")
    assert source.name == name
    assert last.image is None
    assert last.index == 16
    assert last.failure.startswith(f"{name}: it cannot be opened: ")
    assert last.failure.endswith("; 2 attempts to connect again failed")
    assert f"{name}: connected again" in caplog.text
    assert f"{name}: 16 frames, 0 dropped, 0 damaged, 1 reconnects" in caplog.text
    said = capfd.readouterr()
    assert SECRETS not in caplog.text + said.out + said.err + repr(last) + repr(frames[0].record)


def test_a_recording_ends_at_its_end_and_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mp4", TIMES).read_bytes()
    with serving([sends(data[: len(data) * 2 // 3], length=len(data)), sends(data)]) as place:
        source = stream(place, "a.mp4")
        frames = list(source)
    assert source.reconnects == 1
    assert not any(frame.failure for frame in frames)
    shown = numbers(frames)
    assert len(shown) in (19, 20)  # one may have been cut in two
    assert shown[-3:] == [17 % 8, 18 % 8, 19 % 8]


@pytest.mark.parametrize(
    ("file", "answers", "said"),
    [
        ("a.ts", [lambda handler: handler.send_error(401)], "401 Unauthorized"),
        ("a.ts", [lambda handler: handler.send_error(404)], "404 Not Found"),
        ("a.ts", [sends(b"<html>no stream</html>" * 50)], "attempts to connect again failed"),
        ("a.ts", [lambda handler: time.sleep(1.0)], "attempts to connect again failed"),
    ],
)
def test_what_is_no_stream_ends_in_a_sentence_without_the_password(
    file: str, answers: list, said: str, capfd: pytest.CaptureFixture[str], caplog
) -> None:
    policy = StreamPolicy(reconnects=1, first_wait=0.01, timeout=0.3)
    with serving(answers) as place:
        (frame,) = stream(place, file, policy)
    assert frame.image is None
    assert frame.failure.startswith(NAME.format(place=place, file=file))
    assert said in frame.failure
    output = capfd.readouterr()
    assert SECRETS not in frame.failure + caplog.text + output.out + output.err


def test_a_refused_connection_is_tried_again_with_growing_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving([]) as place:
        pass  # its port is free again
    policy = StreamPolicy(reconnects=4, first_wait=0.01, longest_wait=0.03, timeout=1)
    for scheme in ("rtsp", "http"):
        caplog.clear()
        source = open_stream(f"{scheme}://me:{SECRETS}@{place}/x", policy=policy)
        (frame,) = source
        assert "Connection refused; 4 attempts to connect again failed" in frame.failure
        waits = [
            message.rpartition(" in ")[2] for message in caplog.messages if "attempt" in message
        ]
        assert waits == ["0.01 s", "0.02 s", "0.03 s", "0.03 s"]
        assert SECRETS not in frame.failure + caplog.text


def test_a_stream_that_stays_gone_for_thousands_of_attempts_ends_in_a_sentence() -> None:
    def fail() -> Iterator[Shot]:
        raise FeedLostError("it is gone")
        yield

    feed = AddressFeed("rtsp://camera/door", timeout=1)
    feed.shots = fail
    policy = StreamPolicy(reconnects=2000, first_wait=0.0, longest_wait=0.0)
    (last,) = LiveSource(feed, name="door", policy=policy)
    assert last.failure == "door: it is gone; 2000 attempts to connect again failed"


def test_a_silent_stream_is_lost_after_its_timeout(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts", TIMES[:8]).read_bytes()
    ended = threading.Event()

    def stalls(handler) -> None:
        sends(data)(handler)
        handler.wfile.flush()
        ended.wait(5)

    policy = StreamPolicy(frames="all", reconnects=0, timeout=0.8)
    with serving([stalls]) as place:
        *frames, last = stream(place, "a.ts", policy)
        ended.set()
    assert len(frames) == 8
    assert "nothing came in time" in last.failure


def test_damaged_frames_of_a_stream_are_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", TIMES)
    wreck_packets(path, [3, 4])
    source = open_stream(str(path), policy=QUICK)
    assert numbers(list(source)) == [number % 8 for number in range(20) if number not in (3, 4)]
    assert source._feed.damaged == 2


def test_closing_from_elsewhere_ends_the_iteration(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [number / 2 for number in range(40)])
    source = open_stream(str(path))
    timer = threading.Timer(0.3, source.close)
    timer.start()
    assert len(list(source)) <= 2
    source.close()
    timer.join()
    assert not any(each.name == f"reading {source.name}" for each in threading.enumerate())


def test_a_camera_that_stops_ends_with_a_sentence(tmp_path: Path) -> None:
    # OpenCV takes a file for a camera: one that is unplugged after the last frame.
    path = write_clip(tmp_path / "camera.mp4", TIMES[:5])
    source = open_camera(str(path), policy=QUICK)
    *frames, last = source
    assert numbers(frames) == [0, 1, 2, 3, 4]
    assert frames[0].image[5, 5, 0] > 200  # red, not blue
    assert source.name == f"camera {path}"
    assert "it gives no more pictures after 5; was it unplugged?" in last.failure
    assert (last.image, last.index) == (None, 5)


def test_a_camera_that_is_not_there_is_named(tmp_path: Path) -> None:
    (frame,) = open_camera(str(tmp_path / "video9"))
    assert "video9; is it plugged in?" in frame.failure
    (tmp_path / "video9").write_text("no camera")
    (frame,) = open_camera(str(tmp_path / "video9"))
    assert "it cannot be opened" in frame.failure


def test_a_stream_is_an_address_or_a_file() -> None:
    with pytest.raises(DataError, match="gone is neither a file nor an address"):
        open_stream("gone")
    with pytest.raises(DataError, match=r"^me:\*\*\*@camera/live is neither"):
        open_stream("me:geheim@camera/live")
    with pytest.raises(DataError, match=r"^rtsp://me:\*\*\*@camera/live is an address"):
        open_camera("rtsp://me:geheim@camera/live")


def test_a_clock_goes_on_where_a_streams_clock_begins_anew_or_jumps() -> None:
    clock = PresentationClock(0.04)
    seen = [
        clock.at(100.0, waited=None),
        clock.at(100.5, waited=0.1),  # a burst after a pause
        clock.at(2.0, waited=0.2),  # begun anew
        clock.at(2.1, waited=0.3),
        clock.at(9000.0, waited=0.4),  # set right
        clock.at(None, waited=0.5),
        clock.at(9001.0, waited=0.6),
    ]
    assert seen == pytest.approx([0.0, 0.5, 0.7, 0.8, 1.2, 1.7, 2.3])
    file = PresentationClock(0.04)
    seen = [file.at(each) for each in (5.0, 65.0, 65.0, None, 66.0)]
    assert seen == pytest.approx([0.0, 60.0, 60.04, 60.08, 60.12])


@pytest.mark.parametrize(
    "wrong",
    [{"frames": "some"}, {"queue": 0}, {"timeout": 0}, {"first_wait": 9, "longest_wait": 1}],
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StreamPolicy(**wrong)
