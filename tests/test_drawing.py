"""Drawings show what was found, where it was found, and nothing else."""

import numpy as np
import pytest

from bpnet.drawing import contact_sheet, draw_heatmaps, draw_pafs, draw_persons
from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

SKELETON = Skeleton(
    name="three",
    keypoints=("a", "b", "c"),
    limbs=((0, 1), (1, 2)),
    mirror=(0, 1, 2),
    sigmas=(0.1, 0.1, 0.1),
    derived={},
    colors=((255, 0, 0), (0, 0, 255)),
)
BLACK = np.zeros((240, 320, 3), np.uint8)


def person(*xy: tuple[float, float], missing: int | None = None) -> PersonKeypoints:
    score = np.ones((1, len(xy)), np.float32)
    if missing is not None:
        score[0, missing] = 0
    return PersonKeypoints(np.array([xy], np.float32), score, np.ones(1, np.float32))


def test_limbs_have_their_colours_and_the_image_stays_as_it_was() -> None:
    drawing = draw_persons(BLACK, person((40, 60), (160, 60), (160, 200)), SKELETON)
    assert drawing[60, 100].tolist() == [255, 0, 0]
    assert drawing[130, 160].tolist() == [0, 0, 255]
    assert not BLACK.any()


def test_limbs_of_missing_keypoints_are_not_drawn() -> None:
    drawing = draw_persons(BLACK, person((40, 60), (160, 60), (0, 0), missing=2), SKELETON)
    assert drawing[60, 100].any()
    assert not drawing[:40].any()
    assert not drawing[80:].any()


def test_people_partly_or_far_outside_can_be_drawn() -> None:
    drawing = draw_persons(BLACK, person((-50, 120), (160, 120), (1e7, 120)), SKELETON)
    assert drawing[120, 10].tolist() == [255, 0, 0]


def test_nobody_leaves_the_image_as_it_is() -> None:
    empty = PersonKeypoints(*(np.zeros(shape, np.float32) for shape in ((0, 3, 2), (0, 3), 0)))
    np.testing.assert_array_equal(draw_persons(BLACK + 7, empty, SKELETON), BLACK + 7)


def test_maps_are_drawn_where_their_cells_are() -> None:
    heatmaps, pafs = np.zeros((8, 12, 4), np.float32), np.zeros((32, 48, 4), np.float32)
    heatmaps[2, 5, 1] = 1
    heatmaps[6, 6, 3] = 1  # background: not drawn
    pafs[10, 20] = (0, 0, 1, 0)
    maps = PoseMaps(heatmaps, pafs, 8, 2)
    image = np.zeros((64, 96, 3), np.uint8)
    for drawing, x, y in (
        (draw_heatmaps(image, maps), 43.5, 19.5),
        (draw_pafs(image, maps), 40.5, 20.5),
    ):
        light = drawing.sum(axis=-1).astype(np.float64)
        rows, columns = np.mgrid[:64, :96]
        centre = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
        assert centre == pytest.approx((x, y), abs=0.3)


def test_a_contact_sheet_holds_every_image() -> None:
    images = [np.full((50, 100, 3), grey, np.uint8) for grey in (10, 20, 30)]
    sheet = contact_sheet(images, columns=2, cell=100, gap=4)
    assert sheet.shape == (2 * 50 + 3 * 4, 2 * 104 + 4, 3)
    assert set(np.unique(sheet)) == {10, 20, 30, 255}
