"""How fast batches are made, against bare decoding of the same JPEGs.

    python benchmarks/loader.py --root coco --annotations coco/annotations/person_keypoints.json

Makes one record a person in a temporary folder, then times batches with all augmentation on
(geometry and colours) and ``tf.io.decode_jpeg`` of the same files at full size, in turns, with the
same number of threads. The last line with ``--json`` is the medians: images_per_s,
decode_images_per_s, their ratio, and cpu_ratio, the same of processor time, which other programs
on the machine disturb less.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bpnet.data.coco import read_coco
from bpnet.data.masks import needs_mask, store_mask
from bpnet.data.pipeline import iterate, make_batches
from bpnet.data.records import build_record, write_records
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import (
    AugmentationConfig,
    BpNetDataloader,
    BpNetPoseConfig,
    ColorAugParams,
    DatasetConfig,
    SpatialAugParams,
)
from bpnet.spec.dataset import Category, DatasetSpec

COLOURS = ColorAugParams(
    brightness_max=0.2,
    contrast_max=0.3,
    saturation_max=0.5,
    hue_rotation_max=20,
    blur_prob=0.2,
    blur_sigma_max=1.5,
)
LEAST_KEYPOINTS, LEAST_AREA = 5, 1024  # of a main person, as dataset_convert's defaults
RANDOM = SpatialAugParams(  # as the shipped training specs
    flip_lr_prob=0.5,
    rotate_deg_max=40,
    zoom_prob=1.0,
    zoom_ratio_min=0.5,
    zoom_ratio_max=1.1,
    translate_max_x=40,
    translate_max_y=40,
)


def main() -> None:
    """Measure, and print a table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tfrecord"
        category = _convert(arguments, path)
        runs = _measure(arguments, path=path, category=category)
    print("run  images/s  decoded/s  ratio  CPU ratio")
    for number, run in enumerate(runs):
        print(f"{number:3d}  {run[0]:8.0f}  {run[1]:9.0f}  {run[2]:5.2f}  {run[3]:9.2f}")
    names = ("images_per_s", "decode_images_per_s", "ratio", "cpu_ratio")
    medians = {
        name: statistics.median(run[place] for run in runs) for place, name in enumerate(names)
    }
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in medians.items()}))
    else:
        print("median", "  ".join(f"{name} {value:.2f}" for name, value in medians.items()))


def _convert(arguments: argparse.Namespace, path: Path) -> Category:
    """Write one record a main person; returns the people's keypoints."""
    dataset = read_coco(arguments.annotations)
    records = []
    for image in dataset.images:
        mask_bytes = b""
        if arguments.masks and needs_mask(image):
            mask = path.with_name("mask.png")
            if store_mask(image, mask) != "all valid":
                mask_bytes = mask.read_bytes()
        records += [
            build_record(
                image,
                place,
                image_path=image.file_name,
                mask_path="",
                dataset="coco",
                mask_bytes=mask_bytes,
            )
            for place, person in enumerate(image.annotations)
            if person.num_keypoints >= LEAST_KEYPOINTS and person.area >= LEAST_AREA
        ]
    write_records(path, records)
    return Category(keypoints=list(dataset.keypoints))


def _measure(
    arguments: argparse.Namespace, *, path: Path, category: Category
) -> list[tuple[float, float, float, float]]:
    """Images a second of the loader and of bare decoding, their ratio and that of processor time.

    One row a run.
    """
    loader = BpNetDataloader(
        pose_config=BpNetPoseConfig(pose_config_path=""),
        dataset_config=DatasetConfig(
            root_data_path=str(arguments.root),
            train_records_folder_path="",
            train_records_path=[],
            dataset_specs={},
        ),
        augmentation_config=AugmentationConfig(
            spatial_aug_params=RANDOM, color_aug_params=None if arguments.no_colours else COLOURS
        ),
    )
    steps = max(1, arguments.images // arguments.batch_size)
    runs: list[tuple[float, float, float, float]] = []
    for run in range(arguments.runs + 1):
        batches = make_batches(
            loader,
            skeleton=Skeleton.from_category(category, "coco"),
            datasets={"coco": DatasetSpec(root_directory_path="", categories=[category])},
            records=[path],
            seed=0,
            batch_size=arguments.batch_size,
            first_step=run * steps,
            steps=steps,
            threads=arguments.threads,
        )
        begun = _clocks()
        seen = [name for batch in iterate(batches) for name in batch["paths"].numpy()]
        between = _clocks()
        for _ in _bare(seen, arguments.threads):
            pass
        ours, bare = between - begun, _clocks() - between
        runs.append((len(seen) / ours[0], len(seen) / bare[0], *(bare / ours)))
    return runs[1:]  # the first run warms up


def _clocks() -> NDArray[np.float64]:
    """The time (2,) and this process's time on all processors, seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def _bare(paths: list[bytes], threads: int) -> tf.data.Dataset:
    """The same files, decoded whole and dropped."""

    def decode(path: tf.Tensor) -> tf.Tensor:
        return tf.shape(tf.io.decode_jpeg(tf.io.read_file(path), channels=3))

    files = tf.data.Dataset.from_tensor_slices(paths)
    return files.map(decode, num_parallel_calls=threads).prefetch(4)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the JPEGs")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO keypoint file")
    parser.add_argument("--images", type=int, default=600, help="images a run")
    parser.add_argument("--runs", type=int, default=5, help="runs, the loader and bare in turns")
    parser.add_argument("--batch_size", type=int, default=10, help="images a batch")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: the cores"
    )
    parser.add_argument("--no_colours", action="store_true", help="vary the geometry only, as TAO")
    parser.add_argument("--masks", action="store_true", help="embed the images' masks as well")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
