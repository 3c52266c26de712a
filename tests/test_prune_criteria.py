"""What a filter's norm may be beside the norm of its weights."""

import keras
import numpy as np
import pytest
from keras import layers
from test_prune import LOOSE, VARIANTS, assert_same, chain

from bpnet.errors import ModelError
from bpnet.model.prune import prune

ONES = [np.ones((1, 4, 4, 1), np.float32)]
IMAGES = [np.random.default_rng(5).uniform(-0.5, 0.5, (2, 32, 32, 3)).astype(np.float32)]


def model_of(*between, kernel, bias=0.0, reading=1.0):
    """A 1x1 convolution, layers, and a 1x1 convolution that reads."""
    filters = len(kernel)
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(filters, 1, name="conv")(image)
    for layer in between:
        x = layer(x)
    model = keras.Model(image, layers.Conv2D(1, 1, name="out")(x))
    model.get_layer("conv").kernel.assign(np.reshape(kernel, (1, 1, 1, filters)))
    model.get_layer("conv").bias.assign(np.broadcast_to(bias, filters))
    weights = np.broadcast_to(reading, filters).reshape(1, 1, filters, 1)
    model.get_layer("out").kernel.assign(weights)
    return model


def kept(model, **settings):
    """The weights of the filters kept of ``conv``."""
    result = prune(model, **{**LOOSE, "threshold": 0.5, **settings})
    return result.model.get_layer("conv").kernel.numpy().ravel().tolist()


def test_batch_norm_scales_the_weights():
    model = model_of(norm := layers.BatchNormalization(epsilon=0.0), kernel=[1.0, 2.0, 3.0])
    norm.gamma.assign([-1.0, 1.0, 0.5])
    norm.moving_variance.assign([0.25, 4.0, 9.0])

    # 1 / 0.5, 2 / 2 and 3 * 0.5 / 3
    assert kept(model, criterion="batch_norm", threshold=0.6) == [1.0]
    assert kept(model, criterion="weights", threshold=0.6) == [2.0, 3.0]


def test_batch_norm_of_a_sum_belongs_to_none_of_its_terms():
    image = keras.Input((None, None, 1))
    terms = [layers.Conv2D(2, 1, name=name)(image) for name in ("first", "second")]
    norm = layers.BatchNormalization(epsilon=0.0)
    x = layers.Conv2D(2, 1, name="out")(norm(layers.Add()(terms)))
    model = keras.Model(image, x)
    for name in ("first", "second"):
        model.get_layer(name).kernel.assign(np.reshape([1.0, 0.2], (1, 1, 1, 2)))
    norm.gamma.assign([0.1, 1.0])

    pruned = prune(model, threshold=0.5, criterion="batch_norm", **LOOSE).model

    assert pruned.get_layer("first").kernel.numpy().ravel().tolist() == [1.0]


def test_activation_is_measured_behind_the_activation():
    model = model_of(layers.ReLU(), kernel=[1.0, -5.0, 2.0], bias=[0.0, 1.0, 0.0])

    # On images of ones: 1, relu(-4) = 0 and 2.
    assert kept(model, criterion="activation", images=ONES, threshold=0.4) == [1.0, 2.0]
    assert kept(model, criterion="activation", images=ONES, threshold=0.0) == [1.0, -5.0, 2.0]


def test_contribution_counts_the_weights_that_read():
    model = model_of(layers.ReLU(), kernel=[1.0, 2.0], reading=[1.0, 0.1])

    # 1 * 1 and 2 * 0.1
    assert kept(model, criterion="contribution", images=ONES) == [1.0]
    assert kept(model, criterion="activation", images=ONES) == [2.0]


def test_energy_is_the_part_that_goes_with_all_below():
    # Squares 1, 4, 4, 16 of 25: the roots of 1, 5, 9 and 25 of 25.
    norms = [2.0, 1.0, 4.0, -2.0]

    def left(threshold):
        return kept(chain(norms), normalizer="energy", threshold=threshold)

    assert left(0.1) == norms
    assert left(0.2) == [2.0, 4.0, -2.0]
    assert left(0.45) == [4.0, -2.0]
    assert left(0.6) == [4.0]


@pytest.mark.parametrize("criterion", ["batch_norm", "activation", "contribution"])
@pytest.mark.parametrize("variant", ["attention", "residual"])
def test_products_and_sums_are_pruned_by_every_criterion(variant, criterion):
    model = VARIANTS[variant][0]()
    settings = {"criterion": criterion, "normalizer": "energy", "images": IMAGES, **LOOSE}

    nothing = prune(model, threshold=0.0, **settings)
    much = prune(model, target_flops=0.7, **settings)

    assert nothing.parameters_after == nothing.parameters_before
    assert_same(model, nothing.model, 1e-6)
    rows = {row.layer: row.kept for row in much.table}
    assert len({rows[name] for name in VARIANTS[variant][1]}) == 1  # those that share channels


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"criterion": "taylor"}, "criterion 'taylor' is not known"),
        ({"criterion": "activation"}, "give it images"),
        ({"criterion": "contribution", "images": []}, "there is no image"),
        (
            {"criterion": "activation", "images": [np.full((1, 4, 4, 1), np.nan)]},
            "conv puts out values that are not finite",
        ),
    ],
)
def test_what_a_criterion_lacks_is_one_sentence(settings, sentence):
    with pytest.raises(ModelError, match=sentence) as error:
        prune(chain([1.0, 2.0]), threshold=0.5, **LOOSE, **settings)

    assert "\n" not in str(error.value)
