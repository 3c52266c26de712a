"""Keypoint annotation files in COCO's format, checked as they are read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError, SpecError
from bpnet.spec.dataset import DataSection, DatasetSpec

FARTHEST = 1e5  # pixels; a polygon vertex beyond it is a damaged number, not a person

Segmentation: TypeAlias = tuple[NDArray[np.float64], ...] | Mapping[str, Any] | None


@dataclass(frozen=True)
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
    def center(self) -> NDArray[np.float64]:
        """The centre (2,) of the box, x and y in pixels."""
        return self.bbox[:2] + self.bbox[2:] / 2


@dataclass(frozen=True)
class CocoImage:
    """One image and its annotations, in the order of the file."""

    id: int
    file_name: str
    height: int
    width: int
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True)
class CocoDataset:
    """An annotation file, seen from one category.

    Attributes:
        keypoints: The names of its K keypoints.
        images: Its images, in the order of the file.
        category_id: The category's number in the file.
    """

    keypoints: tuple[str, ...]
    images: tuple[CocoImage, ...]
    category_id: int = 1  # COCO's own for people


def read_coco(path: Path, *, category: str = "person") -> CocoDataset:
    """The images of an annotation file, with the annotations of one category.

    Raises:
        DataError: The file is missing, is not COCO keypoint JSON, or one of its images or
            annotations is damaged; the sentence names the file and the id.
    """
    document = _load(path)
    category_id, keypoints = _find_category(document["categories"], category, path)
    entries = _read_images(document["images"], path)
    annotations: dict[int, list[Annotation]] = {image_id: [] for image_id in entries}
    seen = set[int]()
    document["annotations"].reverse()
    for position in range(len(document["annotations"])):
        entry = document["annotations"].pop()  # frees it: 1.4 GB for COCO train2017
        number = _read_id(entry, "id", f"{path}: annotation number {position}")
        where = f"{path}: annotation {number}"
        if _read_id(entry, "category_id", where) != category_id:
            continue
        if number in seen:
            raise DataError(f"{where} stands in the file twice; give each annotation its own id")
        seen.add(number)
        image_id = _read_id(entry, "image_id", where)
        if image_id not in entries:
            raise DataError(f"{where} is of image {image_id}, which the file does not list")
        size = (entries[image_id][1], entries[image_id][2])
        annotations[image_id].append(
            _read_annotation(entry, number, where, keypoints=len(keypoints), size=size)
        )
    images = (
        CocoImage(image_id, *entry, annotations=tuple(annotations[image_id]))
        for image_id, entry in entries.items()
    )
    return CocoDataset(keypoints, tuple(images), category_id)


def read_subset(spec: DatasetSpec, section: DataSection) -> tuple[CocoDataset, Path]:
    """The annotations of one subset of a dataset, and the folder that its images are below.

    Raises:
        DataError: As ``read_coco``.
        SpecError: The spec names no category of people, or other keypoints than the file.
    """
    root, category = Path(spec.root_directory_path), spec.people()
    annotations = root / section.annotation_root_dir_path
    dataset = read_coco(annotations, category=category.name)
    if tuple(category.keypoints) != dataset.keypoints:
        raise SpecError(
            f"dataset spec {spec.dataset} and {annotations} disagree on the keypoints of "
            f"`{category.name}`: {category.keypoints} and {list(dataset.keypoints)}"
        )
    return dataset, root / section.images_root_dir_path


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"the annotation file {path} cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a JSON text file: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}: broken JSON, {error.msg.lower()}; "
            "was the download cut short?"
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is not COCO JSON: an object is expected at its top")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise DataError(f"{path} has no list `{key}`; a COCO keypoint file is expected")
        for position, entry in enumerate(document[key]):
            if not isinstance(entry, dict):
                raise DataError(f"{path}: entry {position} of `{key}` is not an object")
    return document


def _find_category(
    categories: list[dict[str, Any]], name: str, path: Path
) -> tuple[int, tuple[str, ...]]:
    for entry in categories:
        if entry.get("name") != name:
            continue
        keypoints = entry.get("keypoints")
        if not isinstance(keypoints, list) or not keypoints:
            raise DataError(
                f"{path}: category `{name}` lists no keypoints; "
                "use the keypoint annotations (person_keypoints_*.json), not the instances"
            )
        category_id = _read_id(entry, "id", f"{path}: category `{name}`")
        return category_id, tuple(str(keypoint) for keypoint in keypoints)
    found = ", ".join(str(entry.get("name")) for entry in categories) or "none"
    raise DataError(f"{path} has no category `{name}`; it has {found}")


def _read_images(entries: list[dict[str, Any]], path: Path) -> dict[int, tuple[str, int, int]]:
    """File name, height and width of each image id."""
    images: dict[int, tuple[str, int, int]] = {}
    for position, entry in enumerate(entries):
        number = _read_id(entry, "id", f"{path}: image number {position}")
        where = f"{path}: image {number}"
        if number in images:
            raise DataError(f"{where} stands in the file twice; give each image its own id")
        height, width = (_read_side(entry, key, where) for key in ("height", "width"))
        images[number] = (_read_file_name(entry, where), height, width)
    return images


def _read_id(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    raise DataError(f"{where} has `{key}` {value!r}; a whole number is expected")


def _read_side(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"{where} has `{key}` {value!r}; a number of pixels is expected")
    return value


def _read_file_name(entry: dict[str, Any], where: str) -> str:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError(
            f"{where} has `file_name` {name!r}; a path below the image folder is needed"
        )
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise DataError(
            f"{where} has `file_name` {name!r}, which leaves the image folder; "
            "give it relative to that folder"
        )
    return name


def _read_annotation(
    entry: dict[str, Any], number: int, where: str, *, keypoints: int, size: tuple[int, int]
) -> Annotation:
    bbox = _read_numbers(entry, "bbox", where, length=4)
    if (bbox[2:] < 0).any():
        raise DataError(f"{where} has a bbox of negative size {bbox.tolist()}")
    if entry.get("keypoints") is None:
        table = np.zeros((keypoints, 3))
    else:
        table = _read_numbers(entry, "keypoints", where, length=3 * keypoints).reshape(-1, 3)
    if (table[:, 2] % 1 != 0).any():
        raise DataError(f"{where} has a visibility flag that is not a whole number")
    counted = int(np.count_nonzero(table[:, 2] > 0))
    area, crowd, labelled = (
        default if entry.get(key) is None else float(_read_numbers(entry, key, where, length=1)[0])
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
        segmentation=_read_segmentation(entry.get("segmentation"), where, size=size),
        num_keypoints=int(labelled),
    )


def _read_numbers(
    entry: dict[str, Any], key: str, where: str, *, length: int
) -> NDArray[np.float64]:
    """``length`` finite numbers."""
    value = entry.get(key)
    try:
        numbers = np.asarray(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} has `{key}` {value!r}; {length} numbers are expected") from error
    if value is None or len(numbers) != length:
        found = "nothing" if value is None else f"{len(numbers)}"
        raise DataError(f"{where} has {found} in `{key}`; {length} numbers are expected")
    if not np.isfinite(numbers).all():
        raise DataError(f"{where} has a number in `{key}` that is not finite")
    return numbers


def _read_segmentation(value: Any, where: str, *, size: tuple[int, int]) -> Segmentation:
    if value is None or value in ([], {}):
        return None
    if isinstance(value, dict):
        counts = value.get("counts")
        if value.get("size") != list(size) or not isinstance(counts, list | str):
            raise DataError(
                f"{where} has run lengths for size {value.get('size')}; "
                f"`counts` for the image's {list(size)} (height, width) are expected"
            )
        return value
    if not isinstance(value, list) or not all(isinstance(polygon, list) for polygon in value):
        raise DataError(f"{where} has a segmentation that is neither polygons nor run lengths")
    polygons = []
    for position, polygon in enumerate(value):
        if len(polygon) < 6:  # a point or a line has no region
            continue
        vertices = _read_numbers(
            {"segmentation": polygon}, "segmentation", where, length=len(polygon)
        )
        if len(vertices) % 2 or np.abs(vertices).max() > FARTHEST:
            raise DataError(f"{where} has a polygon (number {position}) that is not x, y pixels")
        polygons.append(vertices.reshape(-1, 2))
    return tuple(polygons) or None
