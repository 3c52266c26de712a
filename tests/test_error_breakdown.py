"""Kinds of error where the right answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from bpnet.data.coco import Annotation, CocoDataset, CocoImage
from bpnet.diagnosis.comparison import compare, dataset_mirror, dataset_sigmas
from bpnet.diagnosis.errors import KINDS, ErrorBreakdown, break_down, find_errors
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

NAMES = ("left_hand", "right_hand", "left_foot", "right_foot", "head")
SKELETON = Skeleton.from_category(
    Category(keypoints=list(NAMES), skeleton=[[1, 5], [2, 5], [3, 5], [4, 5]], sigmas=[0.05] * 5),
    "star",
)
BODY = np.array([[20, 50], [80, 50], [30, 90], [70, 90], [50, 10]], np.float64)
AREA = 10_000.0
# The distance, in pixels, at which a keypoint's term of OKS is 0.7: between 0.5 and 0.85.
NEAR = 0.1 * np.sqrt(-2 * AREA * np.log(0.7))


def person(
    number: int, xy: np.ndarray, *, crowd: bool = False, labelled: bool = True
) -> Annotation:
    return Annotation(
        id=number,
        xy=xy.astype(np.float32),
        visibility=np.full(len(xy), 2 * labelled, np.int32),
        bbox=np.array([*xy.min(axis=0), *np.ptp(xy, axis=0)], np.float64),
        area=AREA,
        crowd=crowd,
        segmentation=None,
        num_keypoints=len(xy) * (labelled and not crowd),
    )


def broken_down(people: list[Annotation], *found: np.ndarray) -> ErrorBreakdown:
    """The breakdown of one image; a found keypoint at (0, 0) is not found."""
    dataset = CocoDataset(NAMES, (CocoImage(1, "a.jpg", 400, 600, tuple(people)),))
    xy = np.array(found, np.float32).reshape(-1, 5, 2)
    score = (xy != 0).any(axis=-1).astype(np.float32)
    persons = {1: PersonKeypoints(xy, score, np.linspace(0.9, 0.5, len(xy), dtype=np.float32))}
    sigmas, mirror = dataset_sigmas(dataset, SKELETON), dataset_mirror(dataset, SKELETON)
    images = compare(persons, dataset, SKELETON, image_ids=[1])
    return break_down([find_errors(image, sigmas, mirror) for image in images], sigmas)


def counts(breakdown: ErrorBreakdown) -> dict[str, int]:
    """The kinds that there are."""
    return {kind.kind: kind.count for kind in breakdown.kinds if kind.count}


def changed(xy: np.ndarray, **places: tuple[float, float]) -> np.ndarray:
    """The body with some keypoints elsewhere."""
    moved = xy.copy()
    for name, place in places.items():
        moved[NAMES.index(name)] = place
    return moved


FAR = BODY + np.array([200, 0])  # another person, away from the first
ONE, TWO = [person(1, BODY)], [person(1, BODY), person(2, FAR)]


@pytest.mark.parametrize(
    ("people", "found", "expected"),
    [
        (ONE, [BODY], {}),
        (ONE, [changed(BODY, head=(50 + NEAR, 10))], {"jitter": 1}),
        (ONE, [changed(BODY, head=(50 + 3 * NEAR, 10))], {"miss": 1}),
        (ONE, [changed(BODY, head=(0, 0))], {"miss": 1}),
        (ONE, [changed(BODY, left_hand=(80, 50), right_hand=(20, 50))], {"inversion": 2}),
        (ONE, [changed(BODY, left_hand=(80, 50))], {"inversion": 1}),
        (ONE, [changed(BODY, left_hand=(50, 10))], {"miss": 1}),  # a hand at the head: no kin
        (TWO, [changed(BODY, head=(250, 10)), FAR], {"swap": 1}),
        (TWO, [changed(BODY, head=(250, 10)), changed(FAR, head=(50, 10))], {"swap": 2}),
        (TWO, [changed(BODY, left_foot=(270, 90)), FAR], {"swap": 1}),  # the other's right foot
        (TWO, [BODY], {"missed person": 1}),
        (ONE, [BODY, FAR], {"false positive": 1}),
        (ONE, [BODY, BODY + 0.5], {"false positive": 1}),  # the same person twice
        (ONE, [FAR], {"false positive": 1, "missed person": 1}),
        (ONE, [], {"missed person": 1}),
        ([*ONE, person(2, FAR, labelled=False)], [BODY, FAR], {}),  # nobody is to be found there
        ([*ONE, person(2, FAR, crowd=True)], [BODY, FAR, FAR + 1], {}),
    ],
)
def test_each_error_is_of_its_kind(people, found, expected):
    assert counts(broken_down(people, *found)) == expected


def test_within_labellers_difference_is_right_even_on_another_ones_keypoint():
    close = person(2, BODY + np.array([2, 0]))
    moved = BODY + np.array([1.2, 0])  # nearer to the other's keypoints, but well within 0.85
    assert counts(broken_down([*ONE, close], BODY, moved)) == {}


def test_unlabelled_keypoints_are_no_errors():
    visibility = np.array([2, 2, 2, 2, 0], np.int32)
    headless = replace(ONE[0], visibility=visibility, num_keypoints=4)
    breakdown = broken_down([headless], changed(BODY, head=(300, 300)))
    assert (counts(breakdown), breakdown.labelled, breakdown.good) == ({}, 4, 4)


def test_a_good_detection_keeps_its_person_from_a_poor_one_of_higher_score():
    poor = changed(BODY, left_hand=(0, 0), right_hand=(0, 0), left_foot=(0, 0))
    poor = changed(poor, right_foot=(0, 0), head=(50 + NEAR, 10))  # OKS 0.14
    breakdown = broken_down(ONE, poor, BODY)
    assert counts(breakdown) == {"false positive": 1}
    assert breakdown.good == 5


@pytest.mark.parametrize("position", range(len(KINDS)))
def test_a_single_kind_of_error_costs_what_it_takes_from_perfection(position):
    kind = KINDS[position]
    people, found = {
        "miss": (ONE, [changed(BODY, head=(0, 0))]),
        "swap": (TWO, [changed(BODY, head=(250, 10)), FAR]),
        "inversion": (ONE, [changed(BODY, left_hand=(80, 50))]),
        "jitter": (ONE, [BODY + np.array([NEAR, 0])]),
        "false positive": (ONE, [FAR, BODY]),
        "missed person": (TWO, [BODY]),
    }[kind]
    breakdown = broken_down(people, *found)
    alone = {each.kind: each.alone for each in breakdown.kinds}
    assert breakdown.ap < 0.95
    assert alone.pop(kind) == pytest.approx(1)
    assert list(alone.values()) == pytest.approx([breakdown.ap] * 5)


def test_correcting_every_kind_gives_perfection():
    rng = np.random.default_rng(3)
    for _ in range(30):
        people, found = [], []
        for number in range(rng.integers(1, 5)):
            xy = BODY * rng.uniform(0.6, 1.2) + rng.uniform(20, 250, 2)
            people.append(replace(person(number, xy), crowd=bool(rng.random() < 0.1)))
            if rng.random() < 0.8:
                wrong = rng.random(5) < 0.5  # the others are exact
                found.append(xy + wrong[:, None] * rng.choice([-NEAR, NEAR], (5, 2)))
        found.append(BODY + rng.uniform(150, 400, 2))
        breakdown = broken_down(people, *found)
        if breakdown.people:
            expected = 1 if breakdown.labelled else -1  # nobody found is nobody left
            assert breakdown.kinds[-1].together == pytest.approx(expected)


def test_nothing_found_and_nobody_there():
    nothing = broken_down(ONE)
    assert (nothing.ap, nothing.labelled, nothing.kinds[0].alone) == (0, 0, 0)
    assert nothing.kinds[-1].alone == -1  # nobody is left to count
    assert broken_down([]).ap == -1
    assert counts(broken_down([], BODY)) == {"false positive": 1}


def test_errors_are_counted_by_keypoint():
    breakdown = broken_down(ONE, changed(BODY, head=(0, 0), left_hand=(80, 50)))
    good, miss, swap, inversion, jitter = breakdown.by_keypoint.T.tolist()
    assert good == [0, 1, 1, 1, 0]
    assert miss == [0, 0, 0, 0, 1]
    assert inversion == [1, 0, 0, 0, 0]
    assert swap == jitter == [0] * 5
