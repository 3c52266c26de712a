"""A training of a few small images, for the tests of the loader."""

import cv2
import numpy as np

from bpnet.data.pipeline import iterate, make_batches
from bpnet.data.records import PoseRecord, write_records
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import (
    AugmentationConfig,
    BpNetDataloader,
    BpNetPoseConfig,
    DatasetConfig,
    ImageConfig,
    ImageDims,
    SpatialAugParams,
)
from bpnet.spec.dataset import Category, DatasetSpec

NAMES = ["nose", "left_shoulder", "right_shoulder"]
SKELETON = Skeleton.from_category(
    Category(keypoints=["nose", "neck", "right_shoulder", "left_shoulder"], skeleton=[[2, 1]]),
    "test",
)
COCO = DatasetSpec(root_directory_path="", categories=[Category(keypoints=NAMES)])
EVERYTHING_RANDOM = SpatialAugParams(
    flip_lr_prob=0.5,
    flip_tb_prob=0.5,
    rotate_deg_max=180,
    zoom_prob=0.7,
    zoom_ratio_min=0.7,
    zoom_ratio_max=1.4,
    translate_max_x=15,
    translate_max_y=15,
)


def loader_of(root, *, mode="person_centric", params=None, colours=None, height=128, width=160):
    return BpNetDataloader(
        image_config=ImageConfig(image_dims=ImageDims(height=height, width=width)),
        pose_config=BpNetPoseConfig(
            target_shape=[height // 8, width // 8], pose_config_path="unused"
        ),
        dataset_config=DatasetConfig(
            root_data_path=str(root),
            train_records_folder_path="",
            train_records_path=[],
            dataset_specs={},
        ),
        augmentation_config=AugmentationConfig(
            spatial_augmentation_mode=mode,
            spatial_aug_params=params or EVERYTHING_RANDOM,
            color_aug_params=colours,
        ),
    )


def record_of(path, joints, *, size, mask="", dataset="coco", height=None):
    joints = np.array(joints, np.float64)
    centers = joints[:, 0, :2] if len(joints) else np.zeros((0, 2))
    return PoseRecord(
        image_id=1,
        height=size[0],
        width=size[1],
        image_path=path,
        mask_path=mask,
        dataset=dataset,
        joints=joints,
        scales=np.full(len(joints), height or size[0] / 2),
        centers=centers,
        person_idx=0,
        num_other_people=max(len(joints) - 1, 0),
    )


def batches_of(root, records, *, loader=None, datasets=None, skeleton=SKELETON, **how):
    path = root / "train.tfrecord"
    write_records(path, records)
    how = {"seed": 1, "batch_size": 2, "steps": 2} | how
    batches = make_batches(
        loader or loader_of(root),
        skeleton=skeleton,
        datasets=datasets or {"coco": COCO},
        records=[path],
        **how,
    )
    return [{name: value.numpy() for name, value in one.items()} for one in iterate(batches)]


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 98])


def grey_images(root, count, *, size=(60, 80)):
    """Small random JPEGs and their records."""
    random = np.random.default_rng(0)
    records = []
    for number in range(count):
        write_image(root / f"{number}.jpg", random.integers(0, 255, (*size, 3), np.uint8))
        joints = np.column_stack([random.uniform(10, 50, (3, 2)), [2, 2, 2]])
        records.append(record_of(f"{number}.jpg", [joints] * (1 + number % 3), size=size))
    return records
