"""The command ``bpnet dataset_convert``, end to end."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bpnet.cli import main
from bpnet.data.records import PoseRecord, RecordIndex


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A dataset of three images: two people and a crowd, one person, nobody labelled."""
    (tmp_path / "images").mkdir()
    people: list[dict[str, Any]] = [
        {"image_id": 1, "bbox": [0, 0, 50, 60], "keypoints": [5, 5, 2, 9, 9, 1]},
        {"image_id": 1, "bbox": [0, 0, 100, 80], "iscrowd": 1},
        {"image_id": 1, "bbox": [60, 10, 40, 60], "keypoints": [70, 20, 2, 80, 40, 2]},
        {"image_id": 2, "bbox": [10, 10, 50, 50], "keypoints": [20, 20, 2, 30, 30, 2]},
        {"image_id": 3, "bbox": [10, 10, 50, 50]},
    ]
    coco = {
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "tail"]}],
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "height": 80, "width": 100}
            for number in (1, 2, 3)
        ],
        "annotations": [
            {"id": number, "category_id": 1, **person} for number, person in enumerate(people)
        ],
    }
    (tmp_path / "people.json").write_text(json.dumps(coco))
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.jpg"), np.zeros((80, 100, 3), np.uint8))
    section = {
        "images_root_dir_path": "images",
        "mask_root_dir_path": "masks",
        "annotation_root_dir_path": "people.json",
    }
    path = tmp_path / "spec.json"
    content = {
        "dataset": "pets",
        "root_directory_path": str(tmp_path),
        "train_data": section,
        "categories": [{"name": "person", "keypoints": ["nose", "tail"], "num_joints": 2}],
        "data_filtering_params": {"min_acceptable_kpts": 2},
    }
    path.write_text(json.dumps(content))
    return path


def convert(spec: Path, *options: str) -> int:
    output = spec.parent / "out" / "train"
    return main(["dataset_convert", "-d", str(spec), "-o", str(output), *options])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def records_of(spec: Path) -> list[PoseRecord]:
    index = RecordIndex([spec.parent / "out" / "train-fold-000-of-001"])
    return sorted(
        (index.parse(number) for number in range(len(index))),
        key=lambda record: (record.image_id, record.person_idx),
    )


