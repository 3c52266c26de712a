"""Batches: pixels and keypoints land together, whatever the file, the mode and the threads."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from small_training import (
    COCO,
    EVERYTHING_RANDOM,
    SKELETON,
    batches_of,
    grey_images,
    loader_of,
    record_of,
    write_image,
)

from bpnet.data.batch_reader import NICER, step_back
from bpnet.data.pipeline import make_batches, steps_per_epoch
from bpnet.data.records import write_records
from bpnet.spec.dataloader import SpatialAugParams
from bpnet.spec.dataset import Category, DatasetSpec, VisibilityFlags

MODES = ["person_centric", "standard", "standard_with_fixed_aspect_ratio"]


def blob(size, x, y, *, sigma, peak):
    """A soft spot (H, W) float centred at (x, y)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def centroid(values, near, reach):
    """The centre of mass (2,) of ``values`` (H, W) within ``reach`` of point ``near``."""
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    weight = values * (np.hypot(columns - near[0], rows - near[1]) < reach)
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def brightness(image):
    """How much brighter than the spot's surroundings, 0 in the grey outside of the image."""
    outside = (image[..., 1] == 127).astype(np.uint8)
    outside = cv2.morphologyEx(outside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.maximum(image[..., 1].astype(float) - 42, 0) * (outside == 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("scale", [1, 3, 7])  # sources about as large as the network, and larger
def test_a_bright_spot_and_its_keypoint_land_together(tmp_path, mode, suffix, scale):
    size, spot = (120 * scale + 1, 170 * scale + 3), (80.3 * scale, 64.8 * scale)
    image = 40 + blob(size, *spot, sigma=3 * scale, peak=200)
    write_image(tmp_path / f"spot.{suffix}", np.repeat(image[..., None], 3, -1).astype(np.uint8))
    joints = [[[*spot, 2], [0, 0, 0], [0, 0, 0]]]
    record = record_of(f"spot.{suffix}", joints, size=size, height=110 * scale)
    params = replace(
        EVERYTHING_RANDOM,
        translate_max_x=8 * scale,
        translate_max_y=8 * scale,
        target_person_scale=0.8,
    )
    loader = loader_of(tmp_path, mode=mode, params=params)
    for batch in batches_of(tmp_path, [record], loader=loader, batch_size=4, steps=2):
        for image, keypoints in zip(batch["images"], batch["keypoints"], strict=True):
            (point,) = keypoints[keypoints[..., 2] > 0]
            found = centroid(brightness(image), point[:2], 20)
            np.testing.assert_allclose(found, point[:2], atol=0.05)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [1, 3, 7])
def test_a_mask_lands_with_its_image(tmp_path, mode, scale):
    size, spot = (160 * scale + 1, 213 * scale + 1), (106.3 * scale, 82.8 * scale)
    write_image(tmp_path / "spot.jpg", np.zeros((*size, 3), np.uint8))
    mask = 255 - blob(size, *spot, sigma=12 * scale, peak=255)
    write_image(tmp_path / "masks/spot.png", np.round(mask).astype(np.uint8))
    joints = [[[*spot, 2], [0, 0, 0], [0, 0, 0]]]
    record = record_of("spot.jpg", joints, size=size, mask="masks/spot.png", height=140 * scale)
    loader = loader_of(tmp_path, mode=mode, params=EVERYTHING_RANDOM)
    (batch,) = batches_of(tmp_path, [record], loader=loader, batch_size=6, steps=1)
    assert batch["masks"].shape == (6, 16, 20, 1)
    for values, keypoints in zip(batch["masks"], batch["keypoints"], strict=True):
        (point,) = keypoints[keypoints[..., 2] > 0]
        cell = (point[:2] - 3.5) / 8
        assert values.max() == 1
        np.testing.assert_allclose(
            centroid(1 - values[..., 0], cell, 8) * 8 + 3.5, point[:2], atol=0.05
        )


def test_a_mask_is_averaged_down_to_the_map(tmp_path):
    size = (128, 160)
    write_image(tmp_path / "a.jpg", np.zeros((*size, 3), np.uint8))
    mask = np.full(size, 255, np.uint8)
    mask[:, :12] = 0
    write_image(tmp_path / "a.png", mask)
    record = record_of("a.jpg", [], size=size, mask="a.png")
    loader = loader_of(tmp_path, mode="standard")
    (batch,) = batches_of(tmp_path, [record], loader=loader, augment=False, batch_size=1, steps=1)
    assert batch["masks"][0, :, :3, 0].tolist() == [[0, 0.5, 1]] * 16


def test_the_outside_of_an_image_is_grey_and_valid(tmp_path):
    size = (60, 160)
    write_image(tmp_path / "a.jpg", np.zeros((*size, 3), np.uint8))
    write_image(tmp_path / "a.png", np.zeros(size, np.uint8))
    record = record_of("a.jpg", [], size=size, mask="a.png")
    loader = loader_of(tmp_path, mode="standard")
    (batch,) = batches_of(tmp_path, [record], loader=loader, augment=False, batch_size=1, steps=1)
    assert (batch["images"][0, :33] == 127).all()
    assert (batch["images"][0, 36:90] == 0).all()
    assert batch["masks"][0, [0, 1, 7, 8, 14, 15], 5, 0].tolist() == [1, 1, 0, 0, 1, 1]


def test_grey_images_become_rgb_and_colours_keep_their_order(tmp_path):
    write_image(tmp_path / "grey.jpg", np.full((128, 160), 90, np.uint8))
    write_image(tmp_path / "grey.png", np.full((128, 160), 90, np.uint8))
    for suffix in ("jpg", "png"):
        write_image(tmp_path / f"red.{suffix}", np.full((128, 160, 3), (0, 0, 200), np.uint8))
    names = ["grey.jpg", "grey.png", "red.jpg", "red.png"]
    records = [record_of(name, [], size=(128, 160)) for name in names]
    loader = loader_of(tmp_path, mode="standard")
    (batch,) = batches_of(tmp_path, records, loader=loader, augment=False, batch_size=4, steps=1)
    colour = {
        Path(p.decode()).name: i[5, 5] for p, i in zip(batch["paths"], batch["images"], strict=True)
    }
    for name in names:
        expected = (90, 90, 90) if "grey" in name else (200, 0, 0)
        np.testing.assert_allclose(colour[name].astype(int), expected, atol=2)


def test_keypoints_go_by_name_and_the_neck_needs_both_shoulders(tmp_path):
    size = (128, 160)
    write_image(tmp_path / "a.jpg", np.zeros((*size, 3), np.uint8))
    people = [
        [[10, 20, 2], [30, 40, 2], [20, 44, 1]],  # nose, left and right shoulder, 1 is occluded
        [[0, 0, 0], [50, 60, 2], [0, 0, 0]],
    ]
    loader = loader_of(tmp_path, mode="standard")
    record = record_of("a.jpg", people, size=size)
    (batch,) = batches_of(tmp_path, [record], loader=loader, augment=False, batch_size=1, steps=1)
    none = [0, 0, 0]
    assert batch["keypoints"][0].tolist() == [
        [[10, 20, 1], [25, 42, 1], [20, 44, 1], [30, 40, 1]],
        [none, none, none, [50, 60, 1]],
    ]


def test_a_flip_swaps_left_and_right(tmp_path):
    size = (128, 160)
    write_image(tmp_path / "a.jpg", np.zeros((*size, 3), np.uint8))
    record = record_of("a.jpg", [[[10, 20, 2], [30, 40, 2], [0, 0, 0]]], size=size)
    loader = loader_of(tmp_path, mode="standard", params=SpatialAugParams(flip_lr_prob=1))
    (batch,) = batches_of(tmp_path, [record], loader=loader, batch_size=1, steps=1)
    none = [0, 0, 0]
    assert batch["keypoints"][0].tolist() == [[[149, 20, 1], none, [129, 40, 1], none]]


def test_datasets_of_other_keypoints_and_flags_share_a_training(tmp_path):
    size = (128, 160)
    write_image(tmp_path / "a.jpg", np.zeros((*size, 3), np.uint8))
    flags = VisibilityFlags(
        value={"clear": 0, "cut": 1}, mapping={"clear": "visible", "cut": "truncated"}
    )
    other = DatasetSpec(
        dataset="other",
        root_directory_path="",
        categories=[Category(keypoints=["tail", "nose"])],
        visibility_flags=flags,
    )
    records = [
        record_of(
            "a.jpg", [[[9, 9, 0], [10, 20, 0]], [[9, 9, 0], [7, 7, 1]]], size=size, dataset="other"
        ),
        record_of("a.jpg", [[[30, 40, 2], [0, 0, 0], [0, 0, 0]]], size=size),
    ]
    loader = loader_of(tmp_path, mode="standard")
    (batch,) = batches_of(
        tmp_path,
        records,
        loader=loader,
        datasets={"coco": COCO, "other": other},
        augment=False,
        steps=1,
    )
    noses = sorted(batch["keypoints"][:, :, 0].tolist())
    assert noses == [[[10, 20, 1], [0, 0, 0]], [[30, 40, 1], [0, 0, 0]]]


def test_batches_do_not_depend_on_threads_or_where_training_starts(tmp_path):
    records = grey_images(tmp_path, 7)
    whole = batches_of(tmp_path, records, batch_size=3, steps=6, threads=1)
    again = batches_of(tmp_path, records, batch_size=3, steps=6, threads=4)
    resumed = batches_of(tmp_path, records, batch_size=3, steps=2, first_step=4)
    parts = [
        batches_of(tmp_path, records, batch_size=3, steps=6, shard=shard, shards=3)
        for shard in range(3)
    ]
    for one, other in [*zip(whole, again, strict=True), *zip(whole[4:], resumed, strict=True)]:
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
    for step, one in enumerate(whole):
        together = np.concatenate([part[step]["images"] for part in parts])
        np.testing.assert_array_equal(one["images"], together)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_decoding_threads_leave_the_cores_to_the_network():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with ThreadPoolExecutor(1, initializer=step_back) as pool:
        asked = pool.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert asked.result() == min(19, own + NICER)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_an_epoch_visits_every_record_once(tmp_path):
    records = grey_images(tmp_path, 6)
    paths = np.array([one["paths"] for one in batches_of(tmp_path, records, steps=6)])
    first, second = paths[:3].ravel().tolist(), paths[3:].ravel().tolist()
    assert sorted(first) == [str(tmp_path / f"{number}.jpg").encode() for number in range(6)]
    assert sorted(second) == sorted(first)
    assert first != second
    assert steps_per_epoch([tmp_path / "train.tfrecord"], 4) == 1


def test_another_seed_and_another_epoch_see_other_views(tmp_path):
    records = grey_images(tmp_path, 1)
    first, second = batches_of(tmp_path, records, batch_size=1)
    other, _ = batches_of(tmp_path, records, batch_size=1, seed=2)
    assert (first["images"] != second["images"]).any()
    assert (first["images"] != other["images"]).any()


def test_batches_have_known_shapes(tmp_path):
    write_records(tmp_path / "a.tfrecord", grey_images(tmp_path, 1))
    batches = make_batches(
        loader_of(tmp_path),
        skeleton=SKELETON,
        datasets={"coco": COCO},
        records=[tmp_path / "a.tfrecord"],
        seed=1,
        batch_size=5,
    )
    shapes = {name: spec.shape.as_list() for name, spec in batches.element_spec.items()}
    assert shapes == {
        "images": [5, 128, 160, 3],
        "masks": [5, 16, 20, 1],
        "keypoints": [5, None, 4, 3],
        "paths": [5],
    }
    assert batches.element_spec["images"].dtype == tf.uint8
