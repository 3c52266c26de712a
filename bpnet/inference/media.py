"""Videos and streams by way of FFmpeg (PyAV): frame by frame, as a player shows them."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from bpnet.inference.orientation import UPRIGHT, Orientation, from_display_matrix

COVER = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC
BT709, UNSPECIFIED = 1, 2  # FFmpeg's AVCOL_SPC_BT709 and AVCOL_SPC_UNSPECIFIED
# PyAV before 17 looks neither at the frame's own, nor at these where both are equal; RGB has none.
COLOURS: dict[int, dict[str, Any]] = {
    BT709: {"src_colorspace": "ITU709", "dst_colorspace": "ITU601"},
    7: {"src_colorspace": "SMPTE240M", "dst_colorspace": "ITU601"},
}
LARGEST_SD = 576  # rows; what has more is BT.709 where the file does not say, as players take it
SQUARE = 0.01  # pixels whose sides differ by less count as square
ATTEMPTS = 20  # to go on behind damage, before the rest of a file is given up
USUAL_RATE = 25.0  # frames a second where nothing says
JUMP = 5.0  # seconds by which a live stream's clock may run ahead before it is not believed


@dataclass(frozen=True)
class Damage:
    """What stands in place of a frame that could not be decoded.

    Attributes:
        reason: what FFmpeg says, without the address.
        presented: about when the frame would have been, in seconds; None: unknown.
        final: nothing can follow.
    """

    reason: str
    presented: float | None = None
    final: bool = False


Decoded: TypeAlias = av.VideoFrame | Damage


def open_input(place: str, **settings: Any) -> InputContainer:
    """``av.open`` for reading, whatever bytes the titles in the file are.

    PyAV 19 always takes titles that are no UTF-8, and knows no such argument.
    """
    if int(av.__version__.partition(".")[0]) < 19:
        settings["metadata_errors"] = "replace"
    container: InputContainer = av.open(place, **settings)
    return container


class PresentationClock:
    """Seconds since the first frame, of presentation times that start anywhere or are missing.

    Args:
        step: seconds between frames where nothing says.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._presented: float | None = None
        self._time: float | None = None

    def at(self, presented: float | None, *, waited: float | None = None) -> float:
        """The time of the next frame: never before the last one's.

        Args:
            presented: seconds, of the file or stream; None: unknown.
            waited: seconds since the last frame came, of a live source: taken where times are
                unknown, start anew (after a lost connection) or jump ahead.
        """
        step = self._step if waited is None else waited
        if presented is not None and self._presented is not None:
            passed = presented - self._presented
            if passed > 0 and (waited is None or passed < waited + JUMP):
                step = passed
        self._presented = presented
        self._time = 0.0 if self._time is None else self._time + step
        return self._time


class Converter:
    """Decoded frames of one stream -> pictures as a player shows them, 8 bits RGB.

    Turned as the file says, with square pixels, and in the colours that players take for granted
    where nothing is said (BT.601 up to 576 rows, BT.709 above).
    """

    def __init__(self, stream: VideoStream) -> None:
        self._reformatter = VideoReformatter()
        self._rotation: int | None = None
        self._orientation = UPRIGHT
        aspect = float(stream.sample_aspect_ratio or 1)
        self._stretch = aspect if aspect > 0 and abs(aspect - 1) > SQUARE else 1.0

    def picture(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """The frame as (H, W, 3) uint8 RGB, upright.

        Raises:
            av.FFmpegError: Its pixel format cannot be converted.
        """
        space = int(frame.colorspace)
        if space == UNSPECIFIED and frame.height > LARGEST_SD:
            space = BT709
        shown = self._reformatter.reformat(
            frame,
            width=round(frame.width * self._stretch),
            format="rgb24",
            **COLOURS.get(space, {}),
        )
        rotation = getattr(frame, "rotation", 0)  # the oldest PyAV does not say: as the first frame
        if rotation != self._rotation:
            # Not of every frame: PyAV ties a frame to its side data in a circle, which keeps both
            # until Python's collector comes by, hundreds of frames later.
            self._rotation, self._orientation = rotation, _orientation(frame)
        return self._orientation.apply(np.asarray(shown.to_ndarray(), np.uint8))


def reason_of(error: av.FFmpegError) -> str:
    """What went wrong, without the address, which FFmpeg's text repeats with its password."""
    if isinstance(error, av.error.ExitError):
        return "nothing came in time"
    if isinstance(error, av.error.InvalidDataError):
        return "the data is damaged or not a video"
    return str(error.strerror or type(error).__name__)


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first moving pictures that can be decoded (the cover of a song is none)."""
    for stream in container.streams.video:
        disposition = getattr(getattr(stream, "disposition", None), "value", 0)
        if not disposition & COVER and stream.codec_context is not None:
            return stream
    return None


def rate_of(stream: VideoStream) -> float | None:
    """Frames a second, on average."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def decode(container: InputContainer, stream: VideoStream) -> Generator[Decoded, None, None]:
    """The frames in the order of their presentation, and in its place what was wrong with one."""
    attempts = ATTEMPTS
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            attempts -= 1
            final = attempts == 0 or not isinstance(error, av.error.InvalidDataError)
            if final:
                yield from _decoded(stream, None)
            yield Damage(reason_of(error), final=final)
            if final:
                return
            packets = container.demux(stream)
            continue
        if packet is None:
            return
        yield from _decoded(stream, packet)


def _decoded(stream: VideoStream, packet: "av.Packet[VideoStream] | None") -> Iterator[Decoded]:
    """The frames that a packet completes; None: those that the decoder still has."""
    try:
        frames = stream.codec_context.decode(packet)
    except av.error.EOFError:
        return
    except av.FFmpegError as error:
        presented = None
        if packet is not None and packet.pts is not None and packet.time_base is not None:
            presented = float(packet.pts * packet.time_base)
        yield Damage(reason_of(error), presented)
        return
    for frame in frames:
        if frame.is_corrupt:
            yield Damage("parts of the picture are missing", frame.time)
        else:
            yield frame


def _orientation(frame: av.VideoFrame) -> Orientation:
    everything: Any = frame.side_data  # PyAV's hints do not know that names are keys too
    matrix = everything.get("DISPLAYMATRIX")
    return UPRIGHT if matrix is None else from_display_matrix(bytes(matrix))
