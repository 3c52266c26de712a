"""AP of our own arrays against pycocotools; AP and PCK by keypoint, AP by crowding and size."""

from dataclasses import replace

import numpy as np
import pytest

from bpnet.data.coco import Annotation, CocoDataset, CocoImage
from bpnet.diagnosis.comparison import Comparison, compare, dataset_mirror, dataset_sigmas
from bpnet.diagnosis.diagnosis import diagnose
from bpnet.diagnosis.errors import find_errors
from bpnet.diagnosis.groups import crowd_index, measure_crowding, measure_people, measure_sizes
from bpnet.diagnosis.keypoints import measure_keypoints, total_pck
from bpnet.diagnosis.precision import match_image, precision_recall
from bpnet.evaluation import evaluate_persons
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

NAMES = ("left_eye", "right_eye", "nose", "tail")
SKELETON = Skeleton.from_category(
    Category(
        keypoints=["tail", "nose", "right_eye", "left_eye"],  # another order than the dataset's
        skeleton=[[1, 2], [2, 3], [2, 4]],
        sigmas=[0.2, 0.05, 0.06, 0.07],
    ),
    "fish",
)
BODY = np.array([[20, 20], [40, 20], [30, 40], [100, 60]], np.float64)


def label(
    xy: np.ndarray, *, area: float = 5000.0, visibility: tuple[int, ...] = (2,) * 4, crowd=False
):
    return Annotation(
        id=0,
        xy=xy.astype(np.float32),
        visibility=np.array(visibility, np.int32),
        bbox=np.array([*xy.min(axis=0), *np.ptp(xy, axis=0)], np.float64),
        area=area,
        crowd=crowd,
        segmentation=None,
        num_keypoints=0 if crowd else int(np.count_nonzero(visibility)),
    )


def image(number: int, *people: Annotation) -> CocoImage:
    return CocoImage(number, f"{number}.jpg", 500, 500, people)


def found(*people: np.ndarray, scores: tuple[float, ...] = ()) -> PersonKeypoints:
    """Persons in the skeleton's order, from points in the dataset's; (0, 0) is not found."""
    order = [NAMES.index(name) for name in SKELETON.keypoints]
    xy = np.array(people, np.float32).reshape(-1, 4, 2)[:, order]
    score = (xy != 0).any(axis=-1).astype(np.float32)
    return PersonKeypoints(xy, score, np.array(scores or [0.5] * len(xy), np.float32))


def errors_of(dataset: CocoDataset, persons: dict[int, PersonKeypoints]):
    sigmas, mirror = dataset_sigmas(dataset, SKELETON), dataset_mirror(dataset, SKELETON)
    ids = [each.id for each in dataset.images]
    images = compare(persons, dataset, SKELETON, image_ids=ids)
    return [find_errors(each, sigmas, mirror) for each in images], sigmas


def random_scene(rng: np.random.Generator) -> tuple[CocoDataset, dict[int, PersonKeypoints]]:
    """Crowds, people without keypoints, doubles, equal scores, more than COCO's 20 people."""
    images, persons = [], {}
    for number in range(1, 9):
        people, detections = [], []
        for _ in range(rng.choice([0, 1, 3, 24])):
            xy = BODY * rng.uniform(0.2, 2.5) + rng.uniform(0, 200, 2)
            visibility = tuple(rng.choice([0, 1, 2], 4).tolist())
            area = float(rng.uniform(200, 30_000))
            people.append(label(xy, area=area, visibility=visibility, crowd=rng.random() < 0.15))
            for _ in range(rng.choice([0, 1, 1, 2])):
                detections.append(xy + rng.normal(0, rng.choice([0, 2, 8]), (4, 2)))
        detections += [BODY + rng.uniform(0, 300, 2) for _ in range(rng.integers(3))]
        scores = tuple(np.round(rng.uniform(0, 1, len(detections)), 1).tolist())
        images.append(image(number, *people))
        persons[number] = found(*detections, scores=scores)
    return CocoDataset(NAMES, tuple(images)), persons


def test_average_precision_is_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(6):
        dataset, persons = random_scene(rng)
        reference = evaluate_persons(persons, dataset, SKELETON)
        images = compare(persons, dataset, SKELETON, image_ids=persons)
        sigmas = dataset_sigmas(dataset, SKELETON)
        everyone = precision_recall(images, sigmas)
        medium = precision_recall(images, sigmas, area=(32.0**2, 96.0**2))
        large = precision_recall(images, sigmas, area=(96.0**2, 1e10))
        ours = (everyone.ap, everyone.ar, medium.ap, medium.ar, large.ap, large.ar)
        theirs = (reference.ap, reference.ar, reference.ap_m, reference.ar_m, reference.ap_l)
        assert ours == pytest.approx((*theirs, reference.ar_l), abs=1e-12)


