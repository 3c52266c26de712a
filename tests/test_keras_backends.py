"""Targets, network and loss are Keras operations alone: other back ends compute the same."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import json, sys
import keras, numpy as np
from bpnet.encode import draw_maps
from bpnet.model.loss import pose_loss
from bpnet.model.network import build_network
from bpnet.model.outputs import stages_of
from bpnet.spec.network import BpNetPafFirstModel
from bpnet.spec.optimizer import BpNetLoss, FocalLossParams

network = build_network(
    BpNetPafFirstModel(paf_stages=1, stage_kernel_sizes=[5], heat_channels=4, paf_channels=2,
                       width_multiplier=0.125, kernel_initializer="he_normal"))
draw = np.random.default_rng(0)
for weight in network.weights:
    scale = 0.5 / np.sqrt(max(1, np.prod(weight.shape[:-1])))
    if weight.name not in ("moving_variance", "gamma"):
        weight.assign(draw.normal(0, scale, weight.shape).astype("float32"))
people = [[[20, 24, 1], [44, 24, 1], [30, 40, 0]], [[9, 9, 1], [50, 60, 1], [5, 5, 1]]]
keypoints = np.array([people])
heatmaps, pafs = draw_maps(keypoints.astype("float32"), limbs=((0, 1),), map_height=8, map_width=8,
                           stride=8, sigma=7.0, limb_width=8.0)
images = draw.uniform(-0.5, 0.5, (1, 64, 64, 3)).astype("float32")
settings = BpNetLoss(focal_loss_params=FocalLossParams(use_focal_loss=True), foreground_weight=2.0)

def loss_of(outputs):
    total, _ = pose_loss(outputs, heatmaps, pafs, np.ones((1, 8, 8, 1), "float32"),
                         settings=settings, stages=stages_of(network))
    return total

name = keras.backend.backend()
if name == "tensorflow":
    import tensorflow as tf
    with tf.GradientTape() as tape:
        loss = loss_of(network(images, training=True))
    gradients = tape.gradient(loss, network.trainable_variables)
elif name == "jax":
    import jax
    others = [v.value for v in network.non_trainable_variables]
    def of_weights(weights):
        return loss_of(network.stateless_call(weights, others, images, training=True)[0])
    step = jax.jit(jax.value_and_grad(of_weights))
    loss, gradients = step([v.value for v in network.trainable_variables])
else:
    loss = loss_of(network(images, training=True))
    loss.backward()
    gradients = [v.value.grad for v in network.trainable_variables]
assert name == sys.argv[1]
numbers = [float(loss)] + [float(keras.ops.sum(one**2)) ** 0.5 for one in gradients]
maps = [float(keras.ops.sum(keras.ops.abs(one))) for one in (heatmaps, pafs)]
print(json.dumps(maps + numbers))
"""


def computed_by(backend: str) -> list[float]:
    """Sums of the targets' maps, the loss, and the norm of each gradient."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    numbers: list[float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_back_end_computes_the_same(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; pip install {backend}")

    ours, theirs = computed_by("tensorflow"), computed_by(backend)

    np.testing.assert_allclose(theirs, ours, rtol=2e-3, atol=1e-4)
    assert np.isfinite(ours).all()
    assert ours[2] > 1.0
