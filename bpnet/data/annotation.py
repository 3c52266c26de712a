"""One image and one annotation of a COCO file, checked as they are read.

The functions raise ``DataError`` with a sentence that begins with the id; ``coco`` adds the file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError

FARTHEST = 1e5  # pixels; a keypoint, box or vertex beyond it is a damaged number, not a person
BODY = "keypoints"  # COCO's own field
VISIBLE = 2  # COCO's flag
LARGEST = 1 << 63  # of an id, which records hold in 64 bits

Entry: TypeAlias = Mapping[str, Any]
Segmentation: TypeAlias = tuple[NDArray[np.float64], ...] | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Annotation:
    """One labelled person, or one crowd region.

    Attributes:
        id: The annotation's id in its file.
        xy: (K, 2) float32, pixels; whatever the file says where a keypoint is not labelled.
        visibility: (K,) int32, the file's raw flags.
        bbox: (4,) float64: x, y, width, height, pixels.
        area: Of the segmentation, square pixels; of the box where the file is silent.
        crowd: The region of many people, none of them labelled one by one.
        segmentation: Polygons of (V, 2) float64 pixels, or COCO's run lengths, or None.
        num_keypoints: Labelled keypoints, as the file says; counted where it is silent.
    """

    id: int
    xy: NDArray[np.float32]
    visibility: NDArray[np.int32]
    bbox: NDArray[np.float64]
    area: float
    crowd: bool
    segmentation: Segmentation
    num_keypoints: int

    @property
    def labelled(self) -> bool:
        """Whether it is one person with keypoints, who is learned from and not masked."""
        return self.num_keypoints > 0 and not self.crowd

    @property
    def center(self) -> NDArray[np.float64]:
        """The centre (2,) of the box, x and y in pixels."""
        return self.bbox[:2] + self.bbox[2:] / 2


def read_id(entry: Entry, key: str, where: str) -> int:
    """An id: a whole number, or the digits of one in a string."""
    value = entry.get(key)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST:
        return value
    raise DataError(f"{where} has `{key}` {value!r}; a whole number is expected")


def read_side(entry: Entry, key: str, where: str) -> int:
    """A number of pixels, at least one."""
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"{where} has `{key}` {value!r}; a number of pixels is expected")
    return value


def read_file_name(entry: Entry, where: str) -> str:
    """A path below the image folder."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not name.strip("./") or "\0" in name:
        raise DataError(
            f"{where} has `file_name` {name!r}; a path below the image folder is needed"
        )
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise DataError(
                f"{where} has `file_name` {name!r}, which leaves the image folder; "
                "give it relative to that folder"
            )
    return name


def read_annotation(
    entry: Entry, number: int, where: str, *, fields: Sequence[str] = (BODY,)
) -> Annotation:
    """An annotation; how many keypoints it must have, and its image's size, are not known yet.

    Args:
        entry: As in the file.
        number: Its id.
        where: What a fault's sentence begins with.
        fields: The keys whose keypoints are put one after the other.

    Raises:
        DataError: One of its values is not what it should be.
    """
    bbox = _read_numbers(entry, "bbox", where, length=4)
    if (bbox[2:] < 0).any():
        raise DataError(f"{where} has a bbox of negative size {bbox.tolist()}")
    if np.abs(bbox).max() > FARTHEST:
        raise DataError(f"{where} has a bbox that is not in pixels: {bbox.tolist()}")
    table = np.concatenate([_read_keypoints(entry, key, where) for key in fields])  # (K, 3)
    counted = int(np.count_nonzero(table[:, 2] > 0))
    area, crowd, labelled = (
        _read_number(entry, key, where, default=default)
        for key, default in (
            ("area", float(bbox[2] * bbox[3])),
            ("iscrowd", 0.0),
            ("num_keypoints", float(counted)),
        )
    )
    return Annotation(
        id=number,
        xy=table[:, :2].astype(np.float32),
        visibility=table[:, 2].astype(np.int32),
        bbox=bbox,
        area=area,
        crowd=crowd != 0,
        segmentation=_read_segmentation(entry.get("segmentation"), where),
        num_keypoints=int(labelled),
    )


