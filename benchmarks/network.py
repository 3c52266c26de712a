"""Measure a network, forward and forward + backward, beside what the device's matrices can do.

    python benchmarks/network.py
    python benchmarks/network.py --spec specs/bpnet_train_paf_first_coco.yaml --batches 8,32 \
        --sizes 256x256,368x368 --precisions float32,mixed_float16 --json
    KERAS_BACKEND=jax python benchmarks/network.py

Runs on whatever device the Keras back end (TensorFlow, JAX or PyTorch) finds. The operations are
counted from the network's graph (its convolutions; a backward pass counts twice the forward one),
the device's rate is that of one large square matrix product in the same precision, and
``fraction_of_peak`` is the one by the other. Every round measures all three in turn; the medians of
the rounds are printed.
"""

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bpnet.cli import set_environment
from bpnet.model.description import describe_network
from bpnet.model.network import build_network
from bpnet.spec.network import BpNetLiteModel
from bpnet.spec.reader import read_spec
from bpnet.spec.train import BpNetTrainer

RECORDS = 115_250  # about, that COCO's train2017 gives at the shipped dataset spec's limits
WORK = {"forward": 1, "forward + backward": 3}  # forward passes that each costs
Run = Callable[[], None]  # one run, over when it returns


@dataclass(frozen=True)
class Speed:
    """One line of the result."""

    work: str  # forward, or forward + backward (no optimizer)
    precision: str
    height: int  # pixels
    width: int
    batch: int
    gflops: float  # of one image
    matrix_tflops_per_s: float
    images_per_s: float
    fraction_of_peak: float
    hours_over_coco: float  # train2017 once


def main() -> None:
    """Measure every combination and print it."""
    logging.basicConfig(level=logging.WARNING)
    arguments = _arguments()
    set_environment()
    section = BpNetLiteModel()
    if arguments.spec:
        section = read_spec(arguments.spec, BpNetTrainer, arguments.set).model
    device, measure = {
        "tensorflow": (_tensorflow_device, _tensorflow_runs),
        "jax": (_jax_device, _jax_runs),
        "torch": (_torch_device, _torch_runs),
    }[keras.backend.backend()]
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {device()}")
    print(
        "work                precision       size       batch  matrix TFLOP/s   images/s  of peak"
        "  h over COCO"
    )
    speeds = []
    for precision in arguments.precisions:
        keras.config.set_dtype_policy(precision)
        network = build_network(section)
        for height, width in arguments.sizes:
            gflops = describe_network(network, height, width).gflops
            for batch in arguments.batches:
                images = np.random.default_rng(0).uniform(-0.5, 0.5, (batch, height, width, 3))
                runs = measure(network, images.astype(np.float32), arguments.matrix)
                seconds = _medians(runs, rounds=arguments.rounds)
                peak = 2 * arguments.matrix**3 / seconds[0] / 1e9  # GFLOP/s
                for (work, passes), spent in zip(WORK.items(), seconds[1:], strict=True):
                    speed = Speed(
                        work=work,
                        precision=precision,
                        height=height,
                        width=width,
                        batch=batch,
                        gflops=round(passes * gflops, 3),
                        matrix_tflops_per_s=round(peak / 1000, 4),
                        images_per_s=round(batch / spent, 3),
                        fraction_of_peak=round(passes * gflops * batch / spent / peak, 4),
                        hours_over_coco=round(RECORDS * spent / batch / 3600, 3),
                    )
                    speeds.append(speed)
                    _print(speed)
    if arguments.json:
        print(
            json.dumps(
                {
                    "backend": keras.backend.backend(),
                    "device": device(),
                    "network": type(section).__name__,
                    "parameters": network.count_params(),
                    "results": [asdict(speed) for speed in speeds],
                }
            )
        )


def _medians(runs: tuple[Run, Run, Run], *, rounds: int) -> list[float]:
    """Seconds of each run: the median of rounds that take them in turn, after one to warm up."""
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times in zip(runs, seconds, strict=True):
            begun = time.perf_counter()
            run()
            times.append(time.perf_counter() - begun)
    return [statistics.median(times) for times in seconds]


def _print(speed: Speed) -> None:
    size = f"{speed.height}x{speed.width}"
    print(
        f"{speed.work:18}  {speed.precision:14}  {size:9}  {speed.batch:4d}"
        f"  {speed.matrix_tflops_per_s:14.3f}  {speed.images_per_s:9.2f}"
        f"  {speed.fraction_of_peak:7.2f}  {speed.hours_over_coco:11.2f}"
    )


