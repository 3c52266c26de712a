"""Results as files that grow frame by frame: detections.json, COCO results, JSON lines, CSV."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bpnet.inference.frame_result import FrameResult
from bpnet.inference.growing import GrowingFile
from bpnet.inference.results import persons_block
from bpnet.inference.stages import StageTimes
from bpnet.pose.skeleton import Skeleton

COLUMNS = ("source", "image", "frame", "time", "person", "id", "person_score")
KEYPOINT_COLUMNS = ("keypoint", "x", "y", "score")
COCO_KEYPOINTS = (  # the order of COCO's results, https://cocodataset.org/#format-results
    "nose",
    *(
        f"{side}_{name}"
        for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)


class Output(Protocol):
    """Where results go."""

    path: Path

    def write(self, number: int, result: FrameResult) -> None:
        """Write the result that is the ``number``-th of all, from 0.

        Raises:
            DataError: It cannot be written, as where the disk is full; what was written stands.
        """

    def close(self) -> None:
        """End the file, validly whatever came before; a second time does nothing."""


@dataclass
class Counts:
    """What was found: images that could be used, people in them, images that could not."""

    images: int = 0
    people: int = 0
    failed: int = 0


def write_all(
    results: Generator[FrameResult, None, None],
    outputs: Sequence[Output],
    *,
    times: StageTimes | None = None,
    on_result: Callable[[FrameResult], object] | None = None,
) -> Counts:
    """Write every result to every output, and close them whatever ends the results.

    Args:
        results: Of ``bpnet.inference.pipeline.run``; closed at the end.
        outputs: Where they go; closed at the end.
        times: Counts the time spent.
        on_result: Called after each.
    """
    counts = Counts()
    time = (times or StageTimes()).write
    with contextlib.ExitStack() as closing:
        closing.enter_context(contextlib.closing(results))
        for output in outputs:  # ended first: sources may take seconds to let go
            closing.callback(output.close)
        for number, result in enumerate(results):
            with time.measure():
                for output in outputs:
                    output.write(number, result)
            counts.images += result.persons is not None
            counts.failed += result.persons is None
            counts.people += 0 if result.persons is None else len(result.persons)
            if on_result is not None:
                on_result(result)
    return counts


class DetectionsFile:
    """``detections.json`` in TAO's form, an entry an image or frame; memory does not grow."""

    def __init__(self, path: Path, head: Mapping[str, Any], *, pictures: bool) -> None:
        """Begin the file.

        Args:
            path: The file.
            head: What stands before the images.
            pictures: a photo's entry names its drawing, ``viz_id``.

        Raises:
            DataError: It cannot be written.
        """
        self.path = path
        self._pictures = pictures
        lines = [f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
        begun = "{\n" + "".join(lines) + '  "images": ['
        self._file = GrowingFile(path, head=begun, between=",", tail="\n  ]\n}\n")

    def write(self, number: int, result: FrameResult) -> None:
        """Add the entry of an image or frame."""
        entry = result_entry(result)
        if self._pictures and result.drawing is not None and not result.source.moving:
            entry["viz_id"] = number
        lines = [f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items()]
        self._file.append("\n    {\n" + ",\n".join(lines) + "\n    }")

    def close(self) -> None:
        """End the list."""
        self._file.close()


class LinesFile:
    """JSON lines: an object a frame, there to be followed while the file grows."""

    def __init__(self, path: Path) -> None:
        """Begin the file under its own name.

        Raises:
            DataError: It cannot be written.
        """
        self.path = path
        self._file = GrowingFile(path, followed=True)

    def write(self, number: int, result: FrameResult) -> None:
        """Add a line: source, frame, time, and the people or the error."""
        place = {"source": result.source.name, "frame": result.frame.index}
        place["time"] = _seconds(result.frame.time)
        self._file.append(json.dumps({**place, **result_entry(result)}) + "\n")

    def close(self) -> None:
        """End the file."""
        self._file.close()


class CocoFile:
    """COCO's keypoint results, a list with an object a person.

    ``keypoints`` are in COCO's order where they are COCO's seventeen, else in the skeleton's; those
    that are made of others (a neck) are left out. The third number is the keypoint's score.
    ``image_id`` is the input's own (``image_id`` or ``id`` of a JSON list), else the number that
    the file's name is, else the frame's index.
    """

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        """Begin the file.

        Raises:
            DataError: It cannot be written.
        """
        self.path = path
        self._columns = coco_columns(skeleton)
        self._file = GrowingFile(path, head="[", between=",", tail="\n]\n")

    def write(self, number: int, result: FrameResult) -> None:
        """Add the people of an image or frame."""
        if result.persons is None:
            return
        image_id = _image_id(result)
        xy = result.persons.xy[:, self._columns].tolist()
        scores = result.persons.score[:, self._columns].tolist()
        for person, keypoint_scores, score in zip(
            xy, scores, result.persons.person_score.tolist(), strict=True
        ):
            keypoints = [
                round(value, 4)
                for (x, y), certainty in zip(person, keypoint_scores, strict=True)
                for value in (x, y, certainty)
            ]
            entry = {"image_id": image_id, "category_id": 1, "keypoints": keypoints, "score": score}
            self._file.append("\n" + json.dumps(entry))

    def close(self) -> None:
        """End the list."""
        self._file.close()


class TableFile:
    """CSV, a row a keypoint of a person; x and y are empty where it was not found."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        """Begin the file with the names of its columns.

        Raises:
            DataError: It cannot be written.
        """
        self.path = path
        self._keypoints = skeleton.keypoints
        self._file = GrowingFile(path, head=_csv([(*COLUMNS, *KEYPOINT_COLUMNS)]))

    def write(self, number: int, result: FrameResult) -> None:
        """Add the people of an image or frame."""
        persons = result.persons
        if persons is None or not len(persons):
            return
        frame = result.frame
        image = frame.record.get("full_image_path", "")
        place = (result.source.name, image, frame.index, _seconds(frame.time))
        ids = [""] * len(persons) if persons.ids is None else persons.ids.tolist()
        rows = []
        for person, (identity, certainty) in enumerate(
            zip(ids, persons.person_score.tolist(), strict=True)
        ):
            who = (*place, person, identity, round(certainty, 4))
            for name, (x, y), score in zip(
                self._keypoints,
                persons.xy[person].tolist(),
                persons.score[person].tolist(),
                strict=True,
            ):
                where = (round(x, 4), round(y, 4)) if score > 0 else ("", "")
                rows.append((*who, name, *where, round(score, 4)))
        self._file.append(_csv(rows))

    def close(self) -> None:
        """End the file."""
        self._file.close()


def result_entry(result: FrameResult) -> dict[str, Any]:
    """What detections.json says of an image or frame: the source's own words, then the people."""
    entry = dict(result.frame.record)
    if result.source.moving:
        entry |= {"source": result.source.name, "frame": result.frame.index}
        entry["time"] = _seconds(result.frame.time)
    if result.persons is None:
        return {**entry, "error": result.failure}
    return {**entry, **persons_block(result.persons)}


def coco_columns(skeleton: Skeleton) -> list[int]:
    """The skeleton's keypoints that COCO results hold, in their order there."""
    own = [name for name in skeleton.keypoints if name not in skeleton.derived]
    names = COCO_KEYPOINTS if set(own) == set(COCO_KEYPOINTS) else own
    return [skeleton.keypoints.index(name) for name in names]


def _image_id(result: FrameResult) -> Any:
    record = result.frame.record
    for key in ("image_id", "id"):
        if key in record:
            return record[key]
    stem = Path(str(record.get("full_image_path", ""))).stem
    return int(stem) if stem.isdecimal() else result.frame.index


def _seconds(time: float) -> float:
    return round(time, 6)


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