def check_size(segmentation: Segmentation, where: str, *, size: tuple[int, int]) -> None:
    """Run lengths must be of the image's size (height, width).

    Raises:
        DataError: They are not.
    """
    if isinstance(segmentation, Mapping) and segmentation.get("size") != list(size):
        raise DataError(
            f"{where} has run lengths for size {segmentation.get('size')}; "
            f"`counts` for the image's {list(size)} (height, width) are expected"
        )


def _read_keypoints(entry: Entry, key: str, where: str) -> NDArray[np.float64]:
    """The keypoints (n, 3) under one key; none where the entry does not have it."""
    if entry.get(key) is None:
        return np.zeros((0, 3))
    numbers = _read_numbers(entry, key, where)
    if len(numbers) % 3:
        raise DataError(
            f"{where} has {len(numbers)} numbers in `{key}`; x, y and a flag a keypoint are "
            "expected"
        )
    table = numbers.reshape(-1, 3)
    if (np.abs(table[table[:, 2] > 0, :2]) > FARTHEST).any():
        raise DataError(f"{where} has a labelled keypoint in `{key}` that is not x, y pixels")
    if key != BODY:  # COCO-WholeBody: a score above 0 means reliable, and a part may be invalid
        valid = entry.get(key.removesuffix("_kpts") + "_valid", True)
        table[:, 2] = np.where((table[:, 2] > 0) & bool(valid), VISIBLE, 0)
    elif (table[:, 2] % 1 != 0).any():
        raise DataError(f"{where} has a visibility flag that is not a whole number")
    return table


def _read_number(entry: Entry, key: str, where: str, *, default: float) -> float:
    """A finite number; ``default`` where the entry does not have it."""
    value = entry.get(key)
    if value is None:
        return default
    if not isinstance(value, int | float):
        raise DataError(f"{where} has `{key}` {_short(value)}; a number is expected")
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{where} has a number in `{key}` that is not finite")
    return number


def _read_numbers(
    entry: Entry, key: str, where: str, *, length: int | None = None
) -> NDArray[np.float64]:
    """``length`` finite numbers; any number of them where it is None."""
    value = entry.get(key)
    expected = "numbers are" if length is None else f"{length} numbers are"
    try:
        numbers = np.array(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where} has `{key}` {_short(value)}; {expected} expected") from error
    if value is None or length not in (None, len(numbers)):
        found = "nothing" if value is None else f"{len(numbers)}"
        raise DataError(f"{where} has {found} in `{key}`; {expected} expected")
    if not np.isfinite(numbers).all():
        raise DataError(f"{where} has a number in `{key}` that is not finite")
    return numbers


def _read_segmentation(value: Any, where: str) -> Segmentation:
    if value is None or value in ([], {}):
        return None
    if isinstance(value, dict):
        counts = value.get("counts")
        if not isinstance(counts, list | str):
            raise DataError(f"{where} has run lengths without `counts`")
        if isinstance(counts, list):  # 4 bytes a run, not 36
            try:
                value["counts"] = np.array(counts, np.uint32)
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(
                    f"{where} has run lengths that are no whole numbers of pixels"
                ) from error
        return value
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise DataError(f"{where} has a segmentation that is neither polygons nor run lengths")
    polygons = []
    for position, polygon in enumerate(value):
        if len(polygon) < 6:  # a point or a line has no region
            continue
        vertices = _read_numbers({"segmentation": polygon}, "segmentation", where)
        if len(vertices) % 2 or np.abs(vertices).max() > FARTHEST:
            raise DataError(f"{where} has a polygon (number {position}) that is not x, y pixels")
        polygons.append(vertices.reshape(-1, 2))
    return tuple(polygons) or None


def _short(value: Any) -> str:
    """A value of the file, not longer than a sentence can bear."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
