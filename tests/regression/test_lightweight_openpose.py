"""A published network on real photographs: its AP stays, and is the same whichever way it is run.

The baseline beside this file is of ``bpnet evaluate --write_baseline`` on ../shared/coco/val: the
AP of 160 images of COCO val2017, a digest of their labels, and one of the network.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import bpnet
from bpnet.cli import main
from bpnet.data.coco import CocoDataset, read_coco
from bpnet.errors import ExitCode
from bpnet.evaluation import evaluate_persons

pytestmark = pytest.mark.coco

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "tests/regression/lightweight_openpose_coco_val.json"
SPEC = ROOT / "specs/infer_spec_lightweight_openpose.yaml"
SOME = 40  # images where all would take minutes
AGREE = 0.05 / 100  # AP


@pytest.fixture(scope="module")
def evaluated(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the dataset spec and the results of ``bpnet evaluate``, which compared."""
    folder = tmp_path_factory.mktemp("regression")
    spec = json.loads((ROOT / "data_pose_config/coco_spec.json").read_text())
    spec["root_directory_path"] = str(shared_data / "coco")
    spec["test_data"]["images_root_dir_path"] = "val"
    spec["test_data"]["annotation_root_dir_path"] = "annotations/person_keypoints_val.json"
    (folder / "spec.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # the inference spec names its skeleton from there
        model = ["-m", network(shared_data), "-i", SPEC, "-r", folder / "results"]
        code = evaluate(folder, *model, "--baseline", BASELINE)
        (folder / "code").write_text(str(int(code)))
        yield folder


def network(shared: Path) -> Path:
    return shared / "models/human-pose-estimation-0001.onnx"


def evaluate(folder: Path, *arguments: object) -> int:
    return main(["evaluate", "-d", str(folder / "spec.json"), *map(str, arguments)])


def ap_of(results: Path) -> float:
    with (results / "results.csv").open() as file:
        return float(next(csv.DictReader(file))["score"])


@pytest.fixture(scope="module")
def some(evaluated: Path, shared_data: Path) -> tuple[CocoDataset, list[Path], float]:
    """The dataset, the files of some of its images, and the AP of ``bpnet evaluate`` on them."""
    dataset = read_coco(shared_data / "coco/annotations/person_keypoints_val.json")
    files = [shared_data / "coco/val" / each.file_name for each in dataset.images[:SOME]]
    detections = ["--detections", evaluated / "results/detections.json", "--no_report"]
    assert evaluate(evaluated, *detections, "--limit", SOME, "-r", evaluated / "some") == 0
    return dataset, files, ap_of(evaluated / "some")


def test_ap_has_not_fallen(evaluated: Path) -> None:
    assert json.loads(BASELINE.read_text())["max_drop"] == 0.2
    assert (evaluated / "code").read_text() == "0"
    assert ap_of(evaluated / "results") >= 0.456


def test_a_fall_of_more_than_allowed_would_be_seen(evaluated: Path, tmp_path: Path) -> None:
    better = json.loads(BASELINE.read_text())
    better["metrics"]["AP_0.50:0.95_all"] = ap_of(evaluated / "results") + 0.0021
    (tmp_path / "better.json").write_text(json.dumps(better))
    detections = ["--detections", evaluated / "results/detections.json", "-r", tmp_path / "again"]
    code = evaluate(evaluated, *detections, "--no_report", "--baseline", tmp_path / "better.json")
    assert code == ExitCode.BELOW_BASELINE


@pytest.mark.parametrize("batched", [False, True])
def test_python_finds_the_same_people(
    some: tuple[CocoDataset, list[Path], float], shared_data: Path, batched: bool
) -> None:
    dataset, files, expected = some
    model = bpnet.load(network(shared_data), SPEC)
    people = model.predict(files) if batched else [model(file) for file in files]
    ids = [each.id for each in dataset.images[:SOME]]
    persons = dict(zip(ids, people, strict=True))
    skeleton = model.backend.contract.skeleton
    metrics = evaluate_persons(persons, dataset, skeleton, image_ids=ids)
    assert metrics.ap == pytest.approx(expected, abs=AGREE)


def test_inference_then_evaluation_of_its_file_is_the_same(
    evaluated: Path, some: tuple[CocoDataset, list[Path], float], shared_data: Path, tmp_path: Path
) -> None:
    _, files, expected = some
    (tmp_path / "files.json").write_text(json.dumps([str(file) for file in files]))
    source = ["--input_type", "json", "--input", tmp_path / "files.json", "-r", tmp_path / "found"]
    command = ["inference", "-m", network(shared_data), "-i", SPEC, *source]
    assert main([str(each) for each in command]) == 0
    detections = ["--detections", tmp_path / "found/detections.json", "--no_report"]
    assert evaluate(evaluated, *detections, "--limit", SOME, "-r", tmp_path / "again") == 0
    assert ap_of(tmp_path / "again") == pytest.approx(expected, abs=AGREE)
