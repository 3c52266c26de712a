import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from bpnet.cli import main
from bpnet.commands.options import KEY_VARIABLE
from bpnet.data.records import PoseRecord, write_records
from bpnet.training.checkpoints import newest_checkpoint
from bpnet.training.reports import read_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)

SIDE = 64  # pixels
CATEGORY = {"id": 1, "name": "person", "keypoints": ["head", "tail"], "skeleton": [[1, 2]]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images of two blobs, their records, annotations and every spec file."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images, annotations, records = [], [], []
    for number in range(4):
        head, tail = rng.uniform(16, SIDE - 16, (2, 2))
        image = np.full((SIDE, SIDE, 3), 90, np.uint8)
        cv2.circle(image, tuple(map(round, head)), 6, (0, 0, 255), -1)
        cv2.circle(image, tuple(map(round, tail)), 6, (0, 255, 0), -1)
        name = f"worm{number}.png"
        cv2.imwrite(str(tmp_path / name), image)
        images.append({"id": number, "file_name": name, "height": SIDE, "width": SIDE})
        annotations.append(
            {
                "id": number + 1,
                "image_id": number,
                "category_id": 1,
                "keypoints": [*head, 2, *tail, 2],
                "num_keypoints": 2,
                "bbox": [8, 8, 48, 48],
                "area": 2304,
                "iscrowd": 0,
            }
        )
        joints = np.array([[[*head, 2], [*tail, 2]]])
        centers = joints[:, :, :2].mean(axis=1)
        size = {"height": SIDE, "width": SIDE, "scales": np.array([48.0]), "centers": centers}
        records.append(
            PoseRecord(
                image_id=number,
                image_path=name,
                mask_path="",
                dataset="worms",
                joints=joints,
                person_idx=0,
                num_other_people=0,
                **size,
            )
        )
    write_records(tmp_path / "train-fold-000-of-001", records)
    labels = {"images": images, "annotations": annotations, "categories": [CATEGORY]}
    write(tmp_path / "labels.json", labels)
    write(tmp_path / "worm.json", {"categories": [CATEGORY]})
    section = {"images_root_dir_path": "", "annotation_root_dir_path": "labels.json"}
    dataset = {"dataset": "worms", "root_directory_path": ".", "test_data": section}
    write(tmp_path / "worms.json", {**dataset, "categories": [CATEGORY]})
    (tmp_path / "nvidia.tlt").write_bytes(bytes(range(256)))
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(spec_of()))
    return tmp_path


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def spec_of() -> dict[str, Any]:
    return {
        "num_epoch": 2,
        "checkpoint_n_epoch": 1,
        "validation_every_n_epoch": 1,
        "dataloader": {
            "batch_size": 2,
            "image_config": {"image_dims": {"height": SIDE, "width": SIDE}},
            "pose_config": {"target_shape": [8, 8], "pose_config_path": "worm.json"},
            "dataset_config": {
                "root_data_path": ".",
                "train_records_folder_path": ".",
                "train_records_path": ["train-fold-*"],
                "dataset_specs": {"worms": "worms.json"},
            },
        },
        "model": {
            "__class_name__": "BpNetLiteModel",
            "stages": 2,
            "heat_channels": 3,
            "paf_channels": 2,
            "width_multiplier": 0.0625,
            "stage1_kernel_sizes": [3],
            "stageT_kernel_sizes": [3],
        },
    }


