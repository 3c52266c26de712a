"""Datasets that are not COCO's people: other keypoints, other categories, no regions, nobody."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_training import loader_of

from bpnet.cli import main
from bpnet.data.coco import read_coco
from bpnet.data.pipeline import iterate, make_batches
from bpnet.data.records import PoseRecord, RecordIndex
from bpnet.errors import DataError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category, DatasetSpec
from bpnet.spec.reader import read_spec

WHOLE_BODY = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68}
WHOLE_BODY |= {"lefthand_kpts": 21, "righthand_kpts": 21}


def save(
    folder: Path,
    annotations: list[dict[str, Any]],
    *,
    categories: list[dict[str, Any]],
    images: int = 1,
) -> Path:
    """An annotation file and its grey images of 100 x 80 pixels."""
    (folder / "images").mkdir(parents=True)
    for number in range(images):
        grey = np.full((80, 100, 3), 99, np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), grey)
    coco = {
        "annotations": [
            {"id": number, "image_id": 0, "category_id": 1, "bbox": [10, 10, 60, 60]} | one
            for number, one in enumerate(annotations)
        ],
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "height": 80, "width": 100}
            for number in range(images)
        ],
        "categories": categories,
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(coco))
    return path


def convert(
    folder: Path, category: dict[str, Any], *options: str, name: str = "coco"
) -> list[PoseRecord]:
    """The records of a folder's dataset, by image."""
    section = {
        "images_root_dir_path": f"{folder.name}/images",
        "mask_root_dir_path": f"{folder.name}/masks",
        "annotation_root_dir_path": f"{folder.name}/labels.json",
    }
    content = {
        "dataset": name,
        "root_directory_path": str(folder.parent),
        "train_data": section,
        "categories": [category],
        "data_filtering_params": {"min_acceptable_kpts": 1},
    }
    spec = folder / "spec.json"
    spec.write_text(json.dumps(content))
    assert main(["dataset_convert", "-d", str(spec), "-o", str(folder / "out"), *options]) == 0
    index = RecordIndex([folder / "out-fold-000-of-001"])
    return sorted(map(index.parse, range(len(index))), key=lambda record: record.image_id)


@pytest.mark.parametrize("count", [1, 17, 21])
def test_any_number_of_keypoints_converts(tmp_path: Path, count: int) -> None:
    names = [f"point {number}" for number in range(count)]
    category = {"id": 4, "name": "hand", "keypoints": names}
    save(
        tmp_path / "a", [{"category_id": 4, "keypoints": [9, 8, 2] * count}], categories=[category]
    )

    (record,) = convert(tmp_path / "a", {"name": "hand", "keypoints": names})

    assert record.joints.tolist() == [[[9, 8, 2]] * count]


def test_whole_bodies_are_put_together_from_their_fields(tmp_path: Path) -> None:
    names = [f"point {number}" for number in range(133)]
    person: dict[str, Any] = {
        field: [place, 7, 0.7 if field == "face_kpts" else 2] * count
        for place, (field, count) in enumerate(WHOLE_BODY.items())
    }
    person |= {"lefthand_valid": False, "face_valid": True, "num_keypoints": 17}
    person["foot_kpts"][2] = 0
    save(
        tmp_path / "a", [person], categories=[{"id": 1, "name": "person", "keypoints": names[:17]}]
    )

    (record,) = convert(
        tmp_path / "a", {"name": "person", "keypoints": names, "keypoint_fields": list(WHOLE_BODY)}
    )

    (joints,) = record.joints
    assert joints.shape == (133, 3)
    assert joints[:, 0].tolist() == [0] * 17 + [1] * 6 + [2] * 68 + [3] * 21 + [4] * 21
    assert joints[:, 2].tolist() == [2] * 17 + [0] + [2] * 5 + [2] * 68 + [0] * 21 + [2] * 21


def test_the_species_of_a_file_may_be_read_as_one_category(tmp_path: Path) -> None:
    species = [
        {"id": n, "name": name, "keypoints": ["nose"]} for n, name in ((3, "cat"), (8, "dog"))
    ]
    annotations = [{"category_id": n, "keypoints": [5, 5, 2]} for n in (8, 3)]
    annotations[1]["bbox"] = [60, 10, 40, 60]
    path = save(tmp_path / "a", annotations, categories=species)

    records = convert(
        tmp_path / "a", {"name": "animal", "keypoints": ["nose"], "file_categories": ["*"]}
    )

    assert sorted(one.person_idx for one in records) == [0, 1]
    assert len(read_coco(path, category="dog").images[0].annotations) == 1
    with pytest.raises(DataError, match="no category `cow`; it has cat, dog"):
        read_coco(path, category="animal", file_categories=["dog", "cow"])


