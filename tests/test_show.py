"""The command ``bpnet show``, end to end."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from shown import SIZE, read_sheet, write_project

from bpnet.cli import main
from bpnet.commands.quickstart_specs import write_specs
from bpnet.data.rendered import render_dataset
from bpnet.sheet import GAP, LINE

NOSES = [[{"nose": (80, 60)}], [{"nose": (30, 30)}], [{"nose": (50, 90)}, {"left_eye": (99, 9)}]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people, converted, with a training spec that augments."""
    root = tmp_path_factory.mktemp("drawn")
    list(render_dataset(root / "data", split="train", images=6, seed=1, workers=1))
    specs = write_specs(root, seed=1)
    convert = ["dataset_convert", "-d", str(specs["dataset"]), "-o", str(root / "records/train")]
    assert main([*convert, "--generate_masks"]) == 0
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, NOSES)
    return tmp_path


def show(*arguments: object) -> int:
    return main(["show", *map(str, arguments)])


def test_drawn_people_become_a_sheet_that_the_same_command_draws_again(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("-e", drawn / "specs/train.yaml", "--images", 3, "-o", drawn / "sheet.png")
    assert show(*command) == 0
    assert capsys.readouterr().out == f"{drawn / 'sheet.png'}\n"
    first = (drawn / "sheet.png").read_bytes()
    assert read_sheet(drawn / "sheet.png").shape[1] == 5 * (256 + 8) + 8
    assert show(*command) == 0
    assert (drawn / "sheet.png").read_bytes() == first
    assert show(*command, "--seed", 2) == 0
    assert (drawn / "sheet.png").read_bytes() != first


def test_the_first_row_is_what_training_begins_with(drawn: Path) -> None:
    from bpnet.commands.train import read_datasets
    from bpnet.data.pipeline import make_batches
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer

    spec = read_spec(drawn / "specs/train.yaml", BpNetTrainer)
    batches = make_batches(
        spec.dataloader,
        skeleton=Skeleton.load(drawn / "specs/skeleton.json"),
        datasets=read_datasets(spec),
        records=[drawn / "records/train-fold-000-of-001"],
        seed=spec.random_seed,
        batch_size=spec.dataloader.batch_size,
    )
    image = next(iter(batches))["images"][0].numpy()
    sheet = drawn / "first.png"
    assert show("-e", drawn / "specs/train.yaml", "--layers", "image", "-o", sheet) == 0
    top = 2 * (LINE + 4) + LINE
    shown = read_sheet(sheet)[top : top + image.shape[0], GAP : GAP + image.shape[1]]
    np.testing.assert_array_equal(shown, image)


def test_without_augmentation_every_image_is_shown_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--images", 50, "--no_augmentation", "--layers", "image", "-o", project / "a.png")
    assert show("-e", project / "train.yaml", *options) == 0
    rows = 3 * (LINE + SIZE[0] + GAP)
    assert read_sheet(project / "a.png").shape[0] == 2 * (LINE + 4) + rows + GAP


def test_a_dataset_is_shown_without_tensorflow(drawn: Path) -> None:
    sheet = drawn / "labels.jpg"
    program = (
        "import sys\nsys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from bpnet.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    arguments = ["show", "-d", str(drawn / "specs/dataset.json"), "-o", str(sheet)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    assert read_sheet(sheet).shape[1] == 3 * (384 + 8) + 8
    assert sheet.read_bytes().startswith(b"\xff\xd8")


def test_records_are_shown_with_a_dataset_spec_alone(project: Path) -> None:
    records = ("--records", project / "train-fold-000-of-001")
    options = (*records, "--layers", "image,heatmaps", "-o", project / "a.png", "--images", 2)
    assert show("-d", project / "dataset.json", *options) == 0
    assert read_sheet(project / "a.png").shape[1] == 2 * (256 + 8) + 8


def test_a_dataset_without_limbs_has_no_pafs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = json.loads((project / "dataset.json").read_text())
    spec["categories"][0].pop("skeleton")
    (project / "dataset.json").write_text(json.dumps(spec))
    command = ["-d", project / "dataset.json", "--records", project / "train-fold-000-of-001"]
    command += ["-o", project / "a.png"]
    assert show(*command) == 1
    assert "has no limbs" in capsys.readouterr().err
    assert show(*command, "--layers", "people,heatmaps") == 0


def test_an_image_that_cannot_be_used_is_named_and_the_rest_drawn(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "images/2.png").unlink()
    cv2.imwrite(str(project / "images/1.png"), np.zeros((9, 7, 3), np.uint8))
    assert show("-d", project / "dataset.json", "-o", project / "a.png") == 1
    said = capsys.readouterr().err
    assert "images/2.png cannot be read" in said
    assert "images/1.png is 7x9 pixels, but its labels are for 160x128; replace" in said
    assert (project / "a.png").is_file()
    (project / "images/3.png").unlink()
    assert show("-d", project / "dataset.json", "-o", project / "b.png") == 1
    assert "none of the images chosen can be used" in capsys.readouterr().err
    assert not (project / "b.png").exists()


def test_a_training_image_that_is_missing_is_left_out(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--no_augmentation", "--layers", "image", "-o", project / "a.png")
    (project / "images/2.png").unlink()
    assert show("-e", project / "train.yaml", *options) == 1
    assert "images/2.png (image 2) cannot be read" in capsys.readouterr().err
    rows = 2 * (LINE + SIZE[0] + GAP)
    assert read_sheet(project / "a.png").shape[0] == 2 * (LINE + 4) + rows + GAP


def test_a_file_of_somebody_else_is_never_replaced(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(project / "photo.png"), np.zeros((9, 9, 3), np.uint8))
    (project / "stats.json").write_text("{}")
    before = (project / "photo.png").read_bytes()
    assert show("-d", project / "dataset.json", "-o", project / "photo.png") == 1
    assert "photo.png exists and is not of bpnet show" in capsys.readouterr().err
    assert (project / "photo.png").read_bytes() == before
    assert show("-d", project / "dataset.json", "--stats", "-o", project / "stats.png") == 1
    assert "stats.json exists and is not of bpnet show" in capsys.readouterr().err
    assert not (project / "stats.png").exists()


def test_a_dry_run_prints_the_spec_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    before = sorted(project.iterdir())
    (project / "skeleton.json").rename(project / "moved.json")
    assert show("-e", "train.yaml", "--dry_run", "--set", "random_seed=7") == 0
    shown = capsys.readouterr()
    assert "random_seed: 7" in shown.out
    assert f"not there yet: {project / 'skeleton.json'}" in shown.err
    (project / "moved.json").rename(project / "skeleton.json")
    assert show("--spec", "train.yaml", "--dry_run") == 0
    assert show("-d", "dataset.json", "--dry_run") == 0
    assert "not there" not in capsys.readouterr().err
    assert sorted(project.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["-d", "dataset.json", "--layers", "pafs"], 1, "need a training spec"),
        (["-d", "dataset.json", "-m", "test"], 1, "has no `test_data`, which --mode asks for"),
        (["-e", "train.yaml", "--skeleton", "a.json"], 1, "--skeleton goes with -d"),
        (["-e", "train.yaml", "--set", "model.heat_channels=9"], 1, "heat_channels is 9"),
        (["-e", "train.yaml", "--layers", "people,limbs"], 2, "found 'limbs'"),
        (["-e", "train.yaml", "--layers", "mask,mask"], 2, "each layer once"),
        (["-e", "train.yaml", "-o", "sheet.gif"], 2, "found sheet.gif"),
        (["-e", "train.yaml", "-d", "dataset.json"], 2, "not allowed with"),
        ([], 2, "is required"),
    ],
)
def test_a_wrong_command_line_is_a_sentence(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(project)
    assert show(*options) == code
    assert said in capsys.readouterr().err
    assert not (project / "show.png").exists()


def test_statistics_count_images_once_and_people_as_labelled(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from_labels, from_records = project / "of_labels.png", project / "of_records.png"
    assert show("-d", project / "dataset.json", "--stats", "-o", from_labels) == 0
    assert "people     4, 1.3 an image, at most 2" in capsys.readouterr().out
    assert show("--spec", project / "train.yaml", "--stats", "-o", from_records) == 0
    labels, records = (
        json.loads(path.with_suffix(".json").read_text()) for path in (from_labels, from_records)
    )
    assert (labels.pop("source"), records.pop("source")) == ("labels.json", "train.yaml")
    assert labels == records
    assert labels["keypoints"]["nose"] == {"visible": 3, "hidden": 0, "unlabelled": 1}
    assert read_sheet(from_labels).shape == (840, 1680, 3)
