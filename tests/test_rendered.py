"""Drawn people: hard enough, labelled right, the same every time."""

import json
import os
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bpnet.data.drawn_person import PARTS, Painter, paint_person, random_outfit
from bpnet.data.posed_body import random_body
from bpnet.data.rendered import _render_file, count_difficulty, render_dataset, render_scene
from bpnet.errors import DataError


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    assert list(render_dataset(folder, split="train", images=160, seed=3)) == list(range(1, 161))
    return folder


def labels_of(folder: Path, split: str = "train") -> dict:
    return json.loads((folder / "annotations" / f"person_keypoints_{split}.json").read_text())


def test_the_pictures_are_not_a_toy(drawn: Path) -> None:
    difficulty = count_difficulty(drawn / "annotations" / "person_keypoints_train.json")
    assert difficulty["hidden"] >= 0.15
    assert difficulty["overlapping"] >= 0.05
    assert difficulty["unlabelled"] >= 0.02
    labels = labels_of(drawn)
    assert any(a["iscrowd"] for a in labels["annotations"])
    people = [a for a in labels["annotations"] if a["num_keypoints"]]
    heights = np.array([a["bbox"][3] for a in people]) / 288
    assert heights.max() <= 0.97
    assert (heights > 0.6).mean() > 0.15
    assert (heights < 0.4).mean() > 0.15


def test_every_picture_holds_one_to_five_labelled_people_or_fewer_seen(drawn: Path) -> None:
    labels = labels_of(drawn)
    counts = np.bincount(
        [a["image_id"] for a in labels["annotations"] if a["num_keypoints"]], minlength=161
    )[1:]
    assert counts.max() <= 5
    assert (counts >= 1).mean() > 0.95


def test_the_same_seed_draws_the_same_files_with_any_number_of_processes(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        list(render_dataset(tmp_path / name, split="val", images=10, seed=5, workers=workers))
    assert labels_of(tmp_path / "one", "val") == labels_of(tmp_path / "two", "val")
    for first in sorted((tmp_path / "one" / "val").iterdir()):
        assert first.read_bytes() == (tmp_path / "two" / "val" / first.name).read_bytes()


def test_splits_differ(tmp_path: Path) -> None:
    for split in ("train", "val"):
        list(render_dataset(tmp_path, split=split, images=1, seed=5, workers=1))
    images = [(tmp_path / split / "000000.jpg").read_bytes() for split in ("train", "val")]
    assert images[0] != images[1]


def test_labels_stand_in_the_frame_and_regions_match_their_area(drawn: Path) -> None:
    for annotation in labels_of(drawn)["annotations"]:
        points = np.array(annotation["keypoints"]).reshape(17, 3)
        seen = points[points[:, 2] > 0]
        assert ((seen[:, :2] >= -0.5) & (seen[:, :2] <= [383.5, 287.5])).all()
        assert len(seen) == annotation["num_keypoints"]
        assert (points[points[:, 2] == 0] == 0).all()
        if annotation["iscrowd"]:
            run_lengths = coco_mask.frPyObjects(annotation["segmentation"], 288, 384)
            assert coco_mask.area(run_lengths) == annotation["area"]
        assert annotation["area"] <= annotation["bbox"][2] * annotation["bbox"][3]


def test_a_plainly_seen_shoulder_lies_on_its_person() -> None:
    rng = np.random.default_rng(8)
    body = random_body(rng, height=200, centre=(150, 120))
    painter = Painter(np.full((240, 300, 3), 127, np.float32))
    paint_person(painter, body, random_outfit(rng), person=2)
    for k in range(5, 17):
        x, y = np.round(body.xy[k]).astype(int)
        assert painter.owner[y, x] // PARTS == 2


def test_the_left_hand_of_someone_facing_us_is_on_the_right() -> None:
    facing = []
    for seed in range(60):
        body = random_body(np.random.default_rng(seed), height=200, centre=(0, 0))
        side = body.points["left_hip"][0] - body.points["right_hip"][0]
        toward_us = np.mean(
            [body.points[f"{s}_toe"][2] - body.points[f"{s}_ankle"][2] for s in ("left", "right")]
        )
        if abs(side) > 12 and abs(toward_us) > 5:
            facing.append((side > 0) == (toward_us > 0))
    assert len(facing) > 20
    assert np.mean(facing) > 0.9


def test_a_scene_is_a_picture() -> None:
    image, annotations = render_scene(np.random.default_rng(1), (144, 192))
    assert image.shape == (144, 192, 3)
    assert image.dtype == np.uint8
    assert cv2.Laplacian(image, cv2.CV_64F).std() > 3
    assert annotations


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        next(render_dataset(tmp_path / "file", split="train", images=1, seed=0, workers=1))


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # bytes of a file
    try:
        with pytest.raises(DataError, match=r"000004\.jpg cannot be written: File too large"):
            _render_file(tmp_path, 4, (0, "train", (288, 384)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_no_process_is_forked(tmp_path: Path) -> None:
    """A fork lacks OpenCV's threads and once waited for them for ever."""
    forks: list[bool] = []
    os.register_at_fork(before=lambda: forks.append(True))
    assert list(render_dataset(tmp_path, split="val", images=2, seed=0)) == [1, 2]
    assert not forks
