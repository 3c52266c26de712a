"""How fast batches are made, against bare decoding of the same JPEGs.

    python benchmarks/loader.py --root coco --annotations coco/annotations/person_keypoints.json

Makes one record a person in a temporary folder, then times batches with all augmentation on and
``tf.io.decode_jpeg`` of the same files at full size, in turns, with the same number of threads.
The last line with ``--json`` is the medians: images_per_s, decode_images_per_s and their ratio.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from bpnet.data.coco import read_coco
from bpnet.data.pipeline import iterate, make_batches
from bpnet.data.records import PoseRecord, build_record, write_records
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataloader import (
    AugmentationConfig,
    BpNetDataloader,
    BpNetPoseConfig,
    DatasetConfig,
    SpatialAugParams,
)
from bpnet.spec.dataset import Category, DatasetSpec

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
    dataset = read_coco(arguments.annotations)
    records = [
        build_record(image, place, image_path=image.file_name, mask_path="", dataset="coco")
        for image in dataset.images
        for place, person in enumerate(image.annotations)
        if person.num_keypoints >= LEAST_KEYPOINTS and person.area >= LEAST_AREA
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tfrecord"
        write_records(path, records)
        category = Category(keypoints=list(dataset.keypoints))
        speeds = _measure(arguments, records=records, path=path, category=category)
    print("run  images/s  decoded/s  ratio")
    for run, (ours, bare) in enumerate(speeds):
        print(f"{run:3d}  {ours:8.0f}  {bare:9.0f}  {ours / bare:5.2f}")
    medians = {
        "images_per_s": statistics.median(ours for ours, _ in speeds),
        "decode_images_per_s": statistics.median(bare for _, bare in speeds),
        "ratio": statistics.median(ours / bare for ours, bare in speeds),
    }
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in medians.items()}))
    else:
        print("median", "  ".join(f"{name} {value:.2f}" for name, value in medians.items()))


def _measure(
    arguments: argparse.Namespace, *, records: list[PoseRecord], path: Path, category: Category
) -> list[tuple[float, float]]:
    """Images a second of the loader and of bare decoding, for each run."""
    loader = BpNetDataloader(
        pose_config=BpNetPoseConfig(pose_config_path=""),
        dataset_config=DatasetConfig(
            root_data_path=str(arguments.root),
            train_records_folder_path="",
            train_records_path=[],
            dataset_specs={},
        ),
        augmentation_config=AugmentationConfig(spatial_aug_params=RANDOM),
    )
    steps = max(1, arguments.images // arguments.batch_size)
    speeds = []
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
        begun = time.perf_counter()
        seen = [name for batch in iterate(batches) for name in batch["paths"].numpy()]
        ours = len(seen) / (time.perf_counter() - begun)
        begun = time.perf_counter()
        for _ in _bare(seen, arguments.threads):
            pass
        speeds.append((ours, len(seen) / (time.perf_counter() - begun)))
    return speeds[1:]  # the first run warms up


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
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
