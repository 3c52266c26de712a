"""A camera of the least kind: whoever logs in over RTSP gets a clip in H.264, and that was it."""

import base64
import re
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av

TICKS = 90000  # a second (RFC 6184)
SESSION = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
    f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/{TICKS}\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)
ANSWERS = {  # RFC 2326
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SESSION)}\r\n\r\n{SESSION}",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
    "PLAY": "Session: 1\r\n\r\n",
}


@contextmanager
def rtsp_camera(clips: Sequence[Path], *, login: str) -> Iterator[str]:
    """``127.0.0.1:port`` of a camera that plays one clip a client and then hangs up.

    Args:
        clips: MPEG-TS files of H.264; without more, clients are sent away.
        login: user:password.
    """
    left = list(clips)
    wanted = "Basic " + base64.b64encode(login.encode()).decode()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while method := self._request():
                if method == "PLAY":
                    self._play(left.pop(0))
                    return

        def _request(self) -> str:
            """Answer one request; its method, or nothing where the talk is over."""
            lines = list(iter(lambda: self.rfile.readline().strip().decode(), ""))
            if not lines or not left:
                return ""
            given = dict(line.split(": ", 1) for line in lines[1:])
            method = lines[0].split()[0]
            if given.get("Authorization") == wanted:
                code, answer = "200 OK", ANSWERS.get(method, "\r\n")
            else:
                code, answer = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n\r\n'
                method = "none"
            self.wfile.write(f"RTSP/1.0 {code}\r\nCSeq: {given['CSeq']}\r\n{answer}".encode())
            return method

        def _play(self, clip: Path) -> None:
            number = 0
            for seconds, units in _frames(clip):
                for unit in units:
                    kind = 0xE0 if unit is units[-1] else 0x60  # marks the end of a frame
                    ticks = round(seconds * TICKS).to_bytes(4, "big")
                    header = bytes([0x80, kind]) + number.to_bytes(2, "big") + ticks + b"one!"
                    length = len(header) + len(unit)
                    self.wfile.write(b"$\0" + length.to_bytes(2, "big") + header + unit)
                    number += 1

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _frames(clip: Path) -> list[tuple[float, list[bytes]]]:
    """The time of each frame, and its parts (H.264's NAL units)."""
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        start = re.compile(rb"\x00?\x00\x00\x01")
        return [(float(p.pts * p.time_base), start.split(bytes(p))[1:]) for p in packets]
