"""H.264 films without sound, frame by frame, that can be played whatever ends them."""

import contextlib
import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError
from bpnet.files import part_of

logger = logging.getLogger(__name__)

TICKS = 90_000  # a second
HEAD_BYTES = 1 << 16  # more than what closing a film overwrites at its beginning
H264_OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0", "rc-lookahead": "10"}
TELEVISION = 1  # FFmpeg's number of the range 16..235
BT601 = 6  # FFmpeg's number of the colours of OpenCV's YUV
HYBRID_SINCE = (61, 7, 0)  # libavformat that can make a plain film of fragments at the end


class Mp4Writer:
    """Writes one film, in fragments of a second, each valid as soon as it is there.

    Frames keep their times after the first, so a variable frame rate stays. Pictures of another
    size than the first are fitted to it. The file has a temporary name until it is closed.

    Attributes:
        path: The name that the film has at the end.
        frames: written so far.
    """

    def __init__(self, path: Path, *, frame_rate: float | None, endless: bool) -> None:
        """Begin the film; nothing is written before its first frame.

        Args:
            path: The film, .mp4.
            frame_rate: about how many frames a second come, for the bit rate; None: 25.
            endless: leave the fragments as they are at the end; else they become one plain film,
                which players seek faster in, for which 0.1 kB a frame stays in memory.
        """
        self.path = path
        self.frames = 0
        self._rate = Fraction(frame_rate or 25).limit_denominator(1001)
        self._plain = not endless and av.library_versions["libavformat"] >= HYBRID_SINCE
        self._file: _File | None = None
        self._start = 0.0  # time of the first frame, seconds
        self._last_tick = -1
        self._gap = round(TICKS / self._rate)  # ticks between the last two frames
        self._size = (0, 0)  # width and height

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Add the (H, W, 3) uint8 RGB ``image``, shown from ``time`` on, seconds.

        Raises:
            DataError: The film cannot be written.
        """
        try:
            if self._file is None:
                self._open(image)
            frame = av.VideoFrame.from_ndarray(self._planes(image), format="yuv420p")
            frame.color_range, frame.colorspace = TELEVISION, BT601
            frame.time_base = Fraction(1, TICKS)
            if self.frames == 0:
                self._start = time
            tick = max(self._last_tick + 1, round((time - self._start) * TICKS))
            if self._last_tick >= 0:
                self._gap = tick - self._last_tick
            frame.pts = self._last_tick = tick
            self._mux(self._stream.encode(frame))
        except (OSError, av.FFmpegError) as error:
            failed = None if self._file is None else self._file.error
            raise self._failure(failed or error) from error
        self.frames += 1

    def close(self) -> None:
        """End the film and give it its name; a second time does nothing.

        Raises:
            DataError: The end cannot be written; what is there of the film can be played.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        told = file.error is not None
        try:
            if not told:
                self._mux(self._stream.encode(None))
            file.remember()
            self._container.close()
        except (OSError, av.FFmpegError) as error:
            if not told:
                raise self._failure(file.error or error) from error
        finally:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._container.close()
            file.close(self.path)

    def _open(self, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        self._size = (width + width % 2, height + height % 2)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _File(part_of(self.path))
        kind = "hybrid_fragmented" if self._plain else "empty_moov+default_base_moof"
        options = {
            "movflags": f"frag_keyframe+{kind}",
            "frag_duration": "1000000",  # microseconds
            "flush_packets": "1",
        }
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._stream = _add_stream(self._container, self._rate)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, TICKS)
        codec = self._stream.codec_context
        codec.time_base = Fraction(1, TICKS)
        codec.gop_size = max(1, round(4 * self._rate))
        # The network has the processors; beyond a quarter of them the encoder would slow it.
        codec.thread_count = max(1, min(4, (os.cpu_count() or 1) // 4))
        codec.color_range, codec.colorspace = TELEVISION, BT601
        codec.color_primaries = codec.color_trc = BT601

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._gap  # counts of the last frame only
            self._container.mux(packet)

    def _planes(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H*3/2, W) uint8 YUV 4:2:0 of ``image`` at the film's size."""
        width, height = self._size
        down, across = height - image.shape[0], width - image.shape[1]
        if (down, across) != (0, 0):
            if max(down, across) > 1 or min(down, across) < 0:
                image = _fitted(image, self._size)
                down, across = height - image.shape[0], width - image.shape[1]
            image = np.pad(image, ((0, down), (0, across), (0, 0)), mode="edge")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)

    def _failure(self, error: Exception) -> DataError:
        said = getattr(error, "strerror", None) or error
        return DataError(f"{self.path} cannot be written: {said}")


class _File:
    """The film's bytes as FFmpeg writes them, with what it takes to undo a failed ending.

    Attributes:
        error: what the system said when it could not write; nothing is written after it.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._path = path
        self._file = path.open("w+b", buffering=0)
        self._head = b""  # before the end was begun
        self._size = 0

    def write(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def remember(self) -> None:
        """Keep the beginning, which the end of a film overwrites before it is safe."""
        self._size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        self._head = self._file.read(HEAD_BYTES) or b""
        self._file.seek(self._size)

    def close(self, path: Path) -> None:
        """Name the file ``path``; after an error, cut to its whole fragments, or removed."""
        if self.error is not None:
            if self._head:
                self._file.seek(0)
                self._file.write(self._head)
                self._file.truncate(self._size)
            whole = _whole_fragments(self._file)
            self._file.truncate(whole)
            if whole == 0:
                self._path.unlink()
        self._file.close()
        if self._path.exists():
            self._path.replace(path)


def _whole_fragments(file: Any) -> int:
    """Bytes up to the end of the last whole fragment; its pictures are in a box ``mdat``."""
    size = file.seek(0, os.SEEK_END)
    start = whole = 0
    while start + 8 <= size:
        file.seek(start)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8 or start + length > size:
            break
        start += length
        if header[4:8] == b"mdat":
            whole = start
    return whole


def _add_stream(container: Any, rate: Fraction) -> Any:
    """H.264 where this FFmpeg has it, else MPEG-4."""
    try:
        return container.add_stream("libx264", rate=rate, options=dict(H264_OPTIONS))
    except av.codec.codec.UnknownCodecError:
        logger.warning("this FFmpeg has no libx264: the film is MPEG-4, not H.264")
        return container.add_stream("mpeg4", rate=rate, options={"qscale": "3"})


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """``image`` within (width, height) ``size`` on black, its proportions kept."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width = max(1, min(size[0], round(image.shape[1] * scale)))
    height = max(1, min(size[1], round(image.shape[0] * scale)))
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    fitted[top : top + height, left : left + width] = small
    return fitted
