"""The statistics of a dataset are plain counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from bpnet.data.coco import read_coco
from bpnet.data.records import PoseRecord, build_record
from bpnet.data.statistics import (
    images_of_dataset,
    images_of_records,
    statistics_dict,
    statistics_text,
    summarise,
)
from bpnet.errors import DataError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category, DatasetSpec

NAMES = ["left_shoulder", "right_shoulder", "tail"]
SPEC = DatasetSpec(dataset="pets", root_directory_path="", categories=[Category(keypoints=NAMES)])
SKELETON = Skeleton.from_category(
    Category(keypoints=["neck", "left_shoulder", "right_shoulder"], skeleton=[[1, 2], [1, 3]]),
    "three",
)
PEOPLE = [
    {"image_id": 1, "bbox": [0, 0, 20, 50], "keypoints": [5, 5, 2, 9, 9, 1, 1, 1, 2]},
    {"image_id": 1, "bbox": [90, 60, 20, 100], "keypoints": [5, 5, 2, 9, 9, 2, 0, 0, 0]},
    {"image_id": 1, "bbox": [0, 0, 100, 80], "iscrowd": 1, "keypoints": [5, 5, 2] * 3},
    {"image_id": 2, "bbox": [40, 20, 20, 160], "keypoints": [5, 5, 2, 0, 0, 0, 0, 0, 0]},
    {"image_id": 2, "bbox": [10, 10, 50, 50]},
    {"image_id": 3, "bbox": [10, 10, 50, 50]},
]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    document = {
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "height": 200, "width": 100}
            for number in (1, 2, 3)
        ],
        "annotations": [{"id": n, "category_id": 1, **one} for n, one in enumerate(PEOPLE)],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    return tmp_path / "coco.json"


def test_people_are_counted_once_and_a_derived_keypoint_is_as_hidden_as_its_sources(coco):
    images = images_of_dataset(read_coco(coco), SPEC, SKELETON)
    found = statistics_dict(summarise(images, SKELETON.keypoints))
    assert (found["images"], found["people"]) == (3, 3)
    assert found["people_per_image"] == [1, 1, 1]
    assert found["keypoints"] == {
        "neck": {"visible": 1, "hidden": 1, "unlabelled": 1},
        "left_shoulder": {"visible": 3, "hidden": 0, "unlabelled": 0},
        "right_shoulder": {"visible": 1, "hidden": 1, "unlabelled": 1},
    }
    assert found["height_px"]["percentiles"]["50"] == 100
    assert found["height_share"]["edges"][-1] == 0.8
    assert sum(found["height_px"]["counts"]) == 3
    # Centres (10, 25), (100, 110), (50, 100): the second lies on the right edge.
    rows, columns = np.nonzero(found["centres"])
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(3, 2), (12, 12), (13, 23)]


def test_an_image_is_counted_once_however_many_records_it_has(coco):
    dataset = read_coco(coco)
    mains = [(dataset.images[0], 1), (dataset.images[0], 0), (dataset.images[1], 0)]
    records = [
        build_record(image, main, image_path=image.file_name, mask_path="", dataset="pets")
        for image, main in mains
    ]
    nobody = build_record(dataset.images[2], None, image_path="3.jpg", mask_path="", dataset="pets")
    records.append(PoseRecord.parse(nobody.serialise()))
    found = summarise(images_of_records(records, {"pets": SPEC}, SKELETON), SKELETON.keypoints)
    assert (found.images, found.people) == (3, 3)
    assert found.people_per_image.tolist() == [1, 1, 1]
    assert found.hidden.tolist() == [1, 0, 1]
    assert "33.3 %   33.3 %      33.3 %  neck" in statistics_text(found)


def test_a_dataset_without_its_spec_is_named(coco):
    image = read_coco(coco).images[0]
    record = build_record(image, 0, image_path="1.jpg", mask_path="", dataset="zoo")
    with pytest.raises(DataError, match=r"1\.jpg is of dataset zoo"):
        summarise(images_of_records([record], {"pets": SPEC}, SKELETON), SKELETON.keypoints)


def test_nobody_is_an_error(coco):
    empty = read_coco(coco).images[2]
    images = images_of_dataset(type(read_coco(coco))(tuple(NAMES), (empty,)), SPEC, SKELETON)
    with pytest.raises(DataError, match="none of the 1 images has a labelled person"):
        summarise(images, SKELETON.keypoints)
