"""A small project for the tests of ``bpnet show``: black images with a bright spot a keypoint."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from bpnet.cli import main

SIZE = (128, 160)  # height, width of images and of the network's input
KEYPOINTS = ("left_eye", "right_eye", "nose")
CATEGORY = {"name": "person", "keypoints": list(KEYPOINTS), "skeleton": [[1, 3], [2, 3]]}

Person = Mapping[str, tuple[float, float]]  # x, y of each labelled keypoint, by its name


def write_project(
    root: Path,
    images: Sequence[Sequence[Person]],
    *,
    unlabelled: tuple[int, int, int, int] | None = None,
    spatial: Mapping[str, Any] | None = None,
) -> Path:
    """Images, labels, records and specs below ``root``; returns the training spec.

    Args:
        root: An empty folder.
        images: The people of each image.
        unlabelled: Box of somebody without keypoints, who is in every image.
        spatial: ``spatial_aug_params``.
    """
    entries, annotations = [], []
    (root / "images").mkdir()
    for number, people in enumerate(images, start=1):
        name = f"{number}.png"
        cv2.imwrite(str(root / "images" / name), picture_of(people))
        entries.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        persons = [_person(person) for person in people]
        if unlabelled is not None:
            persons.append({"bbox": list(unlabelled), "keypoints": [0] * 9, "num_keypoints": 0})
        annotations += [{"image_id": number, "category_id": 1, **one} for one in persons]
    coco = {
        "categories": [{"id": 1, **CATEGORY}],
        "images": entries,
        "annotations": [{"id": n, **one} for n, one in enumerate(annotations)],
    }
    (root / "labels.json").write_text(json.dumps(coco))
    (root / "dataset.json").write_text(json.dumps(_dataset(root)))
    (root / "skeleton.json").write_text(json.dumps({"name": "face", "categories": [CATEGORY]}))
    (root / "train.yaml").write_text(yaml.safe_dump(_training(root, spatial or {})))
    convert = ["dataset_convert", "-d", str(root / "dataset.json"), "-o", str(root / "train")]
    assert main([*convert, "--generate_masks"]) == 0
    return root / "train.yaml"


def picture_of(people: Sequence[Person]) -> NDArray[np.uint8]:
    """Black, with a soft spot on each keypoint."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    light = np.zeros(SIZE)
    for x, y in (xy for person in people for xy in person.values()):
        light += 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    return np.repeat(np.minimum(light, 255).astype(np.uint8)[..., None], 3, axis=-1)


def read_sheet(path: Path) -> NDArray[np.int64]:
    """The pixels (H, W, 3) RGB of a picture file."""
    return np.asarray(cv2.imread(str(path)), np.int64)[..., ::-1]


def _person(person: Person) -> dict[str, Any]:
    xy = np.array(list(person.values()))
    corner, size = xy.min(axis=0) - 4, np.ptp(xy, axis=0) + 8
    triples = [(*person[name], 2) if name in person else (0, 0, 0) for name in KEYPOINTS]
    return {
        "bbox": [*corner.tolist(), *size.tolist()],
        "keypoints": [number for triple in triples for number in triple],
        "num_keypoints": len(person),
    }


def _dataset(root: Path) -> dict[str, Any]:
    section = {
        "images_root_dir_path": "images",
        "mask_root_dir_path": "masks",
        "annotation_root_dir_path": "labels.json",
    }
    return {
        "dataset": "faces",
        "root_directory_path": str(root),
        "train_data": section,
        "categories": [CATEGORY],
        "data_filtering_params": {
            "min_acceptable_height": 0,
            "min_acceptable_width": 0,
            "min_acceptable_kpts": 1,
            "min_acceptable_interperson_dist_ratio": 0.0,
        },
        "duplicate_data_with_each_person_as_center": False,
    }


def _training(root: Path, spatial: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "__class_name__": "BpNetTrainer",
        "dataloader": {
            "__class_name__": "BpNetDataloader",
            "image_config": {"image_dims": {"height": SIZE[0], "width": SIZE[1]}},
            "pose_config": {
                "target_shape": [SIZE[0] // 8, SIZE[1] // 8],
                "pose_config_path": str(root / "skeleton.json"),
            },
            "dataset_config": {
                "root_data_path": str(root),
                "train_records_folder_path": str(root),
                "train_records_path": ["train-fold-*"],
                "dataset_specs": {"faces": str(root / "dataset.json")},
            },
            "augmentation_config": {
                "spatial_augmentation_mode": "standard",
                "spatial_aug_params": dict(spatial),
            },
        },
        "model": {"__class_name__": "BpNetLiteModel", "heat_channels": 4, "paf_channels": 4},
    }
