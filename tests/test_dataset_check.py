"""What a dry run finds in data that can be read but cannot be meant."""

from typing import Any

import numpy as np
import pytest

from bpnet.data.annotation import Annotation
from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.data.dataset_check import check_dataset, check_sides
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category, DatasetSpec

NAMES = ["left_eye", "right_eye", "left_hip", "right_hip", "left_knee", "right_knee"]
FACING = np.array([[60, 10], [40, 10], [70, 50], [30, 50], [68, 90], [32, 90]], np.float32)
EVERYWHERE = (2,) * 6


def person(
    number: int = 1,
    *,
    xy: Any = FACING,
    flags: tuple[int, ...] = EVERYWHERE,
    bbox: tuple[float, ...] = (20, 0, 60, 99),
    num_keypoints: int | None = None,
) -> Annotation:
    labelled = sum(flag > 0 for flag in flags)
    return Annotation(
        id=number,
        xy=np.array(xy, np.float32),
        visibility=np.array(flags, np.int32),
        bbox=np.array(bbox, np.float64),
        area=600,
        crowd=False,
        segmentation=None,
        num_keypoints=labelled if num_keypoints is None else num_keypoints,
    )


def swapped(*keypoints: int) -> np.ndarray:
    """FACING with the pairs that begin at these keypoints exchanged."""
    xy = FACING.copy()
    for one in keypoints:
        xy[[one, one + 1]] = xy[[one + 1, one]]
    return xy


def said_of(*people: Annotation, error: bool = False, **category: Any) -> list[str]:
    images = (CocoImage(7, "a.jpg", 100, 100, people),)
    spec = DatasetSpec(
        root_directory_path="", categories=[Category(**{"keypoints": NAMES} | category)]
    )
    found = check_dataset(CocoDataset(tuple(NAMES), images), spec)
    assert all(one.error == error for one in found)
    return [one.sentence for one in found]


def test_nothing_is_wrong_with_upright_people() -> None:
    assert said_of(*(person(number) for number in range(20))) == []


def test_a_flag_that_the_spec_does_not_name_is_an_error() -> None:
    (said,) = said_of(person(5, flags=(2, 2, 3, 2, 1, 0)), error=True)
    assert said.startswith("1 person with the visibility flag 3")
    assert said.endswith(": 5")


@pytest.mark.parametrize(
    "category", [{"skeleton": [[1, 7]]}, {"num_joints": 17}, {"mirror": [["left_eye", "tail"]]}]
)
def test_a_skeleton_that_does_not_fit_is_an_error(category: dict[str, Any]) -> None:
    (said,) = said_of(person(), error=True, **category)
    assert said.startswith("the dataset spec: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"xy": FACING + np.float32([60, 0])}, "with labelled keypoints outside the image: 5"),
        ({"bbox": (20, 0, 60, 0)}, "with a box without area: 5"),
        ({"bbox": (20, 10, 80, 100)}, "with a box that leaves the image"),
        ({"xy": FACING * 0}, "with a labelled keypoint at (0, 0)"),
        ({"num_keypoints": 3}, "with another num_keypoints than labelled keypoints: 5"),
    ],
)
def test_what_looks_wrong_with_a_person_is_a_warning(change: dict[str, Any], said: str) -> None:
    found = said_of(person(1), person(5, **change))

    assert [one for one in found if one.startswith("1 person " + said)]


def test_an_unlabelled_keypoint_may_stand_anywhere() -> None:
    xy = FACING.copy()
    xy[5] = (0, 0)
    xy[4] = (-500, 900)
    assert said_of(person(xy=xy, flags=(2, 2, 2, 2, 0, 0))) == []


def test_an_exchanged_pair_of_one_person_is_pointed_at() -> None:
    many = [person(number) for number in range(60)]

    (said,) = said_of(*many, person(99, xy=swapped(2)))

    assert "rest of the body" in said
    assert said.endswith(": 99")


def test_a_pair_that_often_crosses_is_left_alone() -> None:
    crossed = [person(number, xy=swapped(4)) for number in range(4)]

    assert said_of(*(person(number) for number in range(60)), *crossed) == []


def test_a_pair_that_the_whole_file_exchanges_is_named() -> None:
    found = said_of(*(person(number, xy=swapped(4)) for number in range(12)))

    assert "left_knee and right_knee look exchanged: in 12 of 12 people" in found[0]


def test_a_file_that_means_the_viewer_s_left_is_told_by_the_eyes() -> None:
    found = said_of(*(person(number, xy=swapped(0, 2, 4)) for number in range(12)))

    assert found == [
        "12 of 12 faces have the left eye on the left of the image: "
        "left and right look exchanged in the whole file, or mean the viewer's"
    ]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["eyeL", "eyeR"], []),
        (["eyeR", "eyeL"], ["12 of 12 faces have the left eye on the left of the image"]),
        (["eye1", "eye2"], []),  # who is left, the names do not tell
    ],
)
def test_the_side_of_an_eye_is_told_by_its_name(names: list[str], found: list[str]) -> None:
    keypoints = [*names, *NAMES[2:]]
    people = [person(number) for number in range(12)]  # the first eye is on the right
    skeleton = Skeleton.from_category(Category(keypoints=keypoints, mirror=[names]), "faces")

    said = [one.sentence.partition(":")[0] for one in check_sides(people, skeleton)]

    assert said == found


def test_images_that_share_a_file_are_named() -> None:
    images = tuple(CocoImage(number, "a.jpg", 100, 100, ()) for number in (3, 4))
    spec = DatasetSpec(root_directory_path="", categories=[Category(keypoints=NAMES)])

    (found,) = check_dataset(CocoDataset(tuple(NAMES), images), spec)

    assert found.sentence == "images 3, 4 are the same file a.jpg"
