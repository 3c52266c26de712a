"""Geometry of training images: where points go, and which part of a file is decoded."""

import itertools

import cv2
import numpy as np
import pytest

from bpnet.data.augment import (
    DRAWS,
    Views,
    epoch_order,
    move_keypoints,
    random_numbers,
    sample_views,
)
from bpnet.data.crop import find_crops
from bpnet.pose.transform import ImageTransform
from bpnet.spec.dataloader import AugmentationConfig, SpatialAugParams

PERSON = (100, 60, 80)  # x, y, height
NOBODY = (np.nan, np.nan, np.nan)
LEAST, MIDDLE, MOST = (np.full(DRAWS, part) for part in (0.0, 0.5, 1 - 1e-12))


def views_of(mode="person_centric", draws=None, people=(PERSON,), size=(120, 240), **params):
    config = AugmentationConfig(
        spatial_augmentation_mode=mode, spatial_aug_params=SpatialAugParams(**params)
    )
    return sample_views(
        config,
        image_sizes=np.array([size] * len(people), np.float64),
        people=np.array(people, np.float64),
        network_size=(64, 96),
        draws=None if draws is None else np.stack([draws] * len(people)),
    )


def view_of(mode="person_centric", draws=None, **params):
    return ImageTransform(views_of(mode, draws, **params).matrices[0])


def where(transform, x, y):
    return transform.apply(np.array([x, y], np.float32)).tolist()


def test_the_main_person_is_in_the_middle_at_the_target_part_of_the_height():
    view = view_of(target_person_scale=0.5)
    assert where(view, 100, 60) == [47.5, 31.5]
    assert where(view, 100, 20) == [47.5, 15.5]
    assert where(view, 100, 100) == [47.5, 47.5]


def test_standard_fits_the_whole_image_and_keeps_its_aspect():
    view = view_of("standard")
    assert where(view, -0.5, -0.5) == pytest.approx([-0.5, 7.5])  # 240 x 120 in 96 wide: 48 high
    assert where(view, 239.5, 119.5) == pytest.approx([95.5, 55.5])


def test_fixed_aspect_ratio_stretches_the_image_to_the_network():
    view = view_of("standard_with_fixed_aspect_ratio")
    assert where(view, -0.5, -0.5) == pytest.approx([-0.5, -0.5])
    assert where(view, 239.5, 119.5) == pytest.approx([95.5, 63.5])


def test_fixed_aspect_ratio_rotates_without_shear():
    upright = view_of("standard_with_fixed_aspect_ratio")
    turned = view_of("standard_with_fixed_aspect_ratio", draws=MOST, rotate_deg_max=30)
    of_network_pixels = upright.inverse().then(turned).matrix[:, :2]
    np.testing.assert_allclose(of_network_pixels @ of_network_pixels.T, np.eye(2), atol=1e-9)


@pytest.mark.parametrize("mode", ["person_centric", "standard", "standard_with_fixed_aspect_ratio"])
def test_a_zoom_above_one_shrinks(mode):
    params = {"zoom_prob": 1.0, "zoom_ratio_min": 2.0, "zoom_ratio_max": 2.0}
    near = view_of(mode).matrix[:, :2]
    far = view_of(mode, draws=MIDDLE, **params).matrix[:, :2]
    np.testing.assert_allclose(far, near / 2)


def test_whether_an_image_is_zoomed_tells_nothing_of_how_far():
    draws = random_numbers(7, 0, 2000)
    params = SpatialAugParams(zoom_prob=0.3, zoom_ratio_min=0.5, zoom_ratio_max=2.5)
    views = sample_views(
        AugmentationConfig(spatial_aug_params=params),
        image_sizes=np.full((2000, 2), 100.0),
        people=np.full((2000, 3), np.nan),
        network_size=(100, 100),
        draws=draws,
    )
    zooms = 1 / views.matrices[:, 0, 0]
    zoomed = zooms[np.abs(zooms - 1) > 1e-9]
    assert len(zoomed) / 2000 == pytest.approx(0.3, abs=0.04)
    assert np.quantile(zoomed, (0.1, 0.5, 0.9)) == pytest.approx([0.7, 1.5, 2.3], abs=0.15)


@pytest.mark.parametrize(("draws", "shift"), [(LEAST, -6), (MIDDLE, 2), (MOST, 10)])
def test_a_shift_moves_the_image_by_source_pixels(draws, shift):
    params = {"translate_min_x": -6.0, "translate_max_x": 10.0, "target_person_scale": 0.625}
    view = view_of(draws=draws, **params)  # half size
    assert where(view, 100, 60) == pytest.approx([47.5 + shift / 2, 31.5])


def test_a_shift_ratio_is_a_part_of_the_source_image():
    params = {"use_translate_ratio": True, "translate_ratio_max": 0.1, "target_person_scale": 0.625}
    assert where(view_of(draws=MOST, **params), 100, 60) == pytest.approx([47.5 + 12, 31.5 + 6])


def test_a_positive_rotation_is_clockwise():
    turned = view_of(draws=MOST, rotate_deg_max=90, target_person_scale=0.625)
    assert where(turned, 100, 20) == pytest.approx([47.5 + 20, 31.5], abs=1e-4)


def test_rotation_has_its_own_least():
    turned = view_of(draws=LEAST, rotate_deg_min=90, rotate_deg_max=180, target_person_scale=0.625)
    assert where(turned, 100, 20) == pytest.approx([47.5 + 20, 31.5], abs=1e-4)


