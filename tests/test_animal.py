"""An animal that no code knows: its JSON files alone take it from labels to a trained network."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from bpnet.cli import main

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)

SIDE, IMAGES, TESTED = 96, 12, 4  # pixels; pictures in all; of them the last few are tested
STEPS = 110
BATCH = 4
CATEGORY: dict[str, Any] = {
    "name": "horse",
    "id": 17,
    "num_joints": 7,
    "keypoints": ["muzzle", "withers", "rump", "near_fore", "off_fore", "near_hind", "off_hind"],
    "skeleton": [[1, 2], [2, 3], [2, 4], [2, 5], [3, 6], [3, 7]],
    "sigmas": [0.1, 0.1, 0.1, 0.12, 0.12, 0.12, 0.12],
    "mirror": [["near_fore", "off_fore"], ["near_hind", "off_hind"]],
    "colors": ["#ff8800", "#00c853", "#2962ff", "#d500f9", "#00b8d4", "#ffd600"],
}
SHAPE = np.array([[8, 10], [22, 24], [58, 26], [16, 60], [28, 62], [54, 60], [66, 62]], np.float64)


def write_horses(folder: Path) -> None:
    """Drawn horses, their labels, the skeleton, and the specs of the dataset and the training."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(IMAGES):
        xy = SHAPE * rng.uniform(0.9, 1.1) + rng.uniform(-4, 4, SHAPE.shape) + rng.uniform(4, 14, 2)
        image = np.full((SIDE, SIDE, 3), 200, np.uint8)
        for start, end in CATEGORY["skeleton"]:
            ends = (tuple(map(round, xy[each - 1])) for each in (start, end))
            cv2.line(image, *ends, (60, 90, 130), 5, cv2.LINE_AA)
        for point, colour in zip(xy, np.eye(3).repeat(3, axis=0)[:7] * 255, strict=True):
            cv2.circle(image, tuple(map(round, point)), 4, colour.tolist(), -1, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE})
        low, size = xy.min(axis=0), np.ptp(xy, axis=0)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": CATEGORY["id"],
                "keypoints": np.column_stack([xy, np.full(len(xy), 2)]).reshape(-1).tolist(),
                "bbox": [*low.tolist(), *size.tolist()],
                "area": float(np.prod(size)),
                "iscrowd": 0,
            }
        )
    split = IMAGES - TESTED
    for name, some in (("train", slice(split)), ("test", slice(split, None))):
        labels = {"images": images[some], "annotations": annotations[some]}
        write(folder / f"{name}.json", {**labels, "categories": [CATEGORY]})
    sections = {
        f"{name}_data": {"images_root_dir_path": "", "annotation_root_dir_path": f"{name}.json"}
        for name in ("train", "test")
    }
    write(
        folder / "horses.json",
        {
            "dataset": "horses",
            "root_directory_path": str(folder),
            **sections,
            "categories": [CATEGORY],
        },
    )
    write(folder / "horse.json", {"pose_config_type": "horse", "categories": [CATEGORY]})
    (folder / "train.yaml").write_text(yaml.safe_dump(training(folder)))


def training(folder: Path) -> dict[str, Any]:
    return {
        "num_epoch": STEPS * BATCH // (IMAGES - TESTED),
        "checkpoint_n_epoch": 1000,
        "validation_every_n_epoch": 1000,
        "use_stagewise_lr_multipliers": False,
        "dataloader": {
            "batch_size": BATCH,
            "image_config": {"image_dims": {"height": SIDE, "width": SIDE}},
            "pose_config": {
                "target_shape": [SIDE // 8, SIDE // 8],
                "pose_config_path": str(folder / "horse.json"),
            },
            "dataset_config": {
                "root_data_path": str(folder),
                "train_records_folder_path": str(folder),
                "train_records_path": ["records-fold-*"],
                "dataset_specs": {"horses": str(folder / "horses.json")},
            },
            "label_processor_config": {"heatmap_gaussian_sigma": 7.0},
        },
        "model": {
            "__class_name__": "BpNetLiteModel",
            "stages": 2,
            "heat_channels": 8,
            "paf_channels": 12,
            "width_multiplier": 0.125,
            "stage1_kernel_sizes": [3],
            "stageT_kernel_sizes": [3],
            "kernel_initializer": "he_normal",
            "kernel_regularization_factor": 0.0,
        },
        "optimizer": {
            "__class_name__": "AdamWOptimizer",
            "learning_rate_schedule": {
                "__class_name__": "CosineLearningRateSchedule",
                "base_learning_rate": 4e-3,
                "min_learning_rate": 1e-5,
            },
        },
        "loss": {"__class_name__": "BpNetLoss", "foreground_weight": 5.0},
    }


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def test_an_animal_is_trained_evaluated_and_drawn_from_its_files(tmp_path: Path) -> None:
    write_horses(tmp_path)
    dataset = ["-d", str(tmp_path / "horses.json")]
    assert main(["dataset_convert", *dataset, "-o", str(tmp_path / "records")]) == 0
    trained = tmp_path / "trained"
    assert main(["train", "-e", str(tmp_path / "train.yaml"), "-r", str(trained)]) == 0

    model = ["-m", str(trained / "bpnet_model.keras"), "--set", f"input_shape=[{SIDE}, {SIDE}]"]
    results = tmp_path / "results"
    assert main(["evaluate", *model, *dataset, "-r", str(results)]) == 0
    figures = json.loads((results / "evaluation.json").read_text())
    assert [each["name"] for each in figures["keypoints"]] == CATEGORY["keypoints"]
    assert figures["errors"]["people"] == TESTED
    assert figures["metrics"]["ap50"] > 0.5
    report = (results / "report.html").read_text()
    assert "off_hind" in report
    assert report.count("data:image/jpeg") == TESTED

    again = ["--detections", str(results / "detections.json"), "-r", str(tmp_path / "again")]
    assert main(["evaluate", *dataset, *again]) == 0
    same = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    assert same["metrics"] == figures["metrics"]

    photo = tmp_path / f"{IMAGES - 1}.png"
    found = ["--input", str(photo), "-r", str(tmp_path / "found"), "--dump_visualizations"]
    assert main(["inference", *model, *found]) == 0
    (drawing,) = (tmp_path / "found/images_annotated").glob("*.png")
    drawn, plain = (np.asarray(cv2.imread(str(path)), np.int64) for path in (drawing, photo))
    assert (np.abs(drawn - plain).sum(axis=-1) > 100).sum() > 100  # pixels of limbs and dots