def _loss(outputs: Any) -> Any:
    """A number that depends on every output."""
    return sum(keras.ops.mean(keras.ops.square(output)) for output in outputs)


def _compute_dtype() -> str:
    return keras.config.dtype_policy().compute_dtype


def _tensorflow_device() -> str:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def _tensorflow_runs(network: keras.Model, images: np.ndarray, matrix: int) -> tuple[Run, Run, Run]:
    """A matrix product, a forward pass, and a forward and backward pass."""
    import tensorflow as tf

    batch = tf.constant(images)
    square = tf.cast(tf.random.normal((matrix, matrix)), _compute_dtype())

    @tf.function
    def multiply() -> Any:
        return tf.reduce_max(tf.matmul(square, square))

    @tf.function
    def forward() -> Any:
        return _loss(network(batch, training=False))

    @tf.function
    def train() -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(network(batch, training=True))
        gradients = tape.gradient(loss, network.trainable_variables)
        return tf.add_n([tf.reduce_max(one) for one in gradients])

    return tuple(lambda run=run: run().numpy() for run in (multiply, forward, train))  # type: ignore[return-value]


def _jax_device() -> str:
    import jax

    return str(jax.devices()[0].device_kind)


def _jax_runs(network: keras.Model, images: np.ndarray, matrix: int) -> tuple[Run, Run, Run]:
    """A matrix product, a forward pass, and a forward and backward pass."""
    import jax
    import jax.numpy as jnp

    batch = jnp.asarray(images)
    square = jax.random.normal(jax.random.key(0), (matrix, matrix)).astype(_compute_dtype())
    weights = [variable.value for variable in network.trainable_variables]
    others = [variable.value for variable in network.non_trainable_variables]

    @jax.jit
    def multiply(factor: Any) -> Any:
        return jnp.max(factor @ factor)

    @jax.jit
    def forward(weights: Any, batch: Any) -> Any:
        return _loss(network.stateless_call(weights, others, batch, training=False)[0])

    def loss(weights: Any, batch: Any) -> Any:
        return _loss(network.stateless_call(weights, others, batch, training=True)[0])

    train = jax.jit(jax.grad(loss))
    return (
        lambda: jax.block_until_ready(multiply(square)),
        lambda: jax.block_until_ready(forward(weights, batch)),
        lambda: jax.block_until_ready(train(weights, batch)),
    )


def _torch_device() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"


def _torch_runs(network: keras.Model, images: np.ndarray, matrix: int) -> tuple[Run, Run, Run]:
    """A matrix product, a forward pass, and a forward and backward pass."""
    import torch

    batch = keras.ops.convert_to_tensor(images)
    square = keras.ops.cast(keras.random.normal((matrix, matrix)), _compute_dtype())

    def multiply() -> None:
        float(torch.max(square @ square))  # a number in Python: the device is done

    def forward() -> None:
        with torch.no_grad():
            float(_loss(network(batch, training=False)))

    def train() -> None:
        network.zero_grad()
        loss = _loss(network(batch, training=True))
        loss.backward()
        if loss.is_cuda:
            torch.cuda.synchronize()

    return multiply, forward, train


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spec", type=Path, help="training spec; default: the default network")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as bpnet's"
    )
    parser.add_argument("--sizes", type=_sizes, default="256x256", help="HxW,HxW...")
    parser.add_argument("--batches", type=_numbers, default="1,4", help="images a batch: N,N...")
    parser.add_argument(
        "--precisions",
        type=lambda text: text.split(","),
        default="float32",
        help="float32, mixed_bfloat16, mixed_float16: P,P...",
    )
    parser.add_argument("--matrix", type=int, default=2048, help="side of the square; GPU: 8192")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the first")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    arguments = parser.parse_args()
    known = {"float32", "mixed_bfloat16", "mixed_float16"}
    if unknown := set(arguments.precisions) - known:
        parser.error(f"--precisions: {', '.join(unknown)} is not one of {', '.join(sorted(known))}")
    if arguments.set and not arguments.spec:
        parser.error("--set changes a spec: give --spec")
    return arguments


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _sizes(text: str) -> list[tuple[int, int]]:
    pairs = [size.split("x") for size in text.split(",")]
    return [(int(height), int(width)) for height, width in pairs]


if __name__ == "__main__":
    main()
