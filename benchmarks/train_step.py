"""How much of the network's own speed a whole training step keeps.

    python benchmarks/train_step.py --json
    python benchmarks/train_step.py --root coco/images --annotations coco/person_keypoints.json

A whole step reads JPEGs, draws targets, runs the network forward and backward, moves the weights
and their averages; a bare one runs the same network forward and backward on constant tensors. They
take turns of a few seconds in one process, so that other programs meet both, and each ratio is the
median over the turns: ratio_float32 and ratio_bfloat16 of the default network with the default
optimizer, ratio_slim of the quickstart's with its own, in bfloat16 where the processor has it.
bfloat16_speedup compares the default network's whole steps.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bpnet.cli import set_environment
from bpnet.commands.quickstart_specs import write_specs
from bpnet.data.coco import read_coco
from bpnet.data.pipeline import iterate, make_batches
from bpnet.data.records import build_record, write_records
from bpnet.data.rendered import render_dataset
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category, DatasetSpec
from bpnet.spec.network import BpNetLiteModel
from bpnet.spec.optimizer import WeightedMomentumOptimizer
from bpnet.spec.reader import read_spec
from bpnet.spec.train import BpNetTrainer
from bpnet.training.devices import Devices
from bpnet.training.precision import cpu_has_bfloat16
from bpnet.training.start import Start, start_state
from bpnet.training.step import build_step
from bpnet.training.targets import Targets
from bpnet.training.trainer import step_settings

EMA_DECAY = 0.999
BUFFERED = 3  # batches that the loader may hold ready
DRAWN = 64  # images, where no others are given
NETWORKS = ("float32", "bfloat16", "slim")
FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"


@dataclass(frozen=True)
class Data:
    """What the steps learn.

    Attributes:
        root: Folder of the images.
        records: The record file.
        category: Keypoints and limbs.
    """

    root: Path
    records: Path
    category: Category


def main() -> None:
    """Measure, and print a table."""
    arguments = _arguments()
    set_environment()
    with tempfile.TemporaryDirectory() as folder:
        spec, data = _prepare(Path(folder), arguments)
        figures = _measure(spec, data, arguments)
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _measure(spec: BpNetTrainer, data: Data, arguments: argparse.Namespace) -> dict[str, float]:
    """Every figure, each pair of steps in turns."""
    channels = {"heat_channels": spec.model.heat_channels, "paf_channels": spec.model.paf_channels}
    loader = replace(spec.dataloader, batch_size=arguments.batch_size)
    default = replace(
        spec,
        dataloader=loader,
        model=BpNetLiteModel(**channels),
        optimizer=WeightedMomentumOptimizer(),
    )
    slim_precision = BFLOAT16 if cpu_has_bfloat16() else FLOAT32
    cases = {
        "float32": (default, FLOAT32, arguments.steps),
        "bfloat16": (default, BFLOAT16, arguments.steps),
        "slim": (spec, slim_precision, arguments.steps * 15),
    }
    print("network   whole images/s  bare images/s  ratio")
    figures: dict[str, float] = {}
    for name in arguments.only:
        chosen, precision, steps = cases[name]
        whole, bare = [], []
        for whole_speed, bare_speed in _speeds(chosen, data, precision, steps, arguments.runs):
            whole.append(whole_speed)
            bare.append(bare_speed)
        ratio = statistics.median(a / b for a, b in zip(whole, bare, strict=True))
        figures[f"ratio_{name}"] = ratio
        figures[f"{name}_images_per_s"] = statistics.median(whole)
        print(f"{name:9} {figures[f'{name}_images_per_s']:14.2f} "
              f"{statistics.median(bare):14.2f} {ratio:6.3f}")  # fmt: skip
    if {"float32", "bfloat16"} <= set(arguments.only):
        speedup = figures["bfloat16_images_per_s"] / figures["float32_images_per_s"]
        figures["bfloat16_speedup"] = speedup
    return figures


def _speeds(
    spec: BpNetTrainer, data: Data, precision: str, steps: int, runs: int
) -> Iterator[tuple[float, float]]:
    """Images a second of whole steps and of bare ones, ``runs`` times.

    Between its turns the loader fills its buffers: some untimed steps empty them again.
    """
    skeleton = Skeleton.from_category(data.category, "benchmark")
    devices = Devices()
    state = start_state(
        spec,
        Start(None, None, resumed=False),
        skeleton=skeleton,
        steps_per_epoch=steps,
        precision=precision,
        devices=devices,
        key=None,
    )
    dataset = DatasetSpec(root_directory_path="", categories=[data.category])
    size = spec.dataloader.batch_size
    batches = make_batches(
        spec.dataloader,
        skeleton=skeleton,
        datasets={"benchmark": dataset},
        records=[data.records],
        seed=0,
        batch_size=size,
        steps=(steps + BUFFERED) * (runs + 1),
    )
    take = build_step(
        state,
        Targets.of(spec.dataloader, skeleton),
        devices,
        settings=step_settings(spec, devices),
        batch_spec=batches.element_spec,
    )
    dims = spec.dataloader.image_config.image_dims
    bare = _bare_step(state.model, (size, dims.height, dims.width, 3))

    source = iterate(batches)

    def whole_speed() -> float:
        for _ in range(BUFFERED):
            take([next(source)], 1e-5)
        begun = time.perf_counter()
        for _ in range(steps):
            take([next(source)], 1e-5)
        return size * steps / (time.perf_counter() - begun)

    def bare_speed() -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            bare()
        return size * steps / (time.perf_counter() - begun)

    whole_speed()  # traces both graphs
    bare()
    for _ in range(runs):
        yield whole_speed(), bare_speed()
    source.close()


def _bare_step(model: keras.Model, shape: tuple[int, ...]) -> Callable[[], Any]:
    """Forward and backward on constants, nothing else; batch norms count as in training."""
    images = tf.random.stateless_uniform(shape, (0, 0)) - 0.5
    goals = [tf.zeros((1, 1, 1, output.shape[-1])) for output in model.outputs]

    def step() -> Any:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            pairs = zip(outputs, goals, strict=True)
            loss = tf.add_n([tf.reduce_sum(tf.square(output - goal)) for output, goal in pairs])
        weights = [weight.value for weight in model.trainable_variables]
        # A gradient that nobody asks for is not computed: each must be looked at.
        return tf.add_n([tf.reduce_max(x) for x in tape.gradient(loss, weights)])

    graph = tf.function(step)
    return lambda: float(graph())


def _prepare(folder: Path, arguments: argparse.Namespace) -> tuple[BpNetTrainer, Data]:
    """The quickstart's training spec with averages, and records of drawn or given images."""
    paths = write_specs(folder, seed=0)
    spec = replace(read_spec(paths["train"], BpNetTrainer), ema_decay=EMA_DECAY)
    root, annotations = arguments.root, arguments.annotations
    if root is None:
        for _ in render_dataset(folder / "data", split="train", images=DRAWN, seed=0):
            pass
        root = folder / "data" / "train"
        annotations = folder / "data" / "annotations" / "person_keypoints_train.json"
    labels = read_coco(annotations)
    category = read_spec(paths["dataset"], DatasetSpec).categories[0]
    records = [
        build_record(image, 0, image_path=image.file_name, mask_path="", dataset="benchmark")
        for image in labels.images
        if any(person.num_keypoints for person in image.annotations)
    ]
    write_records(folder / "records", records)
    config = replace(spec.dataloader.dataset_config, root_data_path=str(root))
    spec = replace(spec, dataloader=replace(spec.dataloader, dataset_config=config))
    return spec, Data(root, folder / "records", category)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of JPEGs; default: drawn people")
    parser.add_argument("--annotations", type=Path, help="COCO keypoint file of --root")
    parser.add_argument("--batch_size", type=int, default=8, help="images, default network")
    parser.add_argument("--steps", type=int, default=2, help="of a turn; slim: 15 times as many")
    parser.add_argument("--runs", type=int, default=10, help="turns of each pair")
    parser.add_argument(
        "--only", nargs="+", choices=NETWORKS, default=NETWORKS, help="which to measure"
    )
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    arguments = parser.parse_args()
    if (arguments.root is None) != (arguments.annotations is None):
        parser.error("--root and --annotations belong together")
    return arguments


if __name__ == "__main__":
    main()
