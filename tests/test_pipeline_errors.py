"""Damaged images, masks and records end a training with a sentence that names them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_training import (
    batches_of,
    grey_images,
    loader_of,
    record_of,
    write_image,
)

from bpnet.errors import DataError, SpecError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category


def cut_short(path):
    path.write_bytes(path.read_bytes()[:900])


def spoil_the_header(path):
    data = path.read_bytes()
    place = data.index(b"\xff\xc4")  # a Huffman table
    path.write_bytes(data[: place + 5] + b"\xff" * 20 + data[place + 25 :])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut_short, "is not an image, or is damaged"),
        (spoil_the_header, "is not an image, or is damaged"),
        (Path.unlink, "cannot be read: No such file"),
        (lambda path: path.write_bytes(b""), "is not an image, or is damaged"),
        (lambda path: path.write_bytes(b"no image"), "is not an image, or is damaged"),
        (lambda path: path.write_bytes(b"\xff\xd8\xff"), "is not an image, or is damaged"),
        (lambda path: write_image(path, np.zeros((9, 8), np.uint8)), "is 8 x 9 pixels but 80 x 60"),
    ],
)
def test_a_bad_image_is_named(tmp_path, damage, sentence):
    records = grey_images(tmp_path, 3)
    damage(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=sentence) as error:
        batches_of(tmp_path, records)
    assert str(error.value).startswith(f"{tmp_path / '1.jpg'} (image 1) ")


def test_a_jpeg_cut_below_the_crop_is_found_too(tmp_path):
    size = (600, 80)
    write_image(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 255, size, np.uint8))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    record = record_of("a.jpg", [[[40, 20, 2], [0, 0, 0], [0, 0, 0]]], size=size, height=40)
    with pytest.raises(DataError, match=r"a\.jpg"):
        batches_of(tmp_path, [record], augment=False)


def test_bytes_after_a_jpeg_do_no_harm(tmp_path):
    records = grey_images(tmp_path, 1)
    with (tmp_path / "0.jpg").open("ab") as file:
        file.write(b"more")
    assert len(batches_of(tmp_path, records)) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "mystery"}, "dataset mystery, which dataset_specs does not name"),
        ({"joints": np.zeros((1, 5, 3))}, "3 keypoints in its spec but 5 in its records"),
        ({"mask_path": "no.png"}, r"no\.png \(mask of image 1\) cannot be read"),
        ({"mask_path": "small.png"}, r"small\.png \(mask of image 1\) is 4 x 4 pixels but 80 x 60"),
    ],
)
def test_a_bad_record_is_named(tmp_path, change, sentence):
    write_image(tmp_path / "small.png", np.zeros((4, 4), np.uint8))
    (record,) = grey_images(tmp_path, 1)
    with pytest.raises(DataError, match=sentence):
        batches_of(tmp_path, [replace(record, **change)])


def test_no_records_are_an_error(tmp_path):
    with pytest.raises(DataError, match="there is no record"):
        batches_of(tmp_path, [])


def test_maps_that_do_not_fit_the_input_are_an_error(tmp_path):
    loader = loader_of(tmp_path)
    wrong = replace(loader, pose_config=replace(loader.pose_config, target_shape=[16, 16]))
    with pytest.raises(SpecError, match="target_shape"):
        batches_of(tmp_path, grey_images(tmp_path, 1), loader=wrong)


def test_a_dataset_without_a_common_keypoint_is_an_error(tmp_path):
    skeleton = Skeleton.from_category(Category(keypoints=["tail"]), "dog")
    with pytest.raises(SpecError, match="no keypoint name in common"):
        batches_of(tmp_path, grey_images(tmp_path, 1), skeleton=skeleton)
