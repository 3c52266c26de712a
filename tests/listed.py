"""Sources of frames that are lists, for tests of what comes after the sources."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from spots import write_model, write_spots

from bpnet.inference.frames import Frame
from bpnet.inference.predictor import Predictor, build_predictor


class ListedFrames:
    """A video or photos from a list; an image that is a sentence is a failure.

    Attributes:
        read: how many frames were asked for.
        closed: set when the source was closed.
    """

    frame_rate = 20.0
    dropped = 0

    def __init__(
        self,
        images: Sequence[np.ndarray | str],
        *,
        name: str = "list",
        moving: bool = True,
        live: bool = False,
    ) -> None:
        self.name = name
        self.moving = moving
        self.count = None if live else len(images)
        self.header: dict[str, Any] = {}
        self.read = 0
        self.closed = threading.Event()
        self._images = images
        self._live = live

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            self.read += 1
            if isinstance(image, str):
                yield Frame(None, index, index / 20, failure=image)
            else:
                yield Frame(image, index, index / 20)
        if self._live:
            self.closed.wait()

    def close(self) -> None:
        self.closed.set()


def spots_image(folder: Path, top: tuple[int, int], bottom: tuple[int, int]) -> np.ndarray:
    """(256, 256, 3) uint8 RGB with one person of spots."""
    path = write_spots(folder / "spots.png", [(top, bottom)])
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def spots_predictor(folder: Path, *, batch_size: int = 4) -> Predictor:
    """A predictor that finds people of spots."""
    return build_predictor(write_model(folder / "pair.onnx"), batch_size=batch_size)
