"""Small clips, streams of them over HTTP, and damage to files, for tests of video input."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 48, 64
LEVELS = 8  # of grey, by which frames are told apart


def write_clip(
    path: Path,
    times: Sequence[float],
    *,
    aspect: Fraction | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """Frames at ``times`` (seconds): grey by their number, red in the top left quarter."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=20, options={"bf": "0", "crf": "10"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 5
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for number, time in enumerate(times):
            image = np.full((*size, 3), grey(number), np.uint8)
            image[: size[0] // 2, : size[1] // 2] = (250, 0, 0)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(number: int) -> int:
    """The grey value of a frame."""
    return 20 + 25 * (number % LEVELS)


def number_of(image: np.ndarray) -> int:
    """Which frame it is, up to a multiple of ``LEVELS``: by its bottom right corner."""
    return round((float(image[-8:, -8:].mean()) - 20) / 25)


def wreck_packets(path: Path, numbers: Sequence[int]) -> None:
    """Nothing but zeros in some packets of a clip."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        start, length = places[number]
        data[start : start + length] = bytes(length)
    path.write_bytes(data)


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """The matrix a b c d of an MP4's track: (p, q) is shown at (a p + c q, b p + d q)."""
    a, b, c, d = matrix
    data = bytearray(path.read_bytes())
    # ISO/IEC 14496-12, 8.3.2: 40 bytes after the box's name; 16.16 numbers, the last 2.30.
    start = data.index(b"tkhd") + 4 + 40
    numbers = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    data[start : start + 36] = numbers.tobytes()
    path.write_bytes(data)


@contextmanager
def serving(answers: Sequence[Callable[[BaseHTTPRequestHandler], None]]) -> Iterator[str]:
    """``127.0.0.1:port`` of an HTTP server that gives one answer a request, then refuses."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if left:
                left.pop(0)(self)
            else:
                self.send_error(503)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sends(data: bytes, *, length: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer of ``data``, then the connection is cut; ``length`` is what it says to come."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(data)

    return answer
