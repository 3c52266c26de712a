"""Keypoint annotation files in COCO's format, checked as they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bpnet.data.annotation import (
    BODY,
    Annotation,
    check_size,
    read_annotation,
    read_file_name,
    read_id,
    read_side,
)
from bpnet.data.faults import Faults
from bpnet.data.json_lists import read_lists
from bpnet.data.storage import join
from bpnet.errors import DataError, SpecError
from bpnet.spec.dataset import DataSection, DatasetSpec

LISTS = ("images", "annotations", "categories")
ANY = "*"  # in place of category names: all of the file


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
    """An annotation file, seen from one category, or from several read as one.

    Attributes:
        keypoints: The names of its K keypoints.
        images: Its images, in the order of the file.
        category_id: The category's number in the file; of several, the first.
    """

    keypoints: tuple[str, ...]
    images: tuple[CocoImage, ...]
    category_id: int = 1  # COCO's own for people


def read_coco(
    path: Path,
    *,
    category: str = "person",
    file_categories: Sequence[str] = (),
    keypoint_fields: Sequence[str] = (BODY,),
    keypoints: Sequence[str] = (),
) -> CocoDataset:
    """The images of an annotation file, with the annotations of one category.

    Args:
        path: The annotation file; its lists may come in any order.
        category: The category's name.
        file_categories: Those of the file that are read as this one, ``*`` for all of them;
            default: the one of the same name.
        keypoint_fields: The keys of an annotation whose keypoints are put one after the other.
        keypoints: Their names where there are several keys, as the file names only the first's.

    Raises:
        DataError: The file is missing, is not COCO keypoint JSON, or some of its images or
            annotations are damaged; each is named with its id.
    """
    reading = _Reading(path, tuple(file_categories) or (category,), tuple(keypoint_fields))
    handlers = {
        "images": reading.add_image,
        "annotations": reading.add_annotation,
        "categories": reading.add_category,
    }
    found = read_lists(path, handlers)
    for key in LISTS:
        if key not in found:
            raise DataError(f"{path} has no list `{key}`; a COCO keypoint file is expected")
    return reading.finish(keypoints)


def read_subset(spec: DatasetSpec, section: DataSection) -> tuple[CocoDataset, Path]:
    """The annotations of one subset of a dataset, and the folder that its images are below.

    Raises:
        DataError: As ``read_coco``.
        SpecError: The spec names no category of people, or other keypoints than the file.
    """
    root, category = Path(spec.root_directory_path), spec.people()
    annotations = join(root, section.annotation_root_dir_path)
    dataset = read_coco(
        annotations,
        category=category.name,
        file_categories=category.file_categories,
        keypoint_fields=category.keypoint_fields,
        keypoints=category.keypoints,
    )
    if tuple(category.keypoints) != dataset.keypoints:
        raise SpecError(
            f"dataset spec {spec.dataset} and {annotations} disagree on the keypoints of "
            f"`{category.name}`: {category.keypoints} and {list(dataset.keypoints)}"
        )
    return dataset, join(root, section.images_root_dir_path)


class _Reading:
    """What has been read of a file; entries that are faulty are left out and reported at the end.

    COCO's own files name the categories last, so annotations of every category are kept till then.
    """

    def __init__(self, path: Path, names: tuple[str, ...], fields: tuple[str, ...]) -> None:
        self._path, self._names, self._fields = path, names, fields
        self._faults = Faults(path)
        self._categories: list[Mapping[str, Any]] = []
        self._ids: dict[int, str] | None = None  # name of each category that is read
        self._images: dict[int, tuple[str, int, int]] = {}  # file name, height, width of an id
        self._number_of_images = 0
        self._number_of_annotations = 0
        # Category and image of each annotation that could be read; of the others, the sentence.
        self._annotations: list[tuple[int, int, Annotation]] = []
        self._damaged: list[tuple[int, str]] = []

    def add_category(self, entry: Any) -> None:
        """An entry of ``categories``."""
        if not isinstance(entry, dict):
            raise DataError(
                f"{self._path}: entry {len(self._categories)} of `categories` is not an object"
            )
        self._categories.append(entry)
        self._ids = None

    def add_image(self, entry: Any) -> None:
        """An entry of ``images``."""
        position = self._number_of_images
        self._number_of_images += 1
        with self._faults.collect():
            if not isinstance(entry, dict):
                raise DataError(f"entry {position} of `images` is not an object")
            number = read_id(entry, "id", f"image number {position}")
            where = f"image {number}"
            if number in self._images:
                raise DataError(f"{where} stands in the file twice; give each image its own id")
            self._images[number] = ("", 1, 1)  # faulty or not, its annotations have an image
            height, width = (read_side(entry, key, where) for key in ("height", "width"))
            self._images[number] = (read_file_name(entry, where), height, width)

    def add_annotation(self, entry: Any) -> None:
        """An entry of ``annotations``."""
        position = self._number_of_annotations
        self._number_of_annotations += 1
        with self._faults.collect():
            if not isinstance(entry, dict):
                raise DataError(f"entry {position} of `annotations` is not an object")
            number = read_id(entry, "id", f"annotation number {position}")
            where = f"annotation {number}"
            category = read_id(entry, "category_id", where)
            if self._categories and category not in self._wanted():
                return
            try:
                image = read_id(entry, "image_id", where)
                read = read_annotation(entry, number, where, fields=self._fields)
            except DataError as error:
                self._damaged.append((category, str(error)))
            else:
                self._annotations.append((category, image, read))

    def finish(self, names: Sequence[str]) -> CocoDataset:
        """The dataset; every fault of the file, where there is one."""
        wanted = self._wanted()
        keypoints = self._keypoints(names)
        for category, sentence in self._damaged:
            if category in wanted:
                self._faults.add(sentence)
        people: dict[int, list[Annotation]] = {image: [] for image in self._images}
        seen = set[int]()
        for category, image, one in self._annotations:
            if category in wanted:
                with self._faults.collect():
                    people.get(image, []).append(self._check(one, image, seen, len(keypoints)))
        self._faults.check()
        images = (
            CocoImage(image, *entry, annotations=tuple(people[image]))
            for image, entry in self._images.items()
        )
        return CocoDataset(keypoints, tuple(images), next(iter(wanted)))

    def _check(self, one: Annotation, image: int, seen: set[int], keypoints: int) -> Annotation:
        """What can be told of an annotation only when the whole file has been read."""
        where = f"annotation {one.id}"
        if one.id in seen:
            raise DataError(f"{where} stands in the file twice; give each annotation its own id")
        seen.add(one.id)
        if image not in self._images:
            raise DataError(f"{where} is of image {image}, which the file does not list")
        _, height, width = self._images[image]
        check_size(one.segmentation, where, size=(height, width))
        if len(one.xy) == keypoints:
            return one
        if len(one.xy):
            raise DataError(
                f"{where} has {3 * len(one.xy)} in `{'`, `'.join(self._fields)}`; "
                f"{3 * keypoints} numbers are expected"
            )
        nowhere, unlabelled = np.zeros((keypoints, 2), np.float32), np.zeros(keypoints, np.int32)
        return replace(one, xy=nowhere, visibility=unlabelled)

    def _wanted(self) -> dict[int, str]:
        """Name of each category id that is read."""
        if self._ids is None:
            self._ids = self._find_categories()
        return self._ids

    def _find_categories(self) -> dict[int, str]:
        found = {}
        for entry in self._categories:
            name = str(entry.get("name"))
            found[read_id(entry, "id", f"{self._path}: category `{name}`")] = name
        wanted = {number: name for number, name in found.items() if {name, ANY} & set(self._names)}
        missing = set(self._names) - {ANY, *wanted.values()}
        if missing or not wanted:
            asked = ", ".join(sorted(missing)) or ANY
            names = ", ".join(found.values()) or "none"
            raise DataError(f"{self._path} has no category `{asked}`; it has {names}")
        return wanted

    def _keypoints(self, names: Sequence[str]) -> tuple[str, ...]:
        """The keypoints of the categories that are read, which must be the same ones."""
        wanted = self._wanted()
        lists = {
            str(entry.get("name")): entry.get("keypoints")
            for entry in self._categories
            if str(entry.get("name")) in wanted.values()
        }
        for name, said in lists.items():
            if not isinstance(said, list) or not said:
                raise DataError(
                    f"{self._path}: category `{name}` lists no keypoints; "
                    "use the keypoint annotations (person_keypoints_*.json), not the instances"
                )
        named = {name: tuple(map(str, said or ())) for name, said in lists.items()}
        (first, own), *others = named.items()
        for name, keypoints in others:
            if keypoints != own:
                raise DataError(
                    f"{self._path}: categories `{first}` and `{name}` have other keypoints; "
                    "read them as two datasets"
                )
        if len(self._fields) > 1 and tuple(names[: len(own)]) == own:
            return tuple(names)
        return own
