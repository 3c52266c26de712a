import keras
import numpy as np
import pytest
from keras import layers

from bpnet.errors import ModelError
from bpnet.model.network import build_network
from bpnet.model.prune import prune
from bpnet.spec.network import BpNetLiteModel, BpNetModel

SMALL = {"stages": 2, "width_multiplier": 0.125, "kernel_initializer": "xavier"}
LOOSE = {"granularity": 1, "min_filters": 1}  # every filter is judged by itself


def randomised(model, seed=0):
    """The model with random weights everywhere, filters of different norms, live batch norms."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if len(shape) == 4:
                value = draw.normal(size=shape) * np.sqrt(2 / np.prod(shape[:3]))
                value *= draw.uniform(
                    0.1, 1.5, (shape[2], 1) if "trans" in layer.name else shape[3]
                )
            elif variable.name in ("gamma", "moving_variance"):
                value = draw.uniform(0.5, 1.5, shape)
            else:
                value = draw.normal(0.0, 0.2, shape)
            variable.assign(value)
    return model


def network(**settings):
    return randomised(build_network(BpNetLiteModel(**{**SMALL, **settings})))


def residual_network():
    """Depthwise, residual, joined and transposed layers; one layer called twice."""
    image = keras.Input((None, None, 3), name="input_1")
    x = layers.Conv2D(12, 3, padding="same", name="first")(image)
    x = layers.BatchNormalization(name="first_bn")(x)
    y = layers.ReLU(name="first_relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.Dropout(0.5, name="drop")(y)
    y = layers.Conv2D(12, 1, use_bias=False, name="pointwise")(y)
    x = layers.Add(name="residual")([x, y])
    again = layers.Conv2D(12, 3, padding="same", activation="relu", name="twice")
    x = again(again(x))
    x = layers.Concatenate(name="join")([x, layers.Conv2D(7, 1, name="side")(image), y])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2DTranspose(9, 2, strides=2, name="transposed")(x)
    return randomised(keras.Model(image, layers.Conv2D(4, 1, name="out")(x)), seed=3)


def outputs(model, side=32):
    images = np.random.default_rng(1).uniform(-0.5, 0.5, (2, side, side, 3)).astype("float32")
    return [np.asarray(x) for x in keras.tree.flatten(model(images, training=False))]


def filter_norms(layer):
    kernel = layer.kernel.numpy()
    axis = 2 if isinstance(layer, layers.Conv2DTranspose) else 3
    norms = np.array([np.linalg.norm(np.take(kernel, i, axis)) for i in range(layer.filters)])
    return norms / norms.max()


def masked(model, result, groups=()):
    """The slow way: the whole network, every removed channel put to 0 after every layer.

    ``groups`` are the layers whose norms are joined.
    """
    kept = {row.layer: row.kept for row in result.table}
    masks, alive = {}, []

    def mask_of(layer):
        members = next((names for names in groups if layer.name in names), [layer.name])
        norms = np.max([filter_norms(model.get_layer(x)) for x in members], axis=0)
        mask = np.zeros(len(norms), "float32")
        mask[np.argsort(-norms)[: kept[layer.name]]] = 1.0
        return mask

    def call(layer, *args, **kwargs):
        inputs = keras.tree.flatten(args)
        given = [masks.get(id(x), np.ones(x.shape[-1], "float32")) for x in inputs]
        if layer.name in kept:
            mask = mask_of(layer)
        elif isinstance(layer, layers.Concatenate):
            mask = np.concatenate(given)
        else:
            mask = given[0]
        output = layer(*args, **kwargs) * mask
        masks[id(output)] = mask
        alive.append(output)  # so that no id is used twice
        return output

    return keras.models.clone_model(model, clone_function=lambda x: x, call_function=call)


def assert_same(model, other, tolerance):
    for first, second in zip(outputs(model), outputs(other), strict=True):
        scale = max(1.0, np.abs(first).max())
        np.testing.assert_allclose(second / scale, first / scale, rtol=0, atol=tolerance)


VARIANTS = {
    "lite": (lambda: network(), ()),
    "attention": (
        lambda: network(use_self_attention=True),
        ("stage2.paf.conv6", "stage2.paf.attention_conv"),
    ),
    "separate": (lambda: randomised(build_network(BpNetModel(**SMALL))), ()),
    "residual": (residual_network, ("first", "pointwise", "twice")),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_pruned_network_equals_the_network_with_masked_channels(variant):
    build, together = VARIANTS[variant]
    model = build()
    excluded = [x.name for x in model.layers if "stage2.cmap" in x.name and "relu" not in x.name]

    result = prune(model, threshold=0.5, excluded=excluded, **LOOSE)

    assert result.parameters_after < 0.8 * result.parameters_before
    assert result.parameters_after == result.model.count_params()
    assert_same(masked(model, result, [together]), result.model, 1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_threshold_0_changes_nothing(variant):
    model = VARIANTS[variant][0]()

    result = prune(model, threshold=0.0, **LOOSE)

    assert result.parameters_after == result.parameters_before
    assert_same(model, result.model, 1e-6)


def test_dead_filters_go_unnoticed():
    model = network()
    conv, bn = model.get_layer("block_2a_conv_1"), model.get_layer("block_2a_bn_1")
    dead = [1, 5, 6]
    kernel = conv.kernel.numpy()
    kernel[..., dead] = 0.0
    conv.kernel.assign(kernel)
    for variable in (bn.beta, bn.moving_mean):
        variable.assign(np.where(np.isin(range(16), dead), 0.0, variable.numpy()))

    result = prune(model, threshold=0.0, **LOOSE)

    table = {row.layer: (row.kept, row.all) for row in result.table}
    assert table["block_2a_conv_1"] == (13, 16)
    assert sum(all_ - kept for kept, all_ in table.values()) == 3
    assert_same(model, result.model, 1e-5)


def chain(norms):
    """A convolution with filters of these norms, then an output."""
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(len(norms), 1, name="conv")(image)
    model = keras.Model(image, layers.Conv2D(2, 1, name="out")(x))
    model.get_layer("conv").kernel.assign(np.reshape(norms, (1, 1, 1, -1)))
    return model


def kept_norms(norms, **settings):
    result = prune(chain(norms), **{**LOOSE, **settings})
    return result.model.get_layer("conv").kernel.numpy().ravel().tolist()


def test_filters_at_the_threshold_go():
    assert kept_norms([2.0, 4.0, -1.0, 3.0], threshold=0.5) == [4.0, 3.0]


def test_l2_normalizer_multiplies_by_the_number_of_filters():
    # norms / L2 norm (5) * 2 filters: 1.2 and 1.6
    assert kept_norms([3.0, 4.0], normalizer="L2", threshold=1.3) == [4.0]


def test_the_largest_filters_fill_up_the_minimum_and_the_granularity():
    norms = [1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 0.5]

    assert kept_norms(norms, threshold=0.9, min_filters=3) == [8.0, 7.0, 6.0]
    assert kept_norms(norms, threshold=0.6, granularity=4) == [8.0, 7.0, 6.0, 5.0]
    assert kept_norms(norms, threshold=0.6, granularity=8) == [
        1.0,
        8.0,
        2.0,
        7.0,
        3.0,
        6.0,
        4.0,
        5.0,
    ]
    assert kept_norms(norms, threshold=0.6, granularity=16) == norms


@pytest.mark.parametrize(
    ("equalization", "kept"),
    [("union", 3), ("intersection", 1), ("arithmetic_mean", 3), ("geometric_mean", 2)],
)
def test_equalization_joins_the_norms_of_element_wise_inputs(equalization, kept):
    image = keras.Input((None, None, 1))
    terms = [layers.Conv2D(4, 1, name=name)(image) for name in ("first", "second")]
    x = layers.Conv2D(2, 1, name="out")(layers.Multiply()(terms))
    model = keras.Model(image, x)
    model.get_layer("first").kernel.assign(np.reshape([1.0, 1.0, 0.1, 0.3], (1, 1, 1, 4)))
    model.get_layer("second").kernel.assign(np.reshape([1.0, 0.4, 1.0, 0.3], (1, 1, 1, 4)))

    result = prune(model, threshold=0.5, equalization=equalization, **LOOSE)

    # of channels 1 and 2: mean 0.7 and 0.55, geometric mean 0.63 and 0.32
    assert [row.kept for row in result.table] == [kept, kept, 2]


def test_layers_keep_names_settings_and_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network(regularization_type="l2")
    finally:
        keras.config.set_dtype_policy("float32")
    model.get_layer("block_1a_conv_1").trainable = False

    pruned = prune(model, threshold=0.5, **LOOSE).model

    assert [x.name for x in pruned.layers] == [x.name for x in model.layers]
    assert not pruned.get_layer("block_1a_conv_1").trainable
    assert pruned.get_layer("stage2.conv1").kernel_regularizer.l2 == 5e-4
    assert pruned.get_layer("stage2.conv1").compute_dtype == "bfloat16"
    assert pruned.get_layer("paf_out").compute_dtype == "float32"


def test_a_pruned_network_can_be_pruned_again():
    once = prune(network(), threshold=0.3, **LOOSE)
    twice = prune(once.model, threshold=0.6, **LOOSE)

    assert twice.parameters_after < once.parameters_after
    assert_same(masked(once.model, twice), twice.model, 1e-5)


def test_a_wrapped_network_is_pruned_inside():
    inner = network()
    image = keras.Input((None, None, 3), name="image")

    result = prune(keras.Model(image, inner(image)), threshold=0.5, **LOOSE)

    assert result.model.get_layer("paf_out").filters == 38
    assert result.parameters_after < result.parameters_before


def test_target_params_finds_the_largest_network_within_the_share():
    model = network()

    result = prune(model, target_params=0.5, **LOOSE)
    looser = prune(model, threshold=result.threshold - 0.002, **LOOSE)
    again = prune(model, threshold=float(f"{result.threshold:.6g}"), **LOOSE)

    assert result.parameters_after <= 0.5 * result.parameters_before < looser.parameters_after
    assert again.parameters_after == result.parameters_after


def flattened_network():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3)(image)
    return keras.Model(image, layers.Dense(2)(layers.Flatten(name="flat")(x)))


def grouped_network():
    image = keras.Input((None, None, 4))
    return keras.Model(image, layers.Conv2D(8, 3, groups=2, name="grouped")(image))


def operator_network():
    image = keras.Input((None, None, 4))
    return keras.Model(image, layers.Conv2D(8, 3)(image) * 2.0)


@pytest.mark.parametrize(
    ("model", "settings", "sentence"),
    [
        (chain([1.0, 2.0]), {"threshold": 1.0}, "threshold 1 is not below any filter's norm"),
        (chain([1.0, 2.0]), {"threshold": float("nan")}, "not below any filter's norm"),
        (chain([1.0, 2.0]), {"excluded": ["conv"]}, "every layer is excluded"),
        (
            chain([1.0, 2.0]),
            {"excluded": ["conb"]},
            "no layer 'conb' to exclude; did you mean conv",
        ),
        (chain([1.0, 2.0]), {"normalizer": "L1"}, "normalizer 'L1' is not known"),
        (chain([1.0, 2.0]), {"equalization": "sum"}, "equalization criterion 'sum' is not known"),
        (chain([1.0, 2.0]), {"target_params": 0.1}, "at least 0.600 of the parameters"),
        (chain([1.0, 2.0]), {"target_params": 50}, "share of the network"),
        (chain([1.0, 2.0]), {"target_flops": 0.4}, "at least 0.500 of the operations"),
        (chain([1.0, 2.0]), {"target_flops": 0.0}, "target_flops is a share of the network"),
        (flattened_network(), {}, "flat is a Flatten"),
        (grouped_network(), {}, "grouped mixes channels in groups"),
        (operator_network(), {}, "multiply .* is not one of Keras's own layers"),
    ],
)
def test_what_cannot_be_pruned_is_one_sentence(model, settings, sentence):
    with pytest.raises(ModelError, match=sentence) as error:
        prune(model, **{"threshold": 0.5, **LOOSE, **settings})

    assert "\n" not in str(error.value)
