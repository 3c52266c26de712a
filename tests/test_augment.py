"""Geometry of training images: where points go, and which part of a file is decoded."""

import itertools

import numpy as np
import pytest

from bpnet.data.augment import (
    MainPerson,
    View,
    epoch_order,
    move_keypoints,
    random_numbers,
    sample_view,
)
from bpnet.data.crop import find_crop
from bpnet.pose.transform import ImageTransform
from bpnet.spec.dataloader import AugmentationConfig, SpatialAugParams

PERSON = MainPerson(x=100, y=60, height=80)
LEAST, MIDDLE, MOST = (np.full(7, part) for part in (0.0, 0.5, 1 - 1e-12))


def view_of(mode="person_centric", draws=None, size=(120, 240), network=(64, 96), **params):
    config = AugmentationConfig(
        spatial_augmentation_mode=mode, spatial_aug_params=SpatialAugParams(**params)
    )
    return sample_view(config, image_size=size, person=PERSON, network_size=network, draws=draws)


def where(view, x, y):
    return view.transform.apply(np.array([x, y], np.float32)).tolist()


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
    upright = view_of("standard_with_fixed_aspect_ratio").transform
    turned = view_of("standard_with_fixed_aspect_ratio", draws=MOST, rotate_deg_max=30).transform
    of_network_pixels = upright.inverse().then(turned).matrix[:, :2]
    np.testing.assert_allclose(of_network_pixels @ of_network_pixels.T, np.eye(2), atol=1e-9)


@pytest.mark.parametrize("mode", ["person_centric", "standard", "standard_with_fixed_aspect_ratio"])
def test_a_zoom_above_one_shrinks(mode):
    params = {"zoom_prob": 1.0, "zoom_ratio_min": 2.0, "zoom_ratio_max": 2.0}
    near = view_of(mode).transform.matrix[:, :2]
    np.testing.assert_allclose(
        view_of(mode, draws=MIDDLE, **params).transform.matrix[:, :2], near / 2
    )


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


def test_flips_mirror_about_the_middle_of_the_view():
    plain = view_of()
    flipped = view_of(draws=LEAST, flip_lr_prob=0.5, flip_tb_prob=0.5)
    x, y = where(plain, 90, 30)
    assert where(flipped, 90, 30) == pytest.approx([95 - x, 63 - y])
    assert flipped.mirrored
    assert not view_of(draws=LEAST, flip_tb_prob=0.5).mirrored


def test_a_left_right_flip_swaps_sides_and_unlabelled_points_stay_zero():
    keypoints = np.array([[[10, 5, 1], [20, 5, 1], [0, 0, 0]]], np.float32)
    mirror_x = ImageTransform(np.array([[-1.0, 0, 31], [0, 1, 0]]))
    moved = move_keypoints(keypoints, View(mirror_x, mirrored=True), (1, 0, 2))
    assert moved.tolist() == [[[11, 5, 1], [21, 5, 1], [0, 0, 0]]]
    kept = move_keypoints(keypoints, View(mirror_x, mirrored=False), (1, 0, 2))
    assert kept.tolist() == [[[21, 5, 1], [11, 5, 1], [0, 0, 0]]]


def test_without_draws_nothing_is_random():
    params = {"flip_lr_prob": 1.0, "rotate_deg_min": 20.0, "rotate_deg_max": 40.0}
    params |= {"zoom_prob": 1.0, "zoom_ratio_min": 2.0, "zoom_ratio_max": 3.0}
    np.testing.assert_array_equal(view_of(**params).transform.matrix, view_of().transform.matrix)


def test_random_numbers_and_orders_depend_on_seed_and_place_only():
    np.testing.assert_array_equal(random_numbers(3, 5), random_numbers(3, 5))
    several = [random_numbers(seed, place) for seed in (3, 4) for place in (5, 6)]
    assert len({tuple(one) for one in several}) == 4
    assert sorted(epoch_order(3, 1, 50)) == list(range(50))
    assert epoch_order(3, 1, 50).tolist() != epoch_order(3, 0, 50).tolist()


def test_a_crop_holds_all_that_the_network_sees_and_keeps_its_place():
    random = np.random.default_rng(0)
    reductions = set()
    for _ in range(300):
        angle, scale = random.uniform(0, 7), np.exp(random.uniform(-2.5, 1))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        transform = ImageTransform(np.column_stack([turn, random.uniform(-100, 200, 2)]))
        size = (int(random.integers(50, 700)), int(random.integers(50, 700)))
        crop = find_crop(transform, image_size=size, network_size=(64, 96))
        reductions.add(crop.reduction)
        assert crop.reduction * scale <= 1.001 or crop.reduction == 1
        assert crop.top >= 0
        assert crop.left >= 0
        assert crop.top + crop.height <= -(-size[0] // crop.reduction)
        assert crop.left + crop.width <= -(-size[1] // crop.reduction)
        # Every pixel that the network samples inside the image is in the crop, with a neighbour.
        network = np.array(list(itertools.product((0, 40, 95), (0, 30, 63))), np.float32)
        source = transform.inverse().apply(network)
        inside = ((source >= 0) & (source <= np.array(size[::-1]) - 1)).all(axis=-1)
        at = crop.transform.inverse().apply(network[inside])
        assert (at >= -0.5).all()
        assert (at <= np.array([crop.width, crop.height]) - 0.5).all()
        # A crop pixel's centre is the middle of the source pixels that it stands for.
        middle = np.array([crop.left, crop.top]) * crop.reduction + (crop.reduction - 1) / 2
        np.testing.assert_allclose(
            crop.transform.apply(np.zeros(2, np.float32)),
            transform.apply(middle.astype(np.float32)),
            atol=1e-3,
        )
    assert reductions == {1, 2, 4, 8}
