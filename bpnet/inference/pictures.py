"""Results as pictures: annotated photos and films, and what is drawn on them."""

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.drawing import draw_heatmaps, draw_pafs, draw_persons
from bpnet.errors import DataError
from bpnet.files import replacing
from bpnet.inference.frame_result import Draw, FrameResult
from bpnet.inference.frames import FrameSource
from bpnet.inference.mp4 import Mp4Writer
from bpnet.pose.skeleton import Skeleton

FILM = "Pose_Estimation"  # as NVIDIA's DeepStream app names it
LONGEST_NAME = 60  # characters that a film takes over of its source's name


def make_draw(kind: str, skeleton: Skeleton, *, scores: bool = False) -> Draw:
    """Draws results.

    Args:
        kind: ``people``, on the frame; ``heatmaps`` or ``pafs``, on what the network saw of it.
        skeleton: of the people.
        scores: write people's scores beside them.
    """

    def draw(result: FrameResult) -> NDArray[np.uint8]:
        assert result.persons is not None
        assert result.maps is not None
        assert result.prepared is not None
        if kind == "heatmaps":
            return draw_heatmaps(result.prepared.inputs[-1].image, result.maps, skeleton)
        if kind == "pafs":
            return draw_pafs(result.prepared.inputs[-1].image, result.maps)
        assert result.frame.image is not None
        return draw_persons(result.frame.image, result.persons, skeleton, scores=scores)

    return draw


class PictureFolder:
    """``images_annotated``: photos with what was drawn on them, ``<number>.png``."""

    def __init__(self, path: Path) -> None:
        """Nothing is made before the first photo."""
        self.path = path

    def write(self, number: int, result: FrameResult) -> None:
        """Write a photo's drawing; frames of a video have none here."""
        if result.drawing is None or result.source.moving:
            return
        file = self.path / f"{number}.png"
        done, encoded = cv2.imencode(".png", cv2.cvtColor(result.drawing, cv2.COLOR_RGB2BGR))
        if not done:
            raise DataError(f"{file} cannot be written: PNG does not hold {result.drawing.shape}")
        with replacing(file) as temporary:
            temporary.write_bytes(encoded.tobytes())

    def close(self) -> None:
        """Nothing is left to do."""


class Films:
    """``Pose_Estimation.mp4``; of each of several ``Pose_Estimation_<its name>.mp4``."""

    def __init__(self, path: Path, sources: Sequence[FrameSource]) -> None:
        """Nothing is written before a source's first frame.

        Args:
            path: Folder of the films.
            sources: All that there are, so that no two films have one name.
        """
        self.path = path
        names = film_names([source.name for source in sources if source.moving])
        moving = [source for source in sources if source.moving]
        self._names = {id(source): name for source, name in zip(moving, names, strict=True)}
        self._writers: dict[int, Mp4Writer] = {}

    def write(self, number: int, result: FrameResult) -> None:
        """Add a frame's drawing to its source's film, and end the film with the source."""
        source = result.source
        key = id(source)
        if result.drawing is not None and source.moving:
            if key not in self._writers:
                self._writers[key] = Mp4Writer(
                    self.path / self._names[key],
                    frame_rate=source.frame_rate,
                    endless=source.count is None,
                )
            self._writers[key].write(result.drawing, result.frame.time)
        if result.last and key in self._writers:
            self._writers.pop(key).close()

    def close(self) -> None:
        """End the films that are not yet ended.

        Raises:
            DataError: One cannot be ended as it should; the others are, and all can be played.
        """
        failures = []
        while self._writers:
            try:
                self._writers.popitem()[1].close()
            except DataError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def film_names(sources: Sequence[str]) -> list[str]:
    """A file name for each source: one alone has the name of the DeepStream app's."""
    if len(sources) == 1:
        return [f"{FILM}.mp4"]
    names: list[str] = []
    for source in sources:
        last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
        last = re.sub(r"\.(mp4|mkv|mov|avi|webm|m4v|ts)$", "", last, flags=re.IGNORECASE)
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", last).strip("_.")[:LONGEST_NAME] or "input"
        name, count = f"{FILM}_{plain}.mp4", 1
        while name.lower() in [other.lower() for other in names]:
            count += 1
            name = f"{FILM}_{plain}_{count}.mp4"
        names.append(name)
    return names
