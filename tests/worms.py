"""A network small enough to train in a test, and something for it to learn."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.records import PoseRecord, write_records
from bpnet.model.files import load_model
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import (
    BpNetDataloader,
    BpNetPoseConfig,
    DatasetConfig,
    ImageConfig,
    ImageDims,
)
from bpnet.spec.dataset import Category, DatasetSpec
from bpnet.spec.network import BpNetLiteModel
from bpnet.spec.optimizer import (
    SoftstartAnnealingLearningRateSchedule,
    WeightedMomentumOptimizer,
)
from bpnet.spec.train import BpNetTrainer
from bpnet.training.trainer import train

CATEGORY = Category(keypoints=["head", "tail"], skeleton=[[1, 2]])
SKELETON = Skeleton.from_category(CATEGORY, "worm")
SIDE = 64  # pixels of the images and of the network's input


def draw_worms(folder: Path) -> Path:
    """Eight images of a red and a green blob on grey, and their records."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(8):
        points = rng.uniform(12, SIDE - 12, (2, 2))
        image = np.full((SIDE, SIDE, 3), 90, np.uint8)
        for (x, y), color in zip(points, ((0, 0, 255), (0, 255, 0)), strict=True):
            cv2.circle(image, (round(x), round(y)), 6, color, -1)
        cv2.imwrite(str(folder / f"worm{number}.png"), image)
        joints = np.concatenate([points, np.full((2, 1), 2.0)], axis=1)[None]
        records.append(
            PoseRecord(
                image_id=number,
                height=SIDE,
                width=SIDE,
                image_path=f"worm{number}.png",
                mask_path="",
                dataset="worms",
                joints=joints,
                scales=np.array([40.0]),
                centers=points.mean(axis=0)[None],
                person_idx=0,
                num_other_people=0,
            )
        )
    write_records(folder / "train-fold-000-of-001", records)
    return folder


def spec_of(worms: Path, **changes: Any) -> BpNetTrainer:
    loader = BpNetDataloader(
        batch_size=4,
        image_config=ImageConfig(image_dims=ImageDims(height=SIDE, width=SIDE)),
        pose_config=BpNetPoseConfig(target_shape=[8, 8], pose_config_path="worm.json"),
        dataset_config=DatasetConfig(
            root_data_path=str(worms),
            train_records_folder_path=str(worms),
            train_records_path=["train-fold-*"],
            dataset_specs={"worms": "worms.json"},
        ),
    )
    schedule = SoftstartAnnealingLearningRateSchedule(
        base_learning_rate=1e-3, min_learning_rate=1e-4
    )
    spec = BpNetTrainer(
        dataloader=loader,
        model=BpNetLiteModel(
            stages=2,
            heat_channels=3,
            paf_channels=2,
            width_multiplier=0.0625,
            stageT_kernel_sizes=[3],
            stage1_kernel_sizes=[3],
        ),
        optimizer=WeightedMomentumOptimizer(learning_rate_schedule=schedule),
        num_epoch=4,
        checkpoint_n_epoch=2,
    )
    return dataclasses.replace(spec, **changes)


def run(spec: BpNetTrainer, folder: Path, **options: Any) -> Path:
    datasets = {
        "worms": DatasetSpec(dataset="worms", root_directory_path="", categories=[CATEGORY])
    }
    return train(spec, skeleton=SKELETON, datasets=datasets, results_dir=folder, **options)


def weights_of(path: Path) -> list[NDArray[np.float32]]:
    return [np.asarray(weight) for weight in load_model(path)[0].get_weights()]


def assert_same_weights(first: Path, second: Path) -> None:
    for one, other in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
