"""People from the outputs of the network in this folder. Needs Python 3.6 and no other library.

The decoder is libbpnet_people.so, which ``make`` builds beside this file; it is the one that
``bpnet`` itself has, with the skeleton and the thresholds of model.h.
"""

import ctypes
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
FloatPointer = ctypes.POINTER(ctypes.c_float)


class _People(ctypes.Structure):
    """``bpnet_pose_people`` of bpnet_pose.h."""

    _fields_ = (
        ("count", ctypes.c_size_t),
        ("keypoints", ctypes.c_size_t),
        ("xy", FloatPointer),
        ("score", FloatPointer),
        ("person_score", FloatPointer),
        ("dropped_peaks", ctypes.c_size_t),
        ("memory", ctypes.c_void_p),
    )


class Person:
    """One person of an image.

    Attributes:
        score: The higher, the more certain.
        keypoints: K of (x, y, score); score 0: not found.
    """

    def __init__(self, score: float, keypoints: "list[tuple[float, float, float]]") -> None:
        self.score = score
        self.keypoints = keypoints

    def moved(self, letterbox: Any) -> "Person":
        """The same person in the frame that ``letterbox``, with a ``to_frame``, was made of."""
        return Person(
            self.score,
            [
                (*letterbox.to_frame(x, y), score) if score > 0 else (x, y, score)
                for x, y, score in self.keypoints
            ],
        )


class Letterbox:
    """How a frame lies in the network's input: scaled, its aspect kept, in the middle.

    The numbers are those of Gst-nvinfer with maintain-aspect-ratio=1 and symmetric-padding=1.

    Attributes:
        left: Columns of padding before it.
        top: Rows of padding above it.
        width: Of the scaled frame, pixels of the input.
        height: Likewise.
    """

    def __init__(self, frame_width: int, frame_height: int, width: int, height: int) -> None:
        # nvinfer reads an even number of rows and columns.
        self._frame = (frame_width // 2 * 2, frame_height // 2 * 2)
        by_width = width * self._frame[1] / self._frame[0]
        if by_width <= height:
            self.width, self.height = width, int(by_width)
        else:
            self.width, self.height = int(height * self._frame[0] / self._frame[1]), height
        self.left, self.top = (width - self.width) // 2, (height - self.height) // 2

    def to_frame(self, x: float, y: float) -> "tuple[float, float]":
        """A point of the network's input, in pixels of the frame; centres at whole numbers."""
        across, down = self._frame[0] / self.width, self._frame[1] / self.height
        return (x + 0.5 - self.left) * across - 0.5, (y + 0.5 - self.top) * down - 0.5


class Network:
    """What contract.json says of the network, and its decoder.

    Attributes:
        contract: The content of contract.json.
        keypoints: Their names.
        limbs: Pairs of keypoints, from 0.
        width: Of the input, pixels.
        height: Of the input, pixels.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        """Load the library in ``folder`` and the contract.json one above.

        Raises:
            FileNotFoundError: The library has not been built.
        """
        library = folder / "libbpnet_people.so"
        if not library.exists():
            raise FileNotFoundError(f"{library} is not there: run make in {folder.parent}")
        text = (folder.parent / "contract.json").read_text(encoding="utf-8")
        self.contract = json.loads(text)["bpnet"]  # type: dict[str, Any]
        skeleton = self.contract["skeleton"]
        self.keypoints = list(skeleton["keypoints"])  # type: list[str]
        self.limbs = [(start, end) for start, end in skeleton["limbs"]]
        self.width, self.height = self.contract["width"], self.contract["height"]
        loaded = ctypes.CDLL(str(library))
        self._decode = loaded.bpnet_network_people
        self._free = loaded.bpnet_network_free
        axes = ctypes.c_size_t * 3
        self._decode.argtypes = (
            FloatPointer,
            axes,
            FloatPointer,
            axes,
            ctypes.POINTER(_People),
            ctypes.c_char_p,
            ctypes.c_size_t,
        )
        self._free.argtypes = (ctypes.POINTER(_People),)
        self._free.restype = None

    def people(
        self, heatmaps: Any, heatmap_shape: "Sequence[int]", pafs: Any, paf_shape: "Sequence[int]"
    ) -> "list[Person]":
        """The people of one image, most certain first, in pixels of the network's input.

        Args:
            heatmaps: Pointer to the float32 values of the network's output.
            heatmap_shape: Its three axes, without the one of the batch.
            pafs: As heatmaps.
            paf_shape: As heatmap_shape.

        Raises:
            ValueError: The outputs are another network's.
        """
        found = _People()
        error = ctypes.create_string_buffer(256)
        axes = ctypes.c_size_t * 3
        status = self._decode(
            ctypes.cast(heatmaps, FloatPointer),
            axes(*heatmap_shape),
            ctypes.cast(pafs, FloatPointer),
            axes(*paf_shape),
            ctypes.byref(found),
            error,
            len(error),
        )
        try:
            if status:
                raise ValueError(error.value.decode("utf-8", "replace"))
            return [_person(found, index) for index in range(found.count)]
        finally:
            self._free(ctypes.byref(found))

    def to_json(self, people: "list[Person]") -> "list[dict[str, Any]]":
        """The people as JSON can hold them, keypoints by name where they were found."""
        return [
            {
                "score": person.score,
                "keypoints": {
                    self.keypoints[index]: [x, y, score]
                    for index, (x, y, score) in enumerate(person.keypoints)
                    if score > 0
                },
            }
            for person in people
        ]


def _person(found: _People, index: int) -> Person:
    first = index * found.keypoints
    return Person(
        found.person_score[index],
        [
            (found.xy[2 * slot], found.xy[2 * slot + 1], found.score[slot])
            for slot in range(first, first + found.keypoints)
        ],
    )
