"""Random colours of training images."""

import cv2
import numpy as np
import pytest
from small_training import batches_of, loader_of, record_of, write_image

from bpnet.data.augment import BLUR, BRIGHTNESS, CONTRAST, DRAWS, HUE, SATURATION, WHETHER_BLUR
from bpnet.data.colour import change_colours, sample_colours
from bpnet.spec.dataloader import ColorAugParams, SpatialAugParams

MOST = 1 - 1e-12
RED, GREY = (200, 40, 40), (90, 90, 90)


def changed(pixel, draws, **params):
    """A pixel after the change that these random numbers, in the middle elsewhere, make."""
    numbers = np.full((1, DRAWS), 0.5)
    for place, value in draws.items():
        numbers[0, place] = value
    colours = sample_colours(ColorAugParams(**params), numbers)
    image = np.full((4, 4, 3), pixel, np.uint8)
    return change_colours(image, colours.matrices[0], sigma=0)[0, 0].tolist()


@pytest.mark.parametrize(("draw", "expected"), [(0, 39), (0.5, 90), (MOST, 141)])
def test_brightness_adds_a_part_of_white(draw, expected):
    assert changed(GREY, {BRIGHTNESS: draw}, brightness_max=0.2) == [expected] * 3


def test_contrast_is_about_middle_grey():
    assert changed((27, 127, 228), {CONTRAST: MOST}, contrast_max=0.2) == [7, 127, 248]
    assert changed((27, 127, 228), {CONTRAST: 0}, contrast_max=0.2) == [47, 127, 208]


def test_without_saturation_all_channels_are_the_luma():
    luma = round(0.299 * 200 + 0.587 * 40 + 0.114 * 40)
    found = changed(RED, {SATURATION: 0}, saturation_max=1.0)
    np.testing.assert_allclose(found, luma, atol=1)
    assert changed(GREY, {SATURATION: MOST}, saturation_max=1.0) == list(GREY)


def test_a_hue_turns_but_grey_and_luma_stay():
    assert changed(GREY, {HUE: MOST}, hue_rotation_max=90) == list(GREY)
    found = np.array(changed((150, 110, 110), {HUE: MOST}, hue_rotation_max=90))
    luma = np.array([0.299, 0.587, 0.114])
    assert luma @ found == pytest.approx(luma @ (150, 110, 110), abs=1)
    assert np.abs(found - (150, 110, 110)).max() > 15
    back = np.array(changed(found, {HUE: 0}, hue_rotation_max=90))
    np.testing.assert_allclose(back, (150, 110, 110), atol=2)


def test_colours_are_clipped_not_wrapped():
    assert changed((250, 5, 90), {BRIGHTNESS: MOST}, brightness_max=0.4) == [255, 107, 192]
    assert changed((250, 5, 90), {BRIGHTNESS: 0}, brightness_max=0.4) == [148, 0, 0]


def test_a_blur_has_its_probability_and_its_greatest_sigma():
    draws = np.full((3, DRAWS), 0.5)
    draws[:, WHETHER_BLUR], draws[:, BLUR] = (0.1, 0.3, 0.1), (0.5, 0.5, 1.0)
    colours = sample_colours(ColorAugParams(blur_prob=0.2, blur_sigma_max=3), draws)
    assert colours.sigmas.tolist() == [1.5, 0, 3]


def test_a_blur_spreads_a_pixel_by_its_sigma():
    image = np.zeros((33, 33, 3), np.uint8)
    image[16, 16] = 255
    keep = np.eye(3, 4, dtype=np.float32)
    blurred = change_colours(image, keep, sigma=1.5)[..., 0].astype(float)
    across = np.square(np.arange(33) - 16.0) * blurred.sum(axis=0)
    assert np.sqrt(across.sum() / blurred.sum()) == pytest.approx(1.5, abs=0.1)
    assert (change_colours(image, keep, sigma=0.2) == image).all()


def test_batches_vary_the_image_not_the_outside_and_only_when_augmenting(tmp_path):
    size = (60, 160)
    write_image(tmp_path / "a.png", np.full((*size, 3), GREY, np.uint8))
    record = record_of("a.png", [], size=size)
    params = ColorAugParams(brightness_max=0.3, contrast_max=0.3, blur_prob=1.0)
    loader = loader_of(tmp_path, mode="standard", params=SpatialAugParams(), colours=params)
    first, again = (
        np.concatenate([one["images"] for one in batches_of(tmp_path, [record], loader=loader)])
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first[:, :33] == 127).all()
    inside = first[:, 40:80, :, 0].reshape(len(first), -1)
    assert (np.ptp(inside, axis=1) == 0).all()
    assert len(np.unique(inside)) == len(first)
    (plain,) = batches_of(tmp_path, [record], loader=loader, augment=False, steps=1)
    assert (plain["images"][:, 40:80] == GREY[0]).all()


def test_a_blur_is_as_wide_in_network_pixels_whatever_the_source(tmp_path):
    widths = []
    for scale in (1, 2, 6):
        size = (128 * scale, 160 * scale)
        image = np.zeros((*size, 3), np.uint8)
        image[:, size[1] // 2 :] = 255
        write_image(tmp_path / "edge.png", image)
        record = record_of("edge.png", [], size=size)
        params = ColorAugParams(blur_prob=1.0, blur_sigma_max=6)
        loader = loader_of(tmp_path, mode="standard", params=SpatialAugParams(), colours=params)
        (batch,) = batches_of(tmp_path, [record], loader=loader, batch_size=3, steps=1)
        slope = cv2.Sobel(batch["images"][0, ..., 0].astype(float), -1, 1, 0)[60]
        columns = np.arange(160)
        middle = (slope * columns).sum() / slope.sum()
        widths.append(np.sqrt((slope * np.square(columns - middle)).sum() / slope.sum()))
    np.testing.assert_allclose(widths, widths[0], rtol=0.05)
