"""Ids and scores beside drawn people: stable, legible, inside the picture."""

import numpy as np
import pytest

from bpnet.drawing import draw_persons, id_colour
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

HORSE = Skeleton.from_category(
    Category(
        keypoints=["muzzle", "withers", "tail", "left_hoof", "right_hoof"],
        skeleton=[[1, 2], [2, 3], [2, 4], [2, 5]],
        colors=["#400000", "#004000", "#000040", "#404000"],
    ),
    "horse",
)
POSE = np.array([[60, 100], [90, 110], [150, 115], [95, 170], [145, 170]], np.float32)
GREY = np.full((240, 320, 3), 128, np.uint8)


def horses(*offsets: tuple[float, float], ids: list[int] | None, scale: float = 1.0):
    xy = np.array([POSE * scale + offset for offset in offsets], np.float32)
    return PersonKeypoints(
        xy,
        np.ones(xy.shape[:2], np.float32),
        np.linspace(2, 1, len(xy), dtype=np.float32),
        ids=None if ids is None else np.array(ids, np.int64),
    )


def has_colour(image, colour):
    return (image == colour).all(axis=-1)


def test_a_label_has_its_ids_colour_above_the_animal():
    drawing = draw_persons(GREY, horses((0, 0), ids=[7]), HORSE)
    rows, columns = np.nonzero(has_colour(drawing, id_colour(7)))
    assert len(rows) > 40
    assert rows.max() < 100
    assert abs(columns.mean() - 75) < 4  # between the muzzle and the withers


def test_ids_following_each_other_have_colours_far_apart():
    gaps = [np.abs(np.subtract(id_colour(n), id_colour(n + 1))).sum() for n in range(1, 200)]
    assert min(gaps) > 150


def test_who_has_no_id_has_no_label():
    plain = draw_persons(GREY, horses((0, 0), ids=None), HORSE)
    np.testing.assert_array_equal(draw_persons(GREY, horses((0, 0), ids=[-1]), HORSE), plain)


def test_a_score_is_written_without_an_id_too():
    plain = draw_persons(GREY, horses((0, 0), ids=None), HORSE)
    assert (draw_persons(GREY, horses((0, 0), ids=None), HORSE, scores=True) != plain).any()


@pytest.mark.parametrize("offset", [(-150, 0), (0, -105), (250, 60), (-140, -165), (100, 130)])
def test_a_label_is_whole_at_every_border(offset):
    whole = has_colour(draw_persons(GREY, horses((50, 50), ids=[4]), HORSE), id_colour(4)).sum()
    beside = has_colour(draw_persons(GREY, horses(offset, ids=[4]), HORSE), id_colour(4)).sum()
    assert beside == whole


def test_labels_of_people_at_one_place_do_not_cover_each_other():
    people = horses((0, 0), (3, 2), (6, -2), ids=[1, 1, 1])
    three = has_colour(draw_persons(GREY, people, HORSE), id_colour(1)).sum()
    one = has_colour(draw_persons(GREY, horses((0, 0), ids=[1]), HORSE), id_colour(1)).sum()
    assert three >= 3 * one


@pytest.mark.parametrize("scale", [0.15, 1.0, 8.0])
def test_a_label_grows_with_the_image_and_stays_legible(scale):
    image = np.full((round(240 * scale), round(320 * scale), 3), 128, np.uint8)
    drawing = draw_persons(image, horses((0, 0), ids=[8], scale=scale), HORSE)
    rows, _ = np.nonzero(has_colour(drawing, id_colour(8)))
    high = rows.max() - rows.min() + 1
    assert 10 <= high <= 0.5 * image.shape[0]
    if scale > 1:
        assert high > 40


def test_a_tiny_image_keeps_the_label_inside():
    drawing = draw_persons(GREY[:12, :9], horses((0, 0), ids=[123456], scale=0.05), HORSE)
    assert drawing.shape == (12, 9, 3)


def test_a_person_without_keypoints_has_no_label():
    nobody = PersonKeypoints(
        np.zeros((1, 5, 2), np.float32),
        np.zeros((1, 5), np.float32),
        np.ones(1, np.float32),
        ids=np.array([3]),
    )
    np.testing.assert_array_equal(draw_persons(GREY, nobody, HORSE, scores=True), GREY)