def test_the_command_writes_records_masks_and_a_summary(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(spec, "--generate_masks", "--check_files", "-r", str(spec.parent / "r")) == 0

    records = records_of(spec)
    assert [(one.image_id, one.person_idx) for one in records] == [(1, 0), (1, 2), (2, 0)]
    assert [one.mask_path for one in records] == ["masks/1.png", "masks/1.png", ""]
    assert records[0].image_path == "images/1.jpg"
    assert records[0].dataset == "pets"
    assert records[1].joints.tolist() == [[[70, 20, 2], [80, 40, 2]], [[5, 5, 2], [9, 9, 1]]]
    mask = cv2.imread(str(spec.parent / "masks" / "1.png"), cv2.IMREAD_UNCHANGED)
    assert (mask[70, 10], mask[30, 10], mask[30, 55]) == (0, 255, 0)
    assert sorted(path.name for path in (spec.parent / "masks").iterdir()) == ["1.png", "3.png"]
    summary = json.loads((spec.parent / "out" / "summary.json").read_text())
    assert (summary["images_used"], summary["records"], summary["people"]) == (2, 3, 3)
    assert summary["masks"] == {"stored": 2, "all valid": 0}
    assert "records    3" in capsys.readouterr().out
    lines = (spec.parent / "r" / "status.json").read_text().splitlines()
    assert json.loads(lines[-1])["status"] == "SUCCESS"


def test_converting_again_keeps_masks_and_gives_the_same_bytes(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(spec, "--generate_masks")
    before, drawn = contents(spec.parent), (spec.parent / "masks" / "1.png").stat().st_mtime_ns

    assert convert(spec, "--generate_masks") == 0

    assert contents(spec.parent) == before
    assert (spec.parent / "masks" / "1.png").stat().st_mtime_ns == drawn
    assert "0 drawn, 2 kept" in capsys.readouterr().out


def test_without_masks_the_records_use_those_that_exist(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(spec) == 0
    assert "2 images show crowds" in capsys.readouterr().err
    assert [one.mask_path for one in records_of(spec)] == ["", "", ""]

    convert(spec, "--generate_masks")
    assert convert(spec) == 0
    assert [one.mask_path for one in records_of(spec)] == ["masks/1.png", "masks/1.png", ""]


def test_check_files_leaves_out_missing_images_and_says_so(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (spec.parent / "images" / "1.jpg").unlink()

    assert convert(spec, "--check_files", "--generate_masks") == 1

    error = capsys.readouterr().err
    assert "images left out: 1" in error
    assert f"image 1: {spec.parent / 'images' / '1.jpg'} does not exist" in error
    assert [one.image_id for one in records_of(spec)] == [2]
    assert not (spec.parent / "masks" / "1.png").exists()
    summary = json.loads((spec.parent / "out" / "summary.json").read_text())
    assert summary["left_out"] == {"image file is missing": ["1.jpg"]}


def test_a_dry_run_checks_and_writes_nothing(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(spec.parent.rglob("*"))

    assert convert(spec, "--dry_run", "--generate_masks", "-r", str(spec.parent / "r")) == 0

    assert sorted(spec.parent.rglob("*")) == before
    assert "# records    3" in capsys.readouterr().out


def test_a_dry_run_names_what_is_wrong_and_fails(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = json.loads((spec.parent / "people.json").read_text())
    coco["annotations"][3]["keypoints"] = [20, 20, 2, 300, 30, 7]
    coco["annotations"][1]["segmentation"] = {"size": [80, 100], "counts": "garbage"}
    (spec.parent / "people.json").write_text(json.dumps(coco))
    (spec.parent / "images" / "1.jpg").unlink()
    before = contents(spec.parent)

    assert convert(spec, "--dry_run", "--generate_masks") == 1

    assert contents(spec.parent) == before
    lines = capsys.readouterr().out.splitlines()
    assert "# errors: 3" in lines
    assert [line for line in lines if "1 person with the visibility flag 7" in line]
    assert [line for line in lines if "image 1: annotation 1 of 1.jpg has run lengths" in line]
    assert [line for line in lines if "images/1.jpg does not exist" in line]
    assert "# warnings: 1" in lines
    assert "#   1 person with labelled keypoints outside the image: 3" in lines


def test_segmentations_that_cannot_be_drawn_are_all_named(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = json.loads((spec.parent / "people.json").read_text())
    for place in (1, 4):
        coco["annotations"][place]["segmentation"] = {"size": [80, 100], "counts": "garbage"}
    (spec.parent / "people.json").write_text(json.dumps(coco))

    assert convert(spec, "--generate_masks") == 1

    error = capsys.readouterr().err
    assert f"2 faults in {spec.parent / 'people.json'}" in error
    assert "image 1: annotation 1 of 1.jpg has run lengths" in error
    assert "image 3: annotation 4 of 3.jpg has run lengths" in error
    assert not (spec.parent / "out").exists()


def test_a_dry_run_needs_no_annotations(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec.parent / "people.json").unlink()

    assert convert(spec, "--dry_run") == 0

    said = capsys.readouterr()
    assert "dataset: pets" in said.out
    assert said.err.count("\n") == 1
    assert "people.json" in said.err


def test_partitions_and_shards_name_the_files_as_tao_does(spec: Path) -> None:
    assert convert(spec, "-p", "1", "-s", "2") == 0

    names = sorted(path.name for path in (spec.parent / "out").iterdir())
    assert names == [
        "summary.json",
        "train-fold-000-of-001-shard-00000-of-00002",
        "train-fold-000-of-001-shard-00001-of-00002",
    ]


def test_files_of_an_earlier_conversion_are_pointed_out(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(spec)
    capsys.readouterr()

    convert(spec, "-p", "2")

    assert "delete them: train-fold-000-of-001" in capsys.readouterr().err


def test_a_bare_output_name_writes_here(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spec.parent)

    assert main(["dataset_convert", "-d", "spec.json", "-o", "bare"]) == 0

    assert (spec.parent / "bare-fold-000-of-001").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-m", "test"], "no `test_data`"),
        (["--set", "data_filtering_params.min_acceptable_kpts=3"], "has no usable person"),
        (["--set", "train_data.mask_root_dir_path=images", "--generate_masks"], "other than that"),
        (["--set", "train_data.mask_root_dir_path=", "--generate_masks"], "mask_root_dir_path"),
        (["--set", "train_data.annotation_root_dir_path=no.json"], "no.json cannot be read"),
        (["--set", "categories=[{name: cat, keypoints: [nose]}]"], "no category `cat`"),
        (["--set", "categories=[{keypoints: [tail, nose]}]"], "disagree on the keypoints"),
        (["-s", "9"], "fewer partitions or shards"),
    ],
)
def test_what_cannot_work_ends_in_one_sentence(
    spec: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert convert(spec, *options) == 1

    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (spec.parent / "out").exists()


@pytest.mark.parametrize("options", [["-m", "validate"], ["-p", "-1"], ["-s", "two"]])
def test_a_wrong_option_is_a_usage_error(spec: Path, options: list[str]) -> None:
    assert convert(spec, *options) == 2


@pytest.mark.coco
def test_real_data_converts_with_masks(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "coco/annotations/person_keypoints_train.json"
    category = json.loads(source.read_text())["categories"][0]
    section = {
        "images_root_dir_path": str(shared_data / "coco" / "train"),
        "mask_root_dir_path": str(tmp_path / "masks"),
        "annotation_root_dir_path": str(source),
    }
    spec = tmp_path / "spec.json"
    content = {"root_directory_path": "/", "train_data": section, "categories": [category]}
    spec.write_text(json.dumps(content))

    assert convert(spec, "--generate_masks", "--check_files", "-j", "2") == 0

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["images"], summary["people"]) == (272, 667)
    assert summary["masks"] == {"stored": 104, "all valid": 0}
    records = records_of(spec)
    assert len(records) == summary["records"]
    assert {one.joints.shape[1] for one in records} == {17}
    for one in records:
        assert one.joints.shape[0] == one.num_other_people + 1
        assert not one.mask_path or Path("/", one.mask_path).is_file()
