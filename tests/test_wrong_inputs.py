"""Whatever is wrong with an input, a command ends in a sentence that names it, and exit code 1."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bpnet.cli import main
from bpnet.commands.quickstart_specs import write_specs
from bpnet.data.rendered import render_dataset

Break = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which everything is right: drawn images, records, specs."""
    root = tmp_path_factory.mktemp("project")
    for split in ("train", "val"):
        list(render_dataset(root / "data", split=split, images=8, seed=1, workers=1))
    specs = write_specs(root, seed=1)
    convert = ["dataset_convert", "-d", str(specs["dataset"]), "-o", str(root / "records/train")]
    assert main(convert) == 0
    return root


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Path:
    """A copy to break; its specs name its own paths."""
    root = tmp_path / "project"
    shutil.copytree(whole, root)
    write_specs(root, seed=1)
    return root


def train(root: Path) -> list[str]:
    return ["train", "-e", str(root / "specs/train.yaml"), "-r", str(root / "results")]


def convert(root: Path) -> list[str]:
    return ["dataset_convert", "-d", str(root / "specs/dataset.json"), "-o", str(root / "again/x")]


def a_missing_file(root: Path) -> list[str]:
    (root / "specs/train.yaml").unlink()
    return train(root)


def a_wrong_key(root: Path) -> list[str]:
    spec = root / "specs/train.yaml"
    spec.write_text(spec.read_text().replace("num_epoch:", "num_epochs:"))
    return train(root)


def broken_json(root: Path) -> list[str]:
    spec = root / "specs/dataset.json"
    spec.write_text(spec.read_text()[:-40])
    return convert(root)


def a_truncated_jpeg(root: Path) -> list[str]:
    for image in (root / "data/train").iterdir():
        image.write_bytes(image.read_bytes()[:3000])
    return train(root)


def a_record_file_cut_in_half(root: Path) -> list[str]:
    (records,) = (root / "records").glob("train-fold-*")
    content = records.read_bytes()
    records.write_bytes(content[: len(content) // 2 + 1])
    return train(root)


def an_empty_annotation_file(root: Path) -> list[str]:
    (root / "data/annotations/person_keypoints_train.json").write_text("")
    return convert(root)


def zero_people(root: Path) -> list[str]:
    path = root / "data/annotations/person_keypoints_train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    return convert(root)


def an_image_of_one_pixel(root: Path) -> list[str]:
    image = root / "dot.png"
    cv2.imwrite(str(image), np.zeros((1, 1, 3), np.uint8))
    from spots import write_model

    model = write_model(root / "model.onnx")
    return ["inference", "-m", str(model), "--input", str(image), "-r", str(root / "found")]


def a_results_folder_that_cannot_be_written(root: Path) -> list[str]:
    (root / "results").write_text("a file stands where the folder should be")
    return train(root)


def an_unknown_model_suffix(root: Path) -> list[str]:
    (root / "model.pth").write_bytes(b"weights")
    dataset = str(root / "specs/dataset.json")
    return ["evaluate", "-m", str(root / "model.pth"), "-d", dataset, "-r", str(root / "r")]


def a_file_of_nvidias_cipher(root: Path) -> list[str]:
    (root / "model.tlt").write_bytes(bytes(range(256)) * 16)
    dataset = str(root / "specs/dataset.json")
    return ["evaluate", "-m", str(root / "model.tlt"), "-k", "nvidia_tlt", "-d", dataset]


@pytest.mark.parametrize(
    ("break_it", "names"),
    [
        (a_missing_file, ["train.yaml"]),
        (a_wrong_key, ["train.yaml:", "num_epochs", "did you mean"]),
        (broken_json, ["dataset.json:"]),
        (a_truncated_jpeg, [".jpg"]),
        (a_record_file_cut_in_half, ["train-fold-000-of-001", "byte"]),
        (an_empty_annotation_file, ["person_keypoints_train.json"]),
        (zero_people, ["person_keypoints_train.json"]),
        (an_image_of_one_pixel, ["dot.png"]),
        (a_results_folder_that_cannot_be_written, ["results"]),
        (an_unknown_model_suffix, ["model.pth", ".onnx"]),
        (a_file_of_nvidias_cipher, ["model.tlt", "NVIDIA", "ONNX"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_wrong_input_ends_in_one_sentence(
    project: Path, capfd: pytest.CaptureFixture[str], break_it: Break, names: list[str]
) -> None:
    command = break_it(project)
    assert main(command) == 1
    said = capfd.readouterr().err
    faults = [line for line in said.splitlines() if "error" in line.lower()]
    assert len(faults) == 1, said
    assert all(name in said for name in names), said
    assert "Traceback" not in said
