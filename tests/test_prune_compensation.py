"""Channels that stay take over from channels that go."""

import keras
import numpy as np
import pytest
from keras import layers
from test_prune import LOOSE, VARIANTS, assert_same, outputs, randomised

from bpnet.model.prune import prune

IMAGES = [np.random.default_rng(5).uniform(-0.5, 0.5, (3, 160, 160, 3)).astype(np.float32)]


def redundant(reader, *, behind=()):
    """Four filters of which the weaker two are mixtures of the others, and a layer that reads."""
    image = keras.Input((None, None, 3), name="input_1")
    x = layers.Conv2D(4, 1, name="conv")(image)
    x = reader(x)
    for layer in behind:
        x = layer(x)
    model = randomised(keras.Model(image, layers.Conv2D(2, 1, name="out")(x)), seed=2)
    conv = model.get_layer("conv")
    kernel = conv.kernel.numpy()
    kernel[..., :2] *= 3.0 / np.abs(kernel[..., :2]).max()
    kernel[..., 2] = 0.3 * kernel[..., 0] - 0.2 * kernel[..., 1]
    kernel[..., 3] = 0.1 * kernel[..., 1]
    conv.kernel.assign(kernel)
    if isinstance(reader, layers.Conv2DTranspose):  # its places see different parts of a constant
        conv.bias.assign(np.zeros(4))
    return model


@pytest.mark.parametrize(
    ("reader", "behind"),
    [
        (lambda: layers.Conv2D(3, 3), ()),
        (lambda: layers.Conv2D(3, 3, use_bias=False), (layers.BatchNormalization,)),
        (lambda: layers.Conv2DTranspose(3, 2, strides=2, name="transposed"), ()),
    ],
)
def test_what_can_be_told_from_the_others_is_kept(reader, behind):
    model = redundant(reader(), behind=[make() for make in behind])
    settings = {"threshold": 0.6, "excluded": [model.layers[2].name], "images": IMAGES, **LOOSE}

    plain = prune(model, **settings)
    helped = prune(model, compensation=True, **settings)

    assert plain.table == helped.table
    assert helped.table[0].kept == 2
    whole, without, rebuilt = (outputs(x)[0] for x in (model, plain.model, helped.model))
    error, left = (np.square(x - whole).mean() for x in (without, rebuilt))
    assert left < 1e-4 * error


@pytest.mark.parametrize("variant", ["lite", "residual"])
def test_compensation_helps_networks_of_random_weights(variant):
    model = VARIANTS[variant][0]()
    settings = {"target_params": 0.8, "images": IMAGES, **LOOSE}

    plain, helped = (prune(model, compensation=x, **settings) for x in (False, True))

    def error(result):
        pairs = zip(outputs(model), outputs(result.model), strict=True)
        return sum(float(np.square(a - b).mean() / np.square(a).mean()) for a, b in pairs)

    assert error(helped) < 0.7 * error(plain)


def test_nothing_is_compensated_where_nothing_goes():
    model = VARIANTS["attention"][0]()

    result = prune(model, threshold=0.0, compensation=True, images=IMAGES, **LOOSE)

    assert_same(model, result.model, 0.0)
