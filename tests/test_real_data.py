"""The whole line on real photographs, with the default network."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bpnet.cli import main

pytestmark = pytest.mark.coco

REPOSITORY = Path(__file__).resolve().parents[1]
TRAIN_IMAGES, TEST_IMAGES = 60, 3
STEPS, BATCH = 20, 2


@pytest.fixture(scope="module")
def flow(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with specs and a few real images' labels; the images stay where they are."""
    root = tmp_path_factory.mktemp("real")
    for split, count in (("train", TRAIN_IMAGES), ("val", TEST_IMAGES)):
        labels = json.loads(
            (shared_data / "coco" / "annotations" / f"person_keypoints_{split}.json").read_text()
        )
        (root / f"{split}.json").write_text(json.dumps(first_people(labels, count)))
        (root / split).symlink_to(shared_data / "coco" / split)
    write_specs(root)
    return root


def first_people(labels: dict[str, Any], count: int) -> dict[str, Any]:
    """The labels of the first images that show people with keypoints."""
    shown = [each["image_id"] for each in labels["annotations"] if each["num_keypoints"] >= 5]
    chosen = sorted(set(shown))[:count]
    return {
        **labels,
        "images": [each for each in labels["images"] if each["id"] in chosen],
        "annotations": [each for each in labels["annotations"] if each["image_id"] in chosen],
    }


def write_specs(root: Path) -> None:
    dataset = json.loads((REPOSITORY / "data_pose_config" / "coco_spec.json").read_text())
    dataset["root_directory_path"] = str(root)
    for section, split in (("train_data", "train"), ("test_data", "val")):
        dataset[section] = {
            "images_root_dir_path": split,
            "mask_root_dir_path": f"masks/{split}",
            "annotation_root_dir_path": f"{split}.json",
        }
    (root / "dataset.json").write_text(json.dumps(dataset))
    training = yaml.safe_load((REPOSITORY / "specs" / "bpnet_train_m1_coco.yaml").read_text())
    training |= {"num_epoch": 1, "checkpoint_n_epoch": 1, "validation_every_n_epoch": 1}
    training["inference_spec"] = None
    loader = training["dataloader"]
    loader["batch_size"] = BATCH
    loader["pose_config"]["pose_config_path"] = str(
        REPOSITORY / "model_pose_config" / "bpnet_18joints.json"
    )
    loader["dataset_config"] = {
        "root_data_path": str(root),
        "train_records_folder_path": str(root / "records"),
        "train_records_path": ["train-fold-000-of-001"],
        "dataset_specs": {"coco": str(root / "dataset.json")},
    }
    (root / "train.yaml").write_text(yaml.safe_dump(training))


def test_real_images_go_through_every_command(flow: Path) -> None:
    dataset = str(flow / "dataset.json")
    convert = ["dataset_convert", "-d", dataset, "-o", str(flow / "records" / "train")]
    one_each = "duplicate_data_with_each_person_as_center=false"
    assert main([*convert, "--generate_masks", "--set", one_each]) == 0
    records = json.loads((flow / "records" / "summary.json").read_text())["records"]
    assert records >= STEPS * BATCH
    assert list((flow / "masks" / "train").glob("*.png"))

    batch = f"dataloader.batch_size={max(1, records // STEPS)}"
    train = ["train", "-e", str(flow / "train.yaml"), "-r", str(flow / "trained"), "--set", batch]
    assert main(train) == 0
    with (flow / "trained" / "results.csv").open() as file:
        (epoch,) = csv.DictReader(file)
    assert int(epoch["step"]) >= STEPS
    assert float(epoch["loss"]) > 0

    trained = str(flow / "trained" / "bpnet_model.keras")
    assert main(["evaluate", "-m", trained, "-d", dataset, "-r", str(flow / "evaluated")]) == 0
    assert (flow / "evaluated" / "results.csv").is_file()

    pruned = str(flow / "pruned.keras")
    assert main(["prune", "-m", trained, "-o", pruned, "--target_params", "0.5"]) == 0

    exported = str(flow / "pruned.onnx")
    assert main(["export", "-m", pruned, "-o", exported, "-d", "256,256,3"]) == 0
    found = str(flow / "found")
    infer = ["inference", "-m", exported, "--input_type", "dir", "--input", str(flow / "images")]
    (flow / "images").mkdir()
    for image in sorted((flow / "val").iterdir())[:TEST_IMAGES]:
        (flow / "images" / image.name).symlink_to(image)
    assert main([*infer, "--results_dir", found, "--dump_visualizations"]) == 0
    detections = json.loads((flow / "found" / "detections.json").read_text())
    assert len(detections["images"]) == TEST_IMAGES
    assert len(list((flow / "found" / "images_annotated").glob("*.png"))) == TEST_IMAGES