def train(*arguments: str) -> int:
    return main(["train", "-e", "train.yaml", *arguments])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_a_training_validates_and_tells_its_status(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("-r", "results", "--use_amp") == 0
    assert capsys.readouterr().out.strip() == "results/bpnet_model.keras"
    rows = read_rows(project / "results" / "results.csv")
    assert all(0.0 <= row["ap"] <= row["ap50"] <= 1.0 for row in rows)
    lines = [json.loads(x) for x in (project / "results" / "status.json").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["STARTED", "RUNNING", "RUNNING", "SUCCESS"]
    assert lines[1]["kpi"] == {"ap": rows[0]["ap"], "ap50": rows[0]["ap50"]}
    best = max(range(2), key=lambda number: rows[number]["ap"])
    kept = project / "results" / f"model.epoch-{best + 1}.keras"
    assert (project / "results" / "bpnet_model_best.keras").read_bytes() == kept.read_bytes()


def test_sigterm_saves_and_the_same_command_goes_on(project: Path) -> None:
    results = project / "results"

    def terminate() -> None:
        while not (results / "model.epoch-1.state.npz").is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=terminate, daemon=True)
    killer.start()
    arguments = ("-r", "results", "--set", "validation_every_n_epoch=100000")
    assert train(*arguments, "--set", "num_epoch=100000", "--set", "checkpoint_n_epoch=1") == 143
    killer.join()
    checkpoint = newest_checkpoint(results)
    rows = read_rows(results / "results.csv")
    assert checkpoint is not None
    assert checkpoint.step >= rows[-1]["step"]
    last = json.loads((results / "status.json").read_text().splitlines()[-1])
    assert last["status"] == "FAILURE"
    epochs = int(rows[-1]["epoch"]) + 2
    assert train(*arguments, "--set", f"num_epoch={epochs}") == 0
    assert read_rows(results / "results.csv")[: len(rows)] == rows


def test_dry_run_prints_spec_and_network_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(project.rglob("*"))
    assert train("--dry_run", "--set", "num_epoch=7") == 0
    out = capsys.readouterr().out
    assert yaml.safe_load(out)["num_epoch"] == 7
    assert "parameters" in out
    assert "GFLOPs an image of 64 x 64" in out
    assert sorted(project.rglob("*")) == before


def test_dry_run_prints_the_spec_of_data_that_is_not_there_yet(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train-fold-000-of-001", "worms.json", "labels.json"):
        (project / name).unlink()
    assert train("--dry_run", "--set", "pretrained_weights=gone.tlt") == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["pretrained_weights"] == "gone.tlt"
    assert "GFLOPs an image" in out
    assert err.count("WARNING") == 1
    for said in ("worms.json; ", "no file matches train-fold-*", "gone.tlt does not exist"):
        assert said in err


def test_dry_run_refuses_what_contradicts_itself(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--dry_run", "--set", "model.heat_channels=19") == 1
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["model"]["heat_channels"] == 19
    assert "but the skeleton" in err


def test_missing_test_data_is_a_warning(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / "labels.json").unlink()
    assert train("-r", "results", "--set", "num_epoch=1") == 0
    assert "labels.json does not exist: no validation" in caplog.text


def test_settings_that_others_overrule_are_named(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = ("finetuning_config.checkpoint_path=a.keras", "model.weights_path=b.keras")
    options = [word for change in changes for word in ("--set", change)]
    assert train("-r", "results", *options, "--set", "pretrained_weights=nvidia.tlt") == 1
    assert "checkpoint_path has no effect: is_finetune_exp is false" in caplog.text
    assert "model.weights_path has no effect: pretrained_weights comes" in caplog.text


def test_the_log_names_the_device(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train("-r", "results", "--set", "num_epoch=1") == 0
    assert "training on " in caplog.text


def test_gpus_that_are_not_there_are_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("-r", "results", "--gpus", "99") == 1
    assert "--gpus 99: this machine has" in said(capsys)


def test_bad_images_are_skipped_where_that_is_asked_for(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (project / "worm2.png").write_bytes(b"no image")
    assert train("-r", "results", "--skip_bad_images", "--set", "num_epoch=1") == 0
    assert "1 images or record" in caplog.text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("model.heat_channels=19", "model.heat_channels is 19, but the skeleton"),
        ("model.paf_channels=38", "needs 2: twice its limbs"),
        ("dataloader.pose_config.target_shape=[32, 32]", "it must be [8, 8]"),
        ("dataloader.image_config.image_dims.width=60", "multiples of 8"),
        ("dataloader.dataset_config.train_records_path=[val-*]", "no file matches val-*"),
        ("dataloader.dataset_config.dataset_specs={}", "dataset_specs is empty"),
        ("dataloader.dataset_config.dataset_specs.worms=gone.json", "gone.json"),
        ("dataloader.pose_config.pose_config_path=gone.json", "gone.json"),
        ("dataloader.normalization_params.image_scale=[256.0]", "image_scale: expected 3 values"),
        ("dataloader.normalization_params.mask_scale=[0.0]", "expected at least 1e-06, found 0.0"),
        ("pretrained_weights=gone.keras", "gone.keras does not exist"),
        ("pretrained_weights=gone.tlt", "gone.tlt does not exist; check the path (NVIDIA's"),
        ("pretrained_weights=nvidia.tlt", "nvidia.tlt is not a file that bpnet encrypted; NVID"),
        ("load_graph=true", "pretrained_weights names no model file"),
        ("inference_spec=gone.yaml", "gone.yaml"),
        ("optimizer.grad_weights_dict.paf_put=1.0", "did you mean paf_out"),
    ],
)
def test_what_does_not_fit_ends_in_one_sentence(
    project: Path, capsys: pytest.CaptureFixture[str], change: str, sentence: str
) -> None:
    assert train("-r", "results", "--set", change) == 1
    assert sentence in said(capsys)


def test_a_missing_spec_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-e", "gone.yaml", "-r", "results"]) == 1
    assert "gone.yaml" in said(capsys)


def test_a_results_folder_is_needed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 1
    assert "no results folder: give -r, or checkpoint_dir" in said(capsys)


def test_a_results_folder_that_cannot_be_made_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "file").write_text("")
    assert train("-r", "file/results") == 1
    assert "file/results cannot be written" in said(capsys)
