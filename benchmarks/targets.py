"""What drawing the targets adds to a training step.

    python benchmarks/targets.py --network default
    python benchmarks/targets.py --network slim

Times, in turns, the step of a network on given maps (forward, loss, gradients, weights) and the
drawing of these maps from keypoints, each as one graph on the device that TensorFlow chooses. The
last line with ``--json`` is the medians: step_ms, targets_ms and share, targets / step.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bpnet.cli import set_environment
from bpnet.encode import draw_maps
from bpnet.model.loss import pose_loss
from bpnet.model.network import build_network
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.network import BpNetLiteModel

REPOSITORY = Path(__file__).resolve().parents[1]
SKELETON = REPOSITORY / "model_pose_config" / "bpnet_18joints.json"
STRIDE = 8
SIGMA, LIMB_WIDTH = 7.0, 8.0  # input pixels
# Height and width, images a step, people of the fullest image of a batch; the slim network and its
# batches are the quickstart's, the default ones those of the training spec on COCO.
SETTINGS = {"default": ((256, 256), 10, 13), "slim": ((192, 256), 2, 3)}


def main() -> None:
    """Measure, and print."""
    arguments = _arguments()
    set_environment()
    size, batch_size, people = SETTINGS[arguments.network]
    skeleton = Skeleton.load(SKELETON)
    step = _network_step(arguments.network, skeleton, size, batch_size)
    drawing = _drawing(skeleton, size, batch_size, people)
    steps, targets = [], []
    for _ in range(arguments.runs + 1):
        steps.append(_milliseconds(step, 1))
        targets.append(_milliseconds(drawing, 10))
    steps, targets = steps[1:], targets[1:]  # the first run warms up
    medians = {
        "step_ms": statistics.median(steps),
        "targets_ms": statistics.median(targets),
        "share": statistics.median(b / a for a, b in zip(steps, targets, strict=True)),
    }
    if arguments.json:
        print(json.dumps({name: round(value, 4) for name, value in medians.items()}))
    else:
        print("median", "  ".join(f"{name} {value:.4g}" for name, value in medians.items()))


def _network_step(
    network: str, skeleton: Skeleton, size: tuple[int, int], batch_size: int
) -> Callable[[], Any]:
    """A training step on fixed images and maps; returns its loss."""
    maps = {"heat_channels": skeleton.heatmap_channels, "paf_channels": skeleton.paf_channels}
    spec = BpNetLiteModel(stages=3, **maps)
    if network == "slim":
        spec = BpNetLiteModel(stages=2, width_multiplier=0.25, **maps)
    model = build_network(spec)
    optimizer = keras.optimizers.Adam(1e-5)
    optimizer.build(model.trainable_variables)
    height, width = size[0] // STRIDE, size[1] // STRIDE
    images = tf.random.uniform((batch_size, *size, 3), seed=0)
    heatmaps = tf.zeros((batch_size, height, width, skeleton.heatmap_channels))
    pafs = tf.zeros((batch_size, height, width, skeleton.paf_channels))
    masks = tf.ones((batch_size, height, width, 1))

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss, _ = pose_loss(model(images, training=True), heatmaps, pafs, masks)
            loss += tf.add_n(model.losses) if model.losses else 0.0
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return step


def _drawing(
    skeleton: Skeleton, size: tuple[int, int], batch_size: int, people: int
) -> Callable[[], Any]:
    """Draws the maps of random people; returns a number that needs all of them."""
    random = np.random.default_rng(0)
    shape = (batch_size, people, len(skeleton.keypoints))
    xy = random.uniform(0, size[::-1], (*shape, 2))
    labelled = random.random((*shape, 1)) < 0.8
    keypoints = tf.constant(np.concatenate([xy, labelled], axis=-1), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((batch_size, None, shape[2], 3))])
    def draw(keypoints: Any) -> Any:
        heatmaps, pafs = draw_maps(
            keypoints,
            limbs=skeleton.limbs,
            map_height=size[0] // STRIDE,
            map_width=size[1] // STRIDE,
            stride=STRIDE,
            sigma=SIGMA,
            limb_width=LIMB_WIDTH,
        )
        return tf.reduce_sum(heatmaps) + tf.reduce_sum(pafs)

    return lambda: draw(keypoints)


def _milliseconds(call: Callable[[], Any], times: int) -> float:
    """Of one call, the mean of some; each is waited for."""
    begun = time.perf_counter()
    for _ in range(times):
        float(call())
    return (time.perf_counter() - begun) * 1000 / times


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=sorted(SETTINGS), default="slim")
    parser.add_argument("--runs", type=int, default=7, help="runs, both in turns")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
