"""Muon: kernels move by orthogonal matrices, all else as with AdamW."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bpnet.spec.optimizer import AdamWOptimizer, MuonOptimizer
from bpnet.training.muon import orthogonalise
from bpnet.training.optimizer import build_optimizer


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 16, 8), (7, 7, 4, 4)])
def test_singular_values_end_near_1_and_their_vectors_stay(shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32) * 1e-3

    found = orthogonalise(tf.constant(kernel)).numpy()

    assert found.shape == shape
    left, _, right = np.linalg.svd(kernel.reshape(-1, shape[-1]), full_matrices=False)
    inner = left.T @ found.reshape(-1, shape[-1]) @ right.T
    assert np.diag(inner).min() > 0.65
    assert np.diag(inner).max() < 1.25
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0, atol=1e-4)


def test_the_iterations_are_newtons_and_schulzs() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype(np.float32)
    x = kernel.reshape(-1, 6).astype(np.float64)
    x /= np.linalg.norm(x)
    for _ in range(5):
        products = x.T @ x
        x = 3.4445 * x - 4.7750 * x @ products + 2.0315 * x @ products @ products

    np.testing.assert_allclose(
        orthogonalise(tf.constant(kernel)), x.reshape(kernel.shape), atol=1e-4
    )


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert not orthogonalise(tf.zeros((3, 3, 4, 4))).numpy().any()


def network() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="stage1.conv1")(image)
    x = keras.layers.DepthwiseConv2D(3, name="stage1.depthwise")(x)
    return keras.Model(image, keras.layers.Conv2D(4, 1, name="stage1.paf_branch.out")(x))


def test_only_hidden_kernels_have_muons_slot() -> None:
    names = build_optimizer(MuonOptimizer(), network(), stagewise=False).names
    assert [name for name in names if "conv1" in name] == [
        "stage1.conv1/kernel/momentum",
        "stage1.conv1/bias/mean",
        "stage1.conv1/bias/square",
    ]
    assert not [name for name in names if name.endswith("momentum") and "conv1" not in name]


def test_kernels_take_orthogonal_steps_and_the_rest_adamws() -> None:
    model, rate, decay = network(), 0.01, 0.1
    before = [weight.numpy() for weight in model.trainable_variables]
    rng = np.random.default_rng(0)
    gradients = [
        [tf.constant(rng.normal(size=weight.shape), tf.float32) for weight in before]
        for _ in range(2)
    ]
    both = {}
    for spec in (MuonOptimizer(weight_decay=decay), AdamWOptimizer(weight_decay=decay)):
        optimizer = build_optimizer(spec, model, stagewise=True)
        model.set_weights(before)
        weights = [weight.value for weight in model.trainable_variables]
        for step, each in enumerate(gradients):
            optimizer.move(
                weights,
                optimizer.variables,
                each,
                rate=tf.constant(rate),
                step=tf.constant(step, tf.int64),
            )
        both[type(spec)] = [weight.numpy() for weight in weights]

    first, second = gradients[0][0], gradients[1][0]
    kernel = before[0]
    mean = 0.05 * first
    # 27 x 8: AdamW's root mean square, 0.2, is that of 0.2 * sqrt(27) on orthogonal columns.
    size = 0.2 * np.sqrt(27)
    kernel = kernel * (1 - rate * decay) - rate * size * orthogonalise(0.05 * first + 0.95 * mean)
    mean = 0.95 * mean + 0.05 * second
    kernel = kernel * (1 - rate * decay) - rate * size * orthogonalise(0.05 * second + 0.95 * mean)
    np.testing.assert_allclose(both[MuonOptimizer][0], kernel, atol=1e-5)
    for muon, adamw in zip(both[MuonOptimizer][1:], both[AdamWOptimizer][1:], strict=True):
        np.testing.assert_array_equal(muon, adamw)