@pytest.mark.parametrize(
    ("lr", "tb", "mirrored"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, False)]
)
def test_flips_mirror_about_the_middle_and_two_are_a_half_turn(lr, tb, mirrored):
    x, y = where(view_of(), 90, 30)
    views = views_of(draws=LEAST, flip_lr_prob=lr * 0.5, flip_tb_prob=tb * 0.5)
    expected = [95 - x if lr else x, 63 - y if tb else y]
    assert where(ImageTransform(views.matrices[0]), 90, 30) == pytest.approx(expected)
    assert views.mirrored.tolist() == [mirrored]
    assert (np.linalg.det(views.matrices[0, :, :2]) < 0) == mirrored


def test_a_mirror_image_swaps_sides_and_unlabelled_points_stay_zero():
    keypoints = np.array([[[[10, 5, 1], [20, 5, 1], [0, 0, 0]]]] * 2, np.float32)
    mirror_x = np.array([[[-1.0, 0, 31], [0, 1, 0]]] * 2)
    moved = move_keypoints(keypoints, Views(mirror_x, np.array([True, False])), (1, 0, 2))
    assert moved[0].tolist() == [[[11, 5, 1], [21, 5, 1], [0, 0, 0]]]
    assert moved[1].tolist() == [[[21, 5, 1], [11, 5, 1], [0, 0, 0]]]


@pytest.mark.parametrize("person", [NOBODY, (100, 60, 0), (np.nan, 60, 80)])
def test_an_image_without_a_main_person_is_fitted_whole(person):
    alone = views_of(people=(PERSON, person)).matrices
    np.testing.assert_allclose(alone[0], view_of().matrix)
    np.testing.assert_allclose(alone[1], view_of("standard").matrix)


def test_without_draws_nothing_is_random():
    params = {"flip_lr_prob": 1.0, "rotate_deg_min": 20.0, "rotate_deg_max": 40.0}
    params |= {"zoom_prob": 1.0, "zoom_ratio_min": 2.0, "zoom_ratio_max": 3.0}
    np.testing.assert_array_equal(view_of(**params).matrix, view_of().matrix)


def test_random_numbers_and_orders_depend_on_seed_and_place_only():
    together = random_numbers(3, 5, 4)
    np.testing.assert_array_equal(together[2:3], random_numbers(3, 7, 1))
    other_seed = random_numbers(4, 5, 4)
    assert len(np.unique(np.concatenate([together, other_seed]))) == 8 * DRAWS
    assert sorted(epoch_order(3, 1, 50)) == list(range(50))
    assert epoch_order(3, 1, 50).tolist() != epoch_order(3, 0, 50).tolist()


def random_geometry(random, count):
    """Random matrices (count, 2, 3) and image sizes (count, 2)."""
    angle, scale = random.uniform(0, 7, count), np.exp(random.uniform(-2.5, 1, count))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = random.uniform(-100, 200, (count, 2, 1))
    sizes = random.integers(50, 700, (count, 2)).astype(np.float64)
    return np.concatenate([turn.transpose(2, 0, 1), shift], axis=2), sizes


def test_a_crop_holds_all_that_the_network_sees_and_keeps_its_place():
    matrices, sizes = random_geometry(np.random.default_rng(0), 300)
    crops = find_crops(matrices, image_sizes=sizes, network_size=(64, 96))
    assert {crop.reduction for crop in crops} == {1, 2, 4, 8}
    for matrix, size, crop in zip(matrices, sizes, crops, strict=True):
        transform, of_crop = ImageTransform(matrix), ImageTransform(crop.matrix)
        assert crop.scale <= 1.001 or crop.reduction == 1
        assert crop.scale * 2 > 1 or crop.reduction == 8
        np.testing.assert_allclose(crop.scale**2, abs(np.linalg.det(crop.matrix[:, :2])))
        assert min(crop.top, crop.left) >= 0
        assert min(crop.height, crop.width) >= 1
        assert crop.top + crop.height <= -(-size[0] // crop.reduction)
        assert crop.left + crop.width <= -(-size[1] // crop.reduction)
        # Every pixel that the network samples inside the image is in the crop, with a neighbour.
        network = np.array(list(itertools.product((0, 40, 95), (0, 30, 63))), np.float32)
        source = transform.inverse().apply(network)
        inside = ((source >= 0) & (source <= size[::-1] - 1)).all(axis=-1)
        at = of_crop.inverse().apply(network[inside])
        assert (at >= -0.5).all()
        assert (at <= np.array([crop.width, crop.height]) - 0.5).all()
        # A crop pixel's centre is the middle of the source pixels that it stands for.
        middle = np.array([crop.left, crop.top]) * crop.reduction + (crop.reduction - 1) / 2
        np.testing.assert_allclose(
            of_crop.apply(np.zeros(2, np.float32)),
            transform.apply(middle.astype(np.float32)),
            atol=1e-3,
        )


def test_a_crop_is_cut_from_an_image_by_the_mean_of_squares():
    image = np.random.default_rng(0).integers(0, 255, (61, 83, 3), np.uint8)
    matrix = np.array([[[0.25, 0, 3], [0, 0.25, 5]]])
    size = np.array([[61.0, 83.0]])
    (crop,) = find_crops(matrix, image_sizes=size, network_size=(64, 96))
    assert (crop.reduction, crop.top, crop.left, crop.height, crop.width) == (4, 0, 0, 16, 21)
    padded = cv2.copyMakeBorder(image, 0, 3, 0, 1, cv2.BORDER_REPLICATE).astype(float)
    means = padded.reshape(16, 4, 21, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(crop.cut(image), means, atol=0.51)
