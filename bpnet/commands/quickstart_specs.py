"""The spec files that ``bpnet quickstart`` writes, as a user of one's own data would."""

import json
from pathlib import Path
from typing import Any

from bpnet.data.posed_body import KEYPOINTS
from bpnet.data.rendered import SKELETON
from bpnet.files import replacing
from bpnet.spec.dataloader import STRIDE

INPUT = (192, 256)  # height, width of the network's input, pixels
DATASET = "drawn"

CATEGORY: dict[str, Any] = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "num_joints": len(KEYPOINTS),
    "keypoints": list(KEYPOINTS),
    "skeleton": [list(limb) for limb in SKELETON],
}


def write_specs(root: Path, *, seed: int, deterministic: bool = False) -> dict[str, Path]:
    """Write every spec file below ``root/specs`` and return their paths by name.

    Args:
        root: The quickstart's folder; the drawn data stand in ``root/data``.
        seed: Seed of training.
        deterministic: Whether each training gives the same bits on the same machine.

    Raises:
        DataError: The folder cannot be written.
    """
    folder = root / "specs"
    paths = {
        "skeleton": folder / "skeleton.json",
        "dataset": folder / "dataset.json",
        "train": folder / "train.yaml",
        "retrain": folder / "retrain.yaml",
        "inference": folder / "inference.yaml",
    }
    _write_json(paths["skeleton"], {"pose_config_type": "coco_17", "categories": [CATEGORY]})
    _write_json(paths["dataset"], _dataset(root))
    command = "bpnet train -e {} -r RESULTS"
    train = _train(root, paths, seed=seed, deterministic=deterministic)
    _write_yaml(paths["train"], train, command.format("train.yaml"))
    retrain = {**train, "pretrained_weights": str(root / "pruned" / "bpnet_model.keras")}
    retrain["load_graph"] = True
    _write_yaml(paths["retrain"], retrain, command.format("retrain.yaml"))
    inference = {
        "input_shape": list(INPUT),
        "keep_aspect_ratio_mode": "pad_image_input",
        "flip_test": True,
        "train_spec": str(paths["train"]),
    }
    _write_yaml(
        paths["inference"],
        inference,
        "bpnet evaluate -i inference.yaml -m MODEL -d dataset.json -r RESULTS",
    )
    return paths


def _dataset(root: Path) -> dict[str, Any]:
    def section(split: str) -> dict[str, str]:
        return {
            "images_root_dir_path": split,
            "mask_root_dir_path": f"masks/{split}",
            "annotation_root_dir_path": f"annotations/person_keypoints_{split}.json",
        }

    return {
        "dataset": DATASET,
        "root_directory_path": str(root / "data"),
        "train_data": section("train"),
        "test_data": section("val"),
        "duplicate_data_with_each_person_as_center": False,
        "categories": [CATEGORY],
        "data_filtering_params": {
            "min_acceptable_height": 16,
            "min_acceptable_width": 16,
            "min_acceptable_kpts": 3,
        },
    }


def _train(root: Path, paths: dict[str, Path], *, seed: int, deterministic: bool) -> dict[str, Any]:
    height, width = INPUT
    return {
        "__class_name__": "BpNetTrainer",
        "random_seed": seed,
        "deterministic": deterministic,
        "num_epoch": 100,  # more than the minutes allow: the clock, or --steps, ends the training
        "checkpoint_n_epoch": 1,
        "validation_every_n_epoch": 3,
        "max_ckpt_to_keep": 2,
        "use_stagewise_lr_multipliers": False,
        "ema_decay": 0.999,
        "dataloader": {
            "__class_name__": "BpNetDataloader",
            "batch_size": 4,  # a short training is short of steps, not of pictures
            "image_config": {"image_dims": {"height": height, "width": width, "channels": 3}},
            "pose_config": {
                "__class_name__": "BpNetPoseConfig",
                "target_shape": [height // STRIDE, width // STRIDE],
                "pose_config_path": str(paths["skeleton"]),
            },
            "dataset_config": {
                "root_data_path": str(root / "data"),
                "train_records_folder_path": str(root / "records"),
                "train_records_path": ["train-fold-000-of-001"],
                "val_records_path": ["test-fold-000-of-001"],
                "dataset_specs": {DATASET: str(paths["dataset"])},
            },
            "augmentation_config": {
                "__class_name__": "AugmentationConfig",
                "spatial_augmentation_mode": "standard",
                "spatial_aug_params": {
                    "flip_lr_prob": 0.5,
                    "rotate_deg_max": 6.0,
                    "zoom_prob": 1.0,
                    "zoom_ratio_min": 0.93,
                    "zoom_ratio_max": 1.08,
                    "use_translate_ratio": True,
                    "translate_ratio_max": 0.025,
                },
            },
            "label_processor_config": {"heatmap_gaussian_sigma": 7.0},
        },
        "model": {
            "__class_name__": "BpNetLiteModel",
            "stages": 2,
            "width_multiplier": 0.25,
            "backbone_attributes": {"stem_stride": 2},
            "heat_channels": len(KEYPOINTS) + 1,
            "paf_channels": 2 * len(SKELETON),
            "kernel_initializer": "he_normal",
            "kernel_regularization_factor": 0.0,
        },
        "optimizer": _optimizer(),
        "loss": {"__class_name__": "BpNetLoss", "foreground_weight": 10.0},
    }


def _optimizer() -> dict[str, Any]:
    return {
        "__class_name__": "MuonOptimizer",
        "weight_decay": 1e-4,
        "learning_rate_schedule": {
            "__class_name__": "CosineLearningRateSchedule",
            "warm_up": 0.03,
            "base_learning_rate": 1.2e-3,
            "min_learning_rate": 1e-5,
        },
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n")


def _write_yaml(path: Path, document: dict[str, Any], command: str) -> None:
    import yaml

    with replacing(path) as temporary:
        temporary.write_text(f"# {command}\n" + yaml.safe_dump(document, sort_keys=False))
