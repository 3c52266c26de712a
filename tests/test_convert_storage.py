"""Datasets behind an address, files inside the records, and what is wrong with image files."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf

from bpnet.cli import main
from bpnet.data.records import PoseRecord, RecordIndex
from bpnet.data.storage import (
    address,
    find_files,
    is_file,
    is_folder,
    is_remote,
    join,
    names_in,
    read_bytes,
)

PERSON = {"category_id": 1, "bbox": [0, 0, 50, 60], "keypoints": [5, 5, 2]}
CROWD = {"category_id": 1, "bbox": [50, 50, 40, 20], "iscrowd": 1}
IMAGE = cv2.imencode(".jpg", np.full((80, 100, 3), 99, np.uint8))[1].tobytes()


def write(place: str, data: bytes) -> None:
    tf.io.gfile.makedirs(place.rpartition("/")[0])
    with tf.io.gfile.GFile(place, "wb") as file:
        file.write(data)


def dataset(root: str, folder: Path, **images: bytes | None) -> Path:
    """The spec of a dataset of one person and a crowd an image, below any kind of root."""
    names = list(images)
    for name, data in images.items():
        if data is not None:
            write(f"{root}/images/{name}.jpg", data)
    annotations: list[dict[str, Any]] = [
        {**entry, "image_id": number} for number in range(len(names)) for entry in (PERSON, CROWD)
    ]
    coco = {
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}],
        "images": [
            {"id": number, "file_name": f"{name}.jpg", "height": 80, "width": 100}
            for number, name in enumerate(names)
        ],
        "annotations": [{**one, "id": number} for number, one in enumerate(annotations)],
    }
    write(f"{root}/people.json", json.dumps(coco).encode())
    section = {
        "images_root_dir_path": "images",
        "mask_root_dir_path": "masks",
        "annotation_root_dir_path": "people.json",
    }
    content = {
        "root_directory_path": root,
        "train_data": section,
        "categories": [{"name": "person", "keypoints": ["nose"]}],
        "data_filtering_params": {"min_acceptable_kpts": 1},
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(content))
    return path


def convert(spec: Path, output: str, *options: str) -> int:
    return main(["dataset_convert", "-d", str(spec), "-o", output, *options])


def records_of(path: Path) -> list[PoseRecord]:
    index = RecordIndex([path])
    return sorted(map(index.parse, range(len(index))), key=lambda record: record.image_id)


def test_an_address_survives_being_a_path() -> None:
    assert address(Path("gs://bucket/a") / "b") == "gs://bucket/a/b"
    assert address(Path("file:///folder/a")) == "file:///folder/a"
    assert address("data/a") == "data/a"
    assert not is_remote("C:/data")
    assert join("gs://bucket/a", "b.json") == Path("gs://bucket/a/b.json")
    assert address(join("data", "gs://bucket/b.json")) == "gs://bucket/b.json"


@pytest.mark.parametrize("remote", [True, False])
def test_files_are_found_by_pattern(tmp_path: Path, remote: bool) -> None:
    root = "ram://pattern/deep" if remote else str(tmp_path)
    for name in ("b-1", "a-1", "a-2", "a-3/c"):
        write(f"{root}/{name}", b"")

    found = find_files(Path(root), "a-?")

    assert [address(path) for path in found] == [f"{root}/a-1", f"{root}/a-2"]


def test_a_dataset_behind_an_address_converts_into_another(tmp_path: Path) -> None:
    spec = dataset("ram://convert/in", tmp_path, a=IMAGE, b=IMAGE)
    output = "ram://convert/out/train"

    code = convert(spec, output, "--generate_masks", "--check_files", "--embed_images", "-s", "2")

    assert code == 0
    assert names_in(Path("ram://convert/out")) == [
        "summary.json",
        "train-fold-000-of-001-shard-00000-of-00002",
        "train-fold-000-of-001-shard-00001-of-00002",
    ]
    assert names_in(Path("ram://convert/in/masks")) == ["a.png", "b.png"]
    (record,) = records_of(Path(output + "-fold-000-of-001-shard-00000-of-00002"))
    assert record.image_bytes == IMAGE
    assert record.mask_bytes == read_bytes(f"ram://convert/in/{record.mask_path}")
    summary = json.loads(read_bytes("ram://convert/out/summary.json"))
    assert next(iter(summary["files"])) == output + "-fold-000-of-001-shard-00000-of-00002"
    assert convert(spec, output, "--generate_masks") == 0
    assert is_folder("ram://convert/in/masks")
    assert not is_file("ram://convert/in/masks")


def test_an_address_that_nothing_can_open_ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = dataset(str(tmp_path), tmp_path, a=IMAGE)

    assert convert(spec, str(tmp_path / "x"), "--set", "root_directory_path=nosuch://b") == 1

    error = capsys.readouterr().err
    assert "nosuch://b/people.json cannot be read: this TensorFlow has no nosuch://" in error
    assert error.count("\n") == 1


def test_embedded_files_are_those_of_the_folders(tmp_path: Path) -> None:
    spec = dataset(str(tmp_path), tmp_path, a=IMAGE)

    assert convert(spec, str(tmp_path / "plain"), "--generate_masks") == 0
    assert convert(spec, str(tmp_path / "full"), "--embed_images") == 0

    (plain,) = records_of(tmp_path / "plain-fold-000-of-001")
    (full,) = records_of(tmp_path / "full-fold-000-of-001")
    assert (plain.image_bytes, plain.mask_bytes) == (b"", b"")
    assert full.image_bytes == IMAGE
    assert full.mask_bytes == (tmp_path / "masks" / "a.png").read_bytes()


def test_an_image_that_cannot_be_embedded_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = dataset(str(tmp_path), tmp_path, a=IMAGE, b=None)

    assert convert(spec, str(tmp_path / "out"), "--embed_images", "--generate_masks") == 1

    assert "b.jpg of image 1 cannot be read: No such file" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_check_files_names_every_image_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = cv2.imencode(".jpg", np.zeros((80, 90, 3), np.uint8))[1].tobytes()
    texture = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    noise = cv2.imencode(".jpg", texture)[1].tobytes()
    spec = dataset(
        str(tmp_path),
        tmp_path,
        good=IMAGE,
        cut=noise[: len(noise) // 2],
        text=b"no image",
        nothing=b"",
        other=other,
        absent=None,
        png=cv2.imencode(".png", texture)[1].tobytes(),
    )

    code = convert(spec, str(tmp_path / "out"), "--check_files", "--generate_masks")

    error = capsys.readouterr().err
    assert code == 1
    for said in (
        "images left out: 5",
        "image 1: cut.jpg is not an image, or is damaged",
        "image 2: text.jpg is not an image, or is damaged",
        "image 3: nothing.jpg is not an image, or is damaged",
        "image 4: other.jpg is 90 x 80 pixels but 100 x 80 in the annotation file",
        f"image 5: {tmp_path}/images/absent.jpg does not exist",
    ):
        assert said in error
    assert [one.image_id for one in records_of(tmp_path / "out-fold-000-of-001")] == [0, 6]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["dropped_images"] == {"image file is damaged": 4, "image file is missing": 1}


def test_check_files_leaves_out_images_that_lack_their_mask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = dataset(str(tmp_path), tmp_path, a=IMAGE, b=IMAGE)
    convert(spec, str(tmp_path / "out"), "--generate_masks")
    (tmp_path / "masks" / "b.png").unlink()

    assert convert(spec, str(tmp_path / "out"), "--check_files") == 1

    assert "image 1: the mask of b.jpg does not exist" in capsys.readouterr().err
    assert [one.image_id for one in records_of(tmp_path / "out-fold-000-of-001")] == [0]


def test_a_half_written_mask_is_drawn_again(tmp_path: Path) -> None:
    spec = dataset(str(tmp_path), tmp_path, a=IMAGE)
    convert(spec, str(tmp_path / "out"), "--generate_masks")
    mask = tmp_path / "masks" / "a.png"
    whole = mask.read_bytes()
    for damaged in (whole[:-1], whole[:-20] + bytes(20), whole + b"x"):
        mask.write_bytes(damaged)

        assert convert(spec, str(tmp_path / "out"), "--generate_masks") == 0

        assert mask.read_bytes() == whole