def test_categories_of_other_keypoints_are_not_read_as_one(tmp_path: Path) -> None:
    categories = [
        {"id": 1, "name": "cat", "keypoints": ["nose"]},
        {"id": 2, "name": "fly", "keypoints": ["wing"]},
    ]
    path = save(tmp_path / "a", [], categories=categories)

    with pytest.raises(DataError, match="`cat` and `fly` have other keypoints"):
        read_coco(path, category="animal", file_categories=["*"])


def test_boxes_stand_in_for_regions_and_it_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [
        {"image_id": 0, "keypoints": [30, 30, 2], "bbox": [10, 10, 40, 60]},
        {"image_id": 0, "bbox": [40, 20, 30, 30]},
        {"image_id": 1, "keypoints": [30, 30, 2]},
    ]
    category = {"id": 1, "name": "person", "keypoints": ["nose"]}
    save(tmp_path / "a", people, categories=[category], images=2)

    convert(tmp_path / "a", {"keypoints": ["nose"]}, "--generate_masks")

    said = capsys.readouterr()
    assert said.err.count("2 annotations have no segmentation; the masks draw their boxes") == 1
    assert "boxes drawn in masks for want of a segmentation  2" in said.out
    mask = cv2.imread(str(tmp_path / "a/masks/0.png"), cv2.IMREAD_UNCHANGED)
    expected = np.full((80, 100), 255)
    expected[20:50, 50:70] = 0  # the rest of that box belongs to the labelled person
    np.testing.assert_array_equal(mask, expected)


def test_images_without_people_become_negatives_on_request(tmp_path: Path) -> None:
    people = [
        {"image_id": 0, "keypoints": [30, 30, 2]},
        {"image_id": 2},  # somebody is there, not labelled
    ]
    category = {"id": 1, "name": "person", "keypoints": ["nose"]}
    save(tmp_path / "a", people, categories=[category], images=4)

    without = convert(tmp_path / "a", {"keypoints": ["nose"]})
    records = convert(tmp_path / "a", {"keypoints": ["nose"]}, "--include_negatives")

    assert [one.image_id for one in without] == [0]
    assert [one.image_id for one in records] == [0, 1, 3]
    assert [one.joints.shape for one in records] == [(1, 1, 3), (0, 1, 3), (0, 1, 3)]
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert (summary["negatives"], summary["records"], summary["people"]) == (2, 3, 1)


def test_several_datasets_feed_one_training(tmp_path: Path) -> None:
    people: dict[str, Any] = {"id": 1, "name": "person", "keypoints": ["nose", "left_shoulder"]}
    dogs: dict[str, Any] = {"id": 2, "name": "dog", "keypoints": ["tail", "nose"]}
    save(tmp_path / "a", [{"keypoints": [30, 30, 2, 50, 40, 2]}], categories=[people])
    dog = {"category_id": 2, "keypoints": [20, 60, 2, 70, 30, 2]}
    save(tmp_path / "b", [dog], categories=[dogs], images=2)
    convert(tmp_path / "a", {"name": "person", "keypoints": people["keypoints"]}, name="people")
    convert(
        tmp_path / "b",
        {"name": "dog", "keypoints": dogs["keypoints"]},
        "--include_negatives",
        name="dogs",
    )
    skeleton = Skeleton.from_category(
        Category(keypoints=["nose", "tail"], skeleton=[[1, 2]]), "both"
    )

    batches = make_batches(
        loader_of(tmp_path, height=80, width=104),
        skeleton=skeleton,
        datasets={
            name: read_spec(tmp_path / folder / "spec.json", DatasetSpec)
            for name, folder in (("people", "a"), ("dogs", "b"))
        },
        records=[tmp_path / folder / "out-fold-000-of-001" for folder in ("a", "b")],
        seed=0,
        batch_size=3,
        steps=1,
        augment=False,
    )

    (batch,) = iterate(batches)
    labelled = {
        path.decode().removeprefix(f"{tmp_path}/"): keypoints[0, :, 2].tolist()
        for path, keypoints in zip(batch["paths"].numpy(), batch["keypoints"].numpy(), strict=True)
    }
    assert labelled == {
        "a/images/0.jpg": [1, 0],
        "b/images/0.jpg": [1, 1],
        "b/images/1.jpg": [0, 0],
    }
