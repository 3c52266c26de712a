"""COCO figures of persons whose errors are known."""

from dataclasses import replace

import numpy as np
import pytest

from bpnet.data.coco import Annotation, CocoDataset, CocoImage
from bpnet.errors import DataError
from bpnet.evaluation import coco_results, evaluate_persons
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

NAMES = ("left_eye", "right_eye", "nose")
SKELETON = Skeleton(  # another order than the dataset's, and a keypoint of its own
    name="face",
    keypoints=("nose", "middle", "right_eye", "left_eye"),
    limbs=((0, 1), (1, 2), (1, 3)),
    mirror=(0, 1, 3, 2),
    sigmas=(0.05, 0.05, 0.05, 0.05),
    derived={"middle": ("left_eye", "right_eye")},
    colors=((255, 0, 0),) * 3,
)
POINTS = np.array([[30, 20], [60, 22], [45, 90]], np.float32)  # left eye, right eye, nose


def label(number: int, xy: np.ndarray, *, crowd: bool = False) -> Annotation:
    return Annotation(
        id=number,
        xy=xy.astype(np.float32),
        visibility=np.full(len(xy), 2, np.int32),
        bbox=np.array([*xy.min(axis=0), *np.ptp(xy, axis=0)], np.float64),
        area=50.0 * 80.0,
        crowd=crowd,
        segmentation=None,
        num_keypoints=0 if crowd else len(xy),
    )


DATASET = CocoDataset(
    NAMES,
    (
        CocoImage(3, "a.jpg", 200, 300, (label(0, POINTS), label(1, POINTS + 120))),
        CocoImage(9, "b.jpg", 200, 300, ()),
    ),
)


def found(*people: np.ndarray, score: float = 0.9) -> PersonKeypoints:
    """Persons in the skeleton's order, from points in the dataset's."""
    xy = np.zeros((len(people), 4, 2), np.float32)
    for person, points in zip(xy, people, strict=True):
        person[3], person[2], person[0] = points
        person[1] = points[:2].mean(axis=0)
    scores = np.full((len(people), 4), 0.75, np.float32)
    return PersonKeypoints(xy, scores, np.full(len(people), score, np.float32))


def test_perfect_detections_are_perfect() -> None:
    metrics = evaluate_persons({3: found(POINTS, POINTS + 120), 9: found()}, DATASET, SKELETON)
    assert (metrics.ap, metrics.ap50, metrics.ar, metrics.ap_m) == pytest.approx((1, 1, 1, 1))
    assert metrics.ap_l == -1
    assert metrics.lines()[4].endswith("n/a")
    assert metrics.lines()[0] == (
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = 1.000"
    )
    assert metrics.kpi()["AP_0.50:0.95_all"] == pytest.approx(1)


def test_shifted_detections_are_worse_the_further_they_are() -> None:
    scores = [
        evaluate_persons({3: found(POINTS + shift, POINTS + 120 + shift)}, DATASET, SKELETON).ap
        for shift in (0, 3, 5, 20)
    ]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[2] < scores[1] < 1
    assert scores[3] == 0


def test_larger_sigmas_forgive_more() -> None:
    persons = {3: found(POINTS + 4, POINTS + 124)}
    lenient = replace(SKELETON, sigmas=(0.2,) * 4)
    strict = evaluate_persons(persons, DATASET, SKELETON).ap
    assert evaluate_persons(persons, DATASET, lenient).ap > strict


def test_a_missed_person_and_a_phantom_cost_recall_and_precision() -> None:
    missed = evaluate_persons({3: found(POINTS)}, DATASET, SKELETON)
    assert missed.ar == pytest.approx(0.5)
    phantom = found(POINTS, POINTS + 120)
    all_found = evaluate_persons({3: phantom, 9: found(POINTS, score=0.99)}, DATASET, SKELETON)
    assert all_found.ar == pytest.approx(1)
    assert all_found.ap < 0.9


def test_images_left_out_do_not_count() -> None:
    persons = {3: found(POINTS, POINTS + 120), 9: found(POINTS, score=0.99)}
    assert evaluate_persons(persons, DATASET, SKELETON, image_ids=[3]).ap == pytest.approx(1)


def test_nothing_found_is_zero_not_a_crash() -> None:
    metrics = evaluate_persons({}, DATASET, SKELETON)
    assert (metrics.ap, metrics.ar) == (0, 0)


def test_people_in_crowds_are_not_held_against_anyone() -> None:
    crowd = replace(
        label(7, np.array([[0, 0], [300, 0], [0, 200]])), visibility=np.zeros(3, np.int32)
    )
    crowd = replace(crowd, crowd=True, num_keypoints=0)
    image = DATASET.images[0]
    dataset = CocoDataset(NAMES, (replace(image, annotations=(*image.annotations, crowd)),))
    stranger = POINTS + np.array([200, 60])
    persons = {3: found(POINTS, POINTS + 120, stranger)}
    assert evaluate_persons(persons, dataset, SKELETON).ap == pytest.approx(1)


def test_results_are_in_the_datasets_order_with_scores() -> None:
    (result,) = coco_results({3: found(POINTS)}, replace(DATASET, category_id=4), SKELETON)
    assert result["keypoints"] == pytest.approx([30, 20, 0.75, 60, 22, 0.75, 45, 90, 0.75])
    assert (result["image_id"], result["category_id"]) == (3, 4)
    assert result["score"] == pytest.approx(0.9)


def test_a_keypoint_that_the_skeleton_lacks_is_zero() -> None:
    (result,) = coco_results({3: found(POINTS)}, CocoDataset((*NAMES, "tail"), ()), SKELETON)
    assert result["keypoints"][-3:] == [0, 0, 0]


def test_strangers_and_emptiness_are_named() -> None:
    with pytest.raises(DataError, match="none of the dataset's keypoints"):
        coco_results({}, CocoDataset(("tail",), ()), SKELETON)
    with pytest.raises(DataError, match="no images"):
        evaluate_persons({}, CocoDataset(NAMES, ()), SKELETON)