def test_keypoint_ap_is_pycocotools_with_that_keypoint_only():
    dataset, persons = random_scene(np.random.default_rng(1))
    errors, sigmas = errors_of(dataset, persons)
    for column, figures in enumerate(measure_keypoints(errors, NAMES, sigmas)):
        only = tuple(
            replace(each, annotations=tuple(one_keypoint(one, column) for one in each.annotations))
            for each in dataset.images
        )
        part = CocoDataset((NAMES[column],), only)
        expected = evaluate_persons(persons, part, SKELETON).ap
        assert figures.ap == pytest.approx(expected, abs=1e-12)


def one_keypoint(one: Annotation, column: int) -> Annotation:
    visibility = one.visibility[[column]]
    return replace(
        one,
        xy=one.xy[[column]],
        visibility=visibility,
        num_keypoints=0 if one.crowd else int((visibility > 0).sum()),
    )


def test_pck_is_a_share_of_the_longer_side_of_the_box():
    shifts = np.array([[0, 0], [0, 5], [0, 12], [0, 30]])  # of a box 80 wide: limits 4, 8 and 16
    dataset = CocoDataset(NAMES, (image(1, label(BODY), label(BODY + 200)),))
    errors, sigmas = errors_of(dataset, {1: found(BODY + shifts)})  # the other is missed
    figures = measure_keypoints(errors, NAMES, sigmas)
    assert [each.labelled for each in figures] == [2] * 4
    assert [each.pck for each in figures] == [(0.5,) * 3, (0, 0.5, 0.5), (0, 0, 0.5), (0, 0, 0)]
    assert total_pck(errors, 4) == pytest.approx((1 / 8, 2 / 8, 3 / 8))


def test_a_keypoint_that_is_never_labelled_has_no_figures():
    dataset = CocoDataset(NAMES, (image(1, label(BODY, visibility=(2, 2, 2, 0))),))
    errors, sigmas = errors_of(dataset, {1: found(BODY)})
    tail = measure_keypoints(errors, NAMES, sigmas)[3]
    assert (tail.labelled, tail.ap, tail.pck) == (0, -1, (-1, -1, -1))


def labels_of(*people: Annotation) -> Comparison:
    dataset = CocoDataset(NAMES, (image(1, *people),))
    return compare({}, dataset, SKELETON, image_ids=[1])[0]


@pytest.mark.parametrize(
    ("people", "index"),
    [
        ([label(BODY)], 0),
        ([label(BODY), label(BODY + 200)], 0),
        ([label(BODY), label(BODY)], 1),  # 4 of the other's in the box, over 4 of one's own
        ([label(BODY), label(BODY + np.array([60, 0]))], (3 / 4 + 1 / 4) / 2),
        ([label(BODY), label(BODY, crowd=True)], 0),
        ([label(BODY), label(BODY, visibility=(0,) * 4)], 0),
        ([], 0),
    ],
)
def test_crowd_index(people, index):
    assert crowd_index(labels_of(*people).labels) == pytest.approx(index)


def test_groups_have_the_images_and_the_people_that_they_say():
    scenes = (
        image(1, label(BODY)),  # easy
        image(2, label(BODY), label(BODY)),  # hard
        image(3, label(BODY, area=500.0), label(BODY + np.array([60, 0]), area=50_000.0)),  # medium
        image(4),
    )
    dataset = CocoDataset(NAMES, scenes)
    persons = {1: found(BODY), 2: found(), 3: found(BODY, BODY + np.array([60, 0]))}
    images = compare(persons, dataset, SKELETON, image_ids=[1, 2, 3, 4])
    sigmas = dataset_sigmas(dataset, SKELETON)
    matches = [match_image(each, sigmas) for each in images]
    crowding = measure_crowding(images, matches)
    assert [(each.images, each.people) for each in crowding] == [(1, 1), (1, 2), (1, 2)]
    assert [each.ap for each in crowding] == pytest.approx([1, 1, 0])
    people = measure_people(matches)
    assert [(each.images, each.people) for each in people] == [(1, 1), (2, 4), (0, 0)]
    assert people[2].ap == -1
    sizes = measure_sizes(images, sigmas)
    assert [(each.images, each.people) for each in sizes] == [(1, 1), (2, 3), (0, 0), (1, 1)]


def test_the_worst_images_come_first_and_flawless_ones_not_at_all():
    dataset = CocoDataset(NAMES, tuple(image(number, label(BODY)) for number in (1, 2, 3)))
    persons = {1: found(BODY), 2: found(BODY + 3), 3: found(BODY + 300)}
    diagnosis = diagnose(persons, dataset, SKELETON, image_ids=[1, 2, 3])
    assert [each.comparison.image.id for each in diagnosis.worst(5)] == [3, 2]
    assert [each.comparison.image.id for each in diagnosis.worst(1)] == [3]
