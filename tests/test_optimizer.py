import keras
import numpy as np
import pytest
import tensorflow as tf

from bpnet.errors import SpecError
from bpnet.spec.optimizer import AdamWOptimizer, WeightedMomentumOptimizer
from bpnet.training.optimizer import (
    Optimizer,
    build_optimizer,
    learning_factors,
    stagewise_factor,
)


def layers_of(*names: str) -> keras.Model:
    x = image = keras.Input((None, None, 1))
    for name in names:
        x = keras.layers.Conv2D(1, 1, name=name)(x)
    return keras.Model(image, keras.layers.BatchNormalization(name="stage2.bn")(x))


def move(optimizer: Optimizer, model: keras.Model, gradients: list, rate: float, step: int = 0):
    weights = [weight.value for weight in model.trainable_variables]
    rate, step = tf.constant(rate), tf.constant(step, tf.int64)
    optimizer.move(weights, optimizer.variables, gradients, rate=rate, step=step)


@pytest.mark.parametrize(
    ("layer", "kernel", "bias"),
    [
        ("block_1a_conv_1", 1, 2),
        ("channel_reduction_conv", 1, 2),
        ("stage1.conv1", 1, 2),
        ("stage1.paf_branch.out", 1, 2),
        ("stage2.conv1", 4, 8),
        ("stage6.heat_branch.out", 4, 8),
        ("paf_out", 4, 8),
        ("heatmap_out", 4, 8),
    ],
)
def test_layers_learn_at_the_factors_of_tao(layer: str, kernel: float, bias: float) -> None:
    assert (stagewise_factor(layer, "kernel"), stagewise_factor(layer, "bias")) == (kernel, bias)


def test_own_factors_come_on_top_and_batch_norms_have_none_of_the_stages() -> None:
    model = layers_of("stage1.conv1", "stage2.conv1")
    spec = WeightedMomentumOptimizer(
        grad_weights_dict={"stage2/conv1": 0.5}, weight_default_value=3.0
    )
    factors = learning_factors(spec, model, stagewise=True)
    assert factors == [3, 6, 2, 4, 3, 3]


def test_factors_reach_the_layers_of_a_nested_network() -> None:
    inner = layers_of("stage2.conv1")
    image = keras.Input((None, None, 1))
    model = keras.Model(image, inner(image))
    factors = learning_factors(WeightedMomentumOptimizer(), model, stagewise=True)
    assert factors == [4, 8, 1, 1]


def test_an_unknown_layer_is_named_with_its_nearest() -> None:
    spec = AdamWOptimizer(grad_weights_dict={"stage2.conv2": 1.0})
    with pytest.raises(SpecError, match=r"stage2\.conv2.*did you mean stage2\.conv1"):
        learning_factors(spec, layers_of("stage2.conv1"), stagewise=True)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_is_tensorflows(nesterov: bool) -> None:
    model = layers_of("stage1.conv1", "stage2.conv1")
    spec = WeightedMomentumOptimizer(momentum=0.9, use_nesterov=nesterov)
    optimizer = build_optimizer(spec, model, stagewise=True)
    variables = model.trainable_variables[:4]
    factors = [1, 2, 4, 8]
    weights = [v.numpy().astype(np.float64) for v in variables]
    velocities = [np.zeros_like(w) for w in weights]
    rng = np.random.default_rng(0)
    for rate in (0.1, 0.1, 0.02):
        gradients = [rng.normal(size=w.shape) for w in weights]
        rest = [tf.zeros(v.shape) for v in model.trainable_variables[4:]]
        move(optimizer, model, [*(tf.constant(g, tf.float32) for g in gradients), *rest], rate)
        for i, (factor, gradient) in enumerate(zip(factors, gradients, strict=True)):
            scaled = factor * gradient
            velocities[i] = 0.9 * velocities[i] + scaled
            weights[i] -= rate * (scaled + 0.9 * velocities[i] if nesterov else velocities[i])
    for variable, weight in zip(variables, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-5, atol=1e-6)


def test_adamw_multiplies_the_rate_and_decays_kernels_only() -> None:
    model = layers_of("stage2.conv1")
    kernel, bias = model.trainable_variables[:2]
    kernel.assign(np.full(kernel.shape, 2.0))
    bias.assign([2.0])
    optimizer = build_optimizer(AdamWOptimizer(weight_decay=0.1), model, stagewise=True)
    move(optimizer, model, [tf.ones(v.shape) for v in model.trainable_variables], 0.01)
    # Adam's first step is the rate itself, whatever the gradient's size.
    decayed = 2.0 - 4 * 0.01 * 0.1 * 2.0
    np.testing.assert_allclose(kernel.numpy().ravel(), [decayed - 4 * 0.01], rtol=1e-5)
    np.testing.assert_allclose(bias.numpy(), [2.0 - 8 * 0.01], rtol=1e-5)


def test_adamw_is_the_papers() -> None:
    model = layers_of("stage1.conv1")
    optimizer = build_optimizer(AdamWOptimizer(beta_2=0.99), model, stagewise=False)
    kernel = model.trainable_variables[0]
    weight = kernel.numpy().astype(np.float64)
    mean = square = np.zeros_like(weight)
    rng = np.random.default_rng(0)
    for step in range(3):
        gradient = rng.normal(size=weight.shape)
        rest = [tf.zeros(v.shape) for v in model.trainable_variables[1:]]
        move(optimizer, model, [tf.constant(gradient, tf.float32), *rest], 0.1, step)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.99 ** (step + 1))
        weight -= 0.1 * unbiased[0] / np.sqrt(unbiased[1])
    np.testing.assert_allclose(kernel.numpy(), weight, rtol=1e-4)
