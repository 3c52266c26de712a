"""Streams over RTSP, with a login, and over UDP."""

import socket
import threading
import time
from pathlib import Path

import pytest
from clips import number_of, write_clip
from rtsp import rtsp_camera

from bpnet.inference.live import StreamPolicy
from bpnet.inference.sources import open_source

TIMES = [number / 20 for number in range(20)]
POLICY = StreamPolicy(frames="all", reconnects=1, first_wait=0.01, timeout=1)
DATAGRAM = 7 * 188  # bytes: whole packets of MPEG-TS


def test_an_rtsp_camera_is_logged_into_and_connected_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    clips = [write_clip(tmp_path / f"{n}.ts", TIMES[:n]) for n in (20, 12)]
    with rtsp_camera(clips, login="me:geheim") as place:
        source = open_source(f"rtsp://me:geheim@{place}/a", input_type="stream", policy=POLICY)
        *frames, last = source
    shown = [number_of(frame.image) for frame in frames]
    assert shown == [number % 8 for number in [*range(20), *range(12)]]
    # FFmpeg does not know when the first was, before the second.
    since = [frame.time - frames[1].time for frame in frames[1:20]]
    assert since == pytest.approx(TIMES[:19], abs=0.001)
    assert source.reconnects == 1
    assert last.failure.startswith(f"rtsp://me:***@{place}/a: ")
    output = capfd.readouterr()
    assert "geheim" not in last.failure + caplog.text + output.out + output.err


def test_a_wrong_password_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with rtsp_camera([Path("unseen")], login="me:geheim") as place:
        address = f"rtsp://me:falsch@{place}/a"
        (frame,) = open_source(address, input_type="stream", policy=POLICY)
    assert frame.failure.startswith(f"rtsp://me:***@{place}/a: it cannot be opened: ")
    assert "401 Unauthorized" in frame.failure
    assert "attempt" not in caplog.text


def test_a_stream_over_udp_ends_when_nothing_comes(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts", TIMES).read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not ended.wait(0.1):  # from the start again, until somebody has listened
                for start in range(0, len(data), DATAGRAM):
                    out.sendto(data[start : start + DATAGRAM], ("127.0.0.1", port))
                    time.sleep(0.002)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        policy = StreamPolicy(frames="all", reconnects=0, timeout=1)
        frames = iter(open_source(f"udp://127.0.0.1:{port}", input_type="stream", policy=policy))
        seen = [next(frames) for _ in range(15)]
    finally:
        ended.set()
        sender.join()
    assert [frame.failure for frame in seen] == [None] * 15
    *_, last = frames
    assert "nothing came in time" in last.failure
