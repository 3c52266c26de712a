"""Annotation files: what is read, and the one sentence that each damaged file ends in."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bpnet.data.coco import read_coco
from bpnet.errors import DataError

COCO: dict[str, Any] = {
    "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "tail"]}],
    "images": [
        {"id": 7, "file_name": "b.jpg", "height": 40, "width": 60},
        {"id": 3, "file_name": "sub/a.jpg", "height": 50, "width": 20},
    ],
    "annotations": [
        {
            "id": 11,
            "image_id": 3,
            "category_id": 1,
            "keypoints": [4.5, 6, 2, 0, 0, 0],
            "num_keypoints": 1,
            "bbox": [2, 3, 10, 20.5],
            "area": 90.5,
            "iscrowd": 0,
            "segmentation": [[1, 1, 9, 1, 9, 9], [2, 2]],
        },
        {"id": 12, "image_id": 3, "category_id": 1, "bbox": [0, 0, 4, 5], "iscrowd": 1},
        {"id": 13, "image_id": 3, "category_id": 2, "bbox": [0, 0, 4, 5]},
    ],
}


def save(folder: Path, coco: Any) -> Path:
    path = folder / "people.json"
    path.write_text(json.dumps(coco))
    return path


def test_images_and_annotations_keep_the_order_of_the_file(tmp_path: Path) -> None:
    dataset = read_coco(save(tmp_path, COCO))

    assert dataset.keypoints == ("nose", "tail")
    assert dataset.category_id == 1
    assert [image.id for image in dataset.images] == [7, 3]
    assert [one.id for one in dataset.images[1].annotations] == [11, 12]
    assert dataset.images[0].annotations == ()


def test_a_labelled_person_is_read_whole(tmp_path: Path) -> None:
    image = read_coco(save(tmp_path, COCO)).images[1]
    person = image.annotations[0]

    assert (image.file_name, image.height, image.width) == ("sub/a.jpg", 50, 20)
    np.testing.assert_array_equal(person.xy, np.float32([[4.5, 6], [0, 0]]))
    np.testing.assert_array_equal(person.visibility, [2, 0])
    np.testing.assert_array_equal(person.bbox, [2, 3, 10, 20.5])
    np.testing.assert_array_equal(person.center, [7, 13.25])
    assert (person.area, person.crowd, person.num_keypoints) == (90.5, False, 1)
    assert person.segmentation is not None
    (triangle,) = person.segmentation  # the line [2, 2] has no region
    np.testing.assert_array_equal(triangle, [[1, 1], [9, 1], [9, 9]])


def test_missing_optional_keys_have_their_usual_meaning(tmp_path: Path) -> None:
    coco = copy.deepcopy(COCO)
    for key in ("area", "num_keypoints", "iscrowd", "segmentation"):
        del coco["annotations"][0][key]
    person = read_coco(save(tmp_path, coco)).images[1].annotations[0]

    assert (person.area, person.num_keypoints, person.crowd) == (205, 1, False)
    assert person.segmentation is None


def test_numeric_ids_may_be_strings(tmp_path: Path) -> None:
    coco = copy.deepcopy(COCO)
    coco["images"][1]["id"] = "0003"
    coco["annotations"][0]["id"] = "11"

    assert read_coco(save(tmp_path, coco)).images[1].annotations[0].id == 11


def test_another_category_is_read_by_its_name(tmp_path: Path) -> None:
    coco = copy.deepcopy(COCO)
    coco["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose"]})

    dataset = read_coco(save(tmp_path, coco), category="dog")

    assert dataset.keypoints == ("nose",)
    assert [one.id for image in dataset.images for one in image.annotations] == [13]


def test_a_category_without_a_name_is_one_of_all(tmp_path: Path) -> None:
    coco = copy.deepcopy(COCO)
    del coco["categories"][0]["name"]

    dataset = read_coco(save(tmp_path, coco), file_categories=["*"])

    assert dataset.keypoints == ("nose", "tail")
    assert len(dataset.images[1].annotations) == 2


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (("images",), None, "no list `images`"),
        (("annotations",), {}, "no list `annotations`"),
        (("categories",), None, "no list `categories`"),
        (("images", 0), 5, "entry 0 of `images`"),
        (("categories", 0, "name"), "dog", "no category `person`; it has dog"),
        (("categories", 0, "keypoints"), [], "`person` lists no keypoints"),
        (("images", 1, "id"), 7, "image 7 stands in the file twice"),
        (("images", 1, "id"), "3a", "number 1 has `id` '3a'"),
        (("images", 1, "id"), 2.5, "number 1 has `id` 2.5"),
        (("images", 0, "height"), 0, "image 7 has `height` 0"),
        (("images", 0, "width"), None, "image 7 has `width` None"),
        (("images", 0, "file_name"), "../b.jpg", "image 7 has `file_name` '../b.jpg'"),
        (("images", 0, "file_name"), "a/../../b.jpg", "leaves the image folder"),
        (("images", 0, "file_name"), "/etc/b.jpg", "leaves the image folder"),
        (("images", 0, "file_name"), "..\\b.jpg", "leaves the image folder"),
        (("images", 0, "file_name"), "C:/b.jpg", "leaves the image folder"),
        (("images", 0, "file_name"), "a\0.jpg", "a path below the image folder"),
        (("images", 0, "id"), 1 << 70, "image number 0 has `id`"),
        (("annotations", 0, "keypoints"), [1, 2, 2, float("nan"), 0, 0], "that is not finite"),
        (("annotations", 0, "iscrowd"), float("inf"), "number in `iscrowd` that is not finite"),
        (("images", 0, "file_name"), "", "image 7 has `file_name` ''"),
        (("annotations", 0, "image_id"), 99, "annotation 11 is of image 99"),
        (("annotations", 1, "id"), 11, "annotation 11 stands in the file twice"),
        (("annotations", 0, "category_id"), None, "annotation 11 has `category_id` None"),
        (("annotations", 0, "keypoints"), [1, 2, 2], "annotation 11 has 3 in `keypoints`; 6"),
        (("annotations", 0, "keypoints"), [1, 2, 2, 0, 0, "x"], "annotation 11 has `keypoints`"),
        (("annotations", 0, "keypoints"), [1, 2, 1.5, 0, 0, 0], "visibility flag"),
        (("annotations", 0, "bbox"), [1, 2, float("nan"), 4], "`bbox` that is not finite"),
        (("annotations", 0, "bbox"), [1, 2, 3], "annotation 11 has 3 in `bbox`; 4"),
        (("annotations", 0, "bbox"), None, "annotation 11 has nothing in `bbox`"),
        (("annotations", 0, "bbox"), [1, 2, -3, 4], "negative size"),
        (("annotations", 0, "area"), "wide", "annotation 11 has `area`"),
        (("annotations", 0, "keypoints"), [1e39, 2, 2, 0, 0, 0], "not x, y pixels"),
        (("annotations", 0, "keypoints"), [10**400, 2, 2, 0, 0, 0], "numbers are expected"),
        (("annotations", 0, "bbox"), [0, 0, 1e200, 1e200], "a bbox that is not in pixels"),
        pytest.param(
            ("annotations", 0, "area"), 10**400, "number in `area` that is not finite", id="area"
        ),
        (("annotations", 0, "segmentation"), [1, 2, 3, 4], "neither polygons nor run lengths"),
        (("annotations", 0, "segmentation"), [[1, 2, 3, 4, 5, 6, 7]], "polygon (number 0)"),
        (("annotations", 0, "segmentation"), [[1, 2, 3, 4, 5, 1e9]], "polygon (number 0)"),
        (
            ("annotations", 0, "segmentation"),
            {"size": [20, 50], "counts": [1000]},
            "run lengths for size [20, 50]",
        ),
    ],
)
def test_a_damaged_file_ends_in_a_sentence_with_its_name(
    tmp_path: Path, keys: tuple[str | int, ...], value: Any, sentence: str
) -> None:
    coco = copy.deepcopy(COCO)
    place: Any = coco
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path = save(tmp_path, coco)

    with pytest.raises(DataError) as caught:
        read_coco(path)

    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_faults_of_a_file_are_named_together(tmp_path: Path) -> None:
    coco = copy.deepcopy(COCO)
    coco["images"][0]["width"] = -1
    coco["annotations"] += [
        {"id": number, "image_id": 3, "category_id": 1, "bbox": [0, 0, float("nan"), 1]}
        for number in range(100, 130)
    ]
    coco["annotations"].append({"id": 11, "image_id": 3, "category_id": 1, "bbox": [0, 0, 1, 1]})
    coco["annotations"].append({"id": 14, "image_id": 3, "category_id": 2, "bbox": "of a cat"})
    path = save(tmp_path, coco)

    with pytest.raises(DataError) as caught:
        read_coco(path)

    first, *lines, last = str(caught.value).splitlines()
    assert first == f"32 faults in {path}:"
    assert len(lines) == 20
    assert lines[0] == "  image 7 has `width` -1; a number of pixels is expected"
    assert lines[1] == "  annotation 100 has a number in `bbox` that is not finite"
    assert last == "  and 12 more"


@pytest.mark.parametrize("order", [("annotations", "images"), ("categories", "annotations")])
def test_the_lists_of_a_file_may_come_in_any_order(tmp_path: Path, order: tuple[str, str]) -> None:
    others = [key for key in COCO if key not in order]
    coco = {key: COCO[key] for key in (*order, *others)}

    images = read_coco(save(tmp_path, coco)).images

    assert [one.id for one in images[1].annotations] == [11, 12]


def test_a_file_cut_short_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text(json.dumps(COCO, indent=1)[:200])

    with pytest.raises(DataError, match=r"people\.json, line \d+: broken JSON"):
        read_coco(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\xd8", b"[1, 2]", b""])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "people.json"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"people\.json"):
        read_coco(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json cannot be read: No such file"):
        read_coco(tmp_path / "absent.json")


@pytest.mark.coco
def test_the_real_files_hold_what_their_readme_says(shared_data: Path) -> None:
    images = read_coco(shared_data / "coco/annotations/person_keypoints_train.json").images
    people = [one for image in images for one in image.annotations]

    assert len(images) == 272
    assert len(people) == 1051
    assert sum(one.num_keypoints > 0 for one in people) == 667
    assert sum(one.crowd for one in people) == 23
