"""Filters that say nothing go unnoticed; those that put out a constant do not count as such."""

import keras
import numpy as np
import pytest
from keras import layers
from test_prune import LOOSE, assert_same, randomised
from test_variants import VARIANTS

from bpnet.model.graph import read_graph
from bpnet.model.network import build_network
from bpnet.model.prune import prune
from bpnet.model.prune_graph import trace_channels


def without_filter(model, place):
    """Filter ``place`` of every prunable convolution, and what its normalisation adds, is 0."""
    channels = trace_channels(model)
    for names in channels.members().values():
        for name in names:
            layer = model.get_layer(name)
            kernel = layer.kernel.numpy()
            kernel[..., place] = 0.0
            layer.kernel.assign(kernel)
            if layer.use_bias:
                zero_at(layer.bias, place)
    for step in read_graph(model).steps:
        if isinstance(step.layer, layers.BatchNormalization):
            zero_at(step.layer.beta, place)
            zero_at(step.layer.moving_mean, place)
    return model


def zero_at(variable, place):
    values = variable.numpy()
    values[place] = 0.0
    variable.assign(values)


@pytest.mark.parametrize("name", VARIANTS)
def test_dead_filters_of_every_variant_go_unnoticed(name):
    model = without_filter(randomised(build_network(VARIANTS[name])), 1)

    result = prune(model, threshold=0.0, **LOOSE)

    channels = trace_channels(model)
    gone = {row.layer for row in result.table if row.kept == row.all - 1}
    # A factor of squeeze and excitation is never 0, but it multiplies a channel that is.
    assert gone == {x for names in channels.members().values() for x in names}
    assert_same(model, result.model, 1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_threshold_0_changes_no_variant(name):
    """Also where a filter has no weights but still a bias, or a normalisation behind it."""
    model = randomised(build_network(VARIANTS[name]))
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and not isinstance(layer, layers.DepthwiseConv2D):
            kernel = layer.kernel.numpy()
            kernel[..., 1] = 0.0
            layer.kernel.assign(kernel)

    result = prune(model, threshold=0.0, **LOOSE)

    assert_same(model, result.model, 1e-6)
    assert prune(model, threshold=1e-9, **LOOSE).parameters_after < result.parameters_after


def spoken(bias, activation):
    """Whether a filter without weights, of this bias and activation, is kept at threshold 0."""
    image = keras.Input((None, None, 1))
    conv = layers.Conv2D(2, 1, name="conv")
    x = layers.Activation(activation)(conv(image))
    model = keras.Model(image, layers.Conv2D(2, 3, padding="same", name="out")(x))
    conv.kernel.assign(np.reshape([0.0, 1.0], (1, 1, 1, 2)))
    conv.bias.assign([bias, 0.5])
    return prune(model, threshold=0.0, **LOOSE).table[0].kept == 2


def test_only_what_is_0_behind_the_activation_is_dead():
    assert spoken(0.3, "relu")
    assert not spoken(-0.3, "relu")
    assert not spoken(0.0, "silu")
    assert spoken(0.0, "sigmoid")


@pytest.mark.parametrize("equalization", ["union", "intersection", "geometric_mean"])
def test_a_term_that_is_dead_alone_stays_in_the_sum(equalization):
    image = keras.Input((None, None, 1))
    first, second = (layers.Conv2D(2, 1, name=name) for name in ("first", "second"))
    x = layers.Add()([first(image), second(image)])
    model = keras.Model(image, layers.Conv2D(2, 1, name="out")(x))
    first.kernel.assign(np.reshape([0.0, 1.0], (1, 1, 1, 2)))

    result = prune(model, threshold=0.0, equalization=equalization, **LOOSE)

    assert [row.kept for row in result.table] == [2, 2, 2]
