"""Every Keras layer that export can write computes in ONNX what it does in Keras."""

import keras
import numpy as np
import onnx
import pytest
from exported_network import CONTRACT, SKELETON

from bpnet.errors import ModelError
from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.choices import OPSETS
from bpnet.export.graph import constants, open_session, version_of, write_onnx
from bpnet.export.onnx import to_onnx
from bpnet.export.onnx_layers import WRITERS
from bpnet.export.precision import to_float16
from bpnet.export.quantize import quantise, ranged_tensors

layers = keras.layers
ODD = (3, 4)  # kernels and strides that are not square find swapped axes
HEIGHT, WIDTH, CHANNELS = 13, 18, 6
RANDOM = {"kernel_initializer": "glorot_uniform", "bias_initializer": "random_normal"}
KINDS = {
    "conv": [layers.Conv2D(4, ODD, strides=(2, 3), padding="same", **RANDOM)],
    "conv_valid": [layers.Conv2D(4, ODD, strides=2, activation="tanh", **RANDOM)],
    "conv_dilated": [layers.Conv2D(4, ODD, dilation_rate=(2, 1), padding="same", groups=2)],
    "depthwise": [
        layers.DepthwiseConv2D(ODD, strides=2, padding="same", depth_multiplier=2),
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", activation="relu6"),
    ],
    "transposed": [layers.Conv2DTranspose(4, ODD, strides=2, padding="same", **RANDOM)],
    "transposed_valid": [layers.Conv2DTranspose(4, (2, 5), strides=3, **RANDOM)],
    "batch_norm": [
        layers.BatchNormalization(
            gamma_initializer="random_normal",
            beta_initializer="random_normal",
            moving_mean_initializer="random_normal",
            moving_variance_initializer=keras.initializers.RandomUniform(0.5, 2.0),
        ),
        layers.BatchNormalization(scale=False, center=False),
    ],
    "relu": [layers.ReLU(max_value=0.3), layers.ReLU(negative_slope=0.2), layers.ReLU()],
    "slopes": [
        layers.LeakyReLU(0.1),
        layers.ELU(0.7),
        layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_uniform"),
        layers.PReLU(alpha_initializer="random_uniform"),
    ],
    "functions": [
        layers.Activation(name)
        for name in (
            "silu", "hard_silu", "hard_sigmoid", "sigmoid", "tanh", "softplus", "softsign", "elu",
            "selu", "leaky_relu", "exponential", "relu6", "linear",
        )
    ],
    "pools": [
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.AveragePooling2D((2, 3), strides=(1, 2), padding="same"),
        layers.MaxPooling2D(2),
        layers.AveragePooling2D(2),
    ],
    "of_training": [
        layers.Dropout(0.5), layers.SpatialDropout2D(0.5), layers.GaussianNoise(1.0),
        layers.GaussianDropout(0.5), layers.Identity(),
    ],
    "scaled": [layers.Rescaling([2.0, 3.0, 1.0, 1.0, 1.0, 1.0], offset=0.5)],
    "resized": [
        layers.UpSampling2D((2, 3)),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.ZeroPadding2D(((1, 2), (3, 0))),
    ],
}  # fmt: skip


def network_of(*middle) -> keras.Model:
    """A network whose maps are drawn from what the layers ``middle`` make of features."""
    keras.utils.set_random_seed(3)
    image = keras.Input((HEIGHT, WIDTH, 3))
    x = layers.Conv2D(CHANNELS, 1, name="features", **RANDOM)(image)
    for layer in middle:
        x = layer(x)
    return with_heads(image, x)


def with_heads(image, x) -> keras.Model:
    channels = {"heatmap_out": SKELETON.heatmap_channels, "paf_out": SKELETON.paf_channels}
    maps = [layers.Conv2D(count, 1, name=name, **RANDOM)(x) for name, count in channels.items()]
    return keras.Model(image, maps)


def assert_equal_maps(network, **settings) -> onnx.ModelProto:
    graph, _ = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw", **settings)
    onnx.checker.check_model(graph, full_check=True)
    assert not [node for node in graph.graph.node if node.op_type == "Transpose"]
    image = np.random.default_rng(0).normal(size=(2, HEIGHT, WIDTH, 3)).astype(np.float32)
    expected = network(image, training=False)[::-1]
    found = open_session(graph).run(None, {"input_1": image.transpose(0, 3, 1, 2).copy()})
    for ours, theirs, declared in zip(expected, found, graph.graph.output, strict=True):
        values = np.asarray(ours)
        np.testing.assert_allclose(
            theirs.transpose(0, 2, 3, 1), values, atol=1e-5 * np.abs(values).max()
        )
        sides = [one.dim_value for one in declared.type.tensor_type.shape.dim[1:]]
        assert sides == list(theirs.shape[1:])
    return graph


@pytest.mark.parametrize("middle", KINDS.values(), ids=KINDS)
def test_a_layer_computes_the_same(middle):
    assert_equal_maps(
        network_of(*(type(layer).from_config(layer.get_config()) for layer in middle))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_precision_takes_the_layer(kind, tmp_path):
    middle = [type(layer).from_config(layer.get_config()) for layer in KINDS[kind]]
    graph, _ = to_onnx(network_of(*middle), CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw")
    image = np.random.default_rng(0).normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32)
    ranges = make_ranges(collect_histograms(graph, image, ranged_tensors(graph)), "max")
    forms = [quantise(graph, ranges, form=form) for form in ("onnxruntime", "tensorrt")]
    expected = open_session(graph).run(None, {"input_1": image})
    for made in (to_float16(graph), *forms, to_float16(forms[1])):
        write_onnx(made, tmp_path / "x.onnx")
        for ours, theirs in zip(
            expected, open_session(made).run(None, {"input_1": image}), strict=True
        ):
            assert np.abs(ours - theirs).mean() < 0.02 * np.abs(ours).max()


def test_layers_of_several_inputs_compute_the_same():
    image = keras.Input((None, None, 3))
    one, two, three = (layers.Conv2D(CHANNELS, 3, padding="same", **RANDOM)(image) for _ in "123")
    factors = layers.GlobalAveragePooling2D(keepdims=True)(one)
    tops = layers.GlobalMaxPooling2D(keepdims=True)(two)
    parts = [
        layers.Add()([one, two, three]),
        layers.Subtract()([one, two]),
        layers.Multiply()([two, factors]),
        layers.Maximum()([one, three]),
        layers.Minimum()([two, tops]),
    ]
    assert_equal_maps(with_heads(image, layers.Concatenate()(parts)))


def test_the_tests_above_know_every_layer():
    several = {
        layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum,
        layers.Concatenate, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D,
    }  # fmt: skip
    single = {type(layer) for middle in KINDS.values() for layer in middle}
    assert single | several == set(WRITERS)


def test_a_network_inside_the_network_is_written_too():
    inner_image = keras.Input((None, None, CHANNELS))
    inner = keras.Model(inner_image, layers.Conv2D(CHANNELS, 3, padding="same")(inner_image))
    graph = assert_equal_maps(network_of(inner, layers.ReLU(), inner))
    assert [node.op_type for node in graph.graph.node] == ["Conv", "Conv", "Relu", *["Conv"] * 3]


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_is_sound_and_runs(opset, tmp_path):
    middle = [layers.UpSampling2D(), layers.ReLU(max_value=6), layers.Activation("hard_silu")]
    graph = assert_equal_maps(network_of(*middle, layers.BatchNormalization()), opset=opset)
    assert version_of(graph) == opset
    write_onnx(graph, tmp_path / "x.onnx")


def test_batch_norm_goes_into_the_convolution_before_it_only():
    norm = layers.BatchNormalization(moving_mean_initializer="ones")
    behind = layers.BatchNormalization(moving_mean_initializer="ones")
    graph = assert_equal_maps(network_of(norm, layers.ReLU(), behind))
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds == ["Conv", "Relu", "BatchNormalization", "Conv", "Conv"]
    assert {"features/Conv.weight", "features/Conv.bias"} <= set(constants(graph))


@pytest.mark.parametrize(
    ("middle", "sentence"),
    [
        (layers.Softmax(), "softmax.* is a Softmax, which export cannot write; it writes Activ"),
        (layers.Activation("gelu"), "has the activation gelu; export can write elu, "),
        (layers.ReLU(threshold=0.1), "no ReLU with a threshold"),
        (layers.UpSampling2D(interpolation="bicubic"), "upsamples nearest or bilinear only"),
        (layers.BatchNormalization(axis=1), "works on axis 1, not on the channels"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(middle, sentence):
    image = keras.Input((HEIGHT, WIDTH, 3))
    x = middle(layers.Conv2D(CHANNELS, 1)(image))
    with pytest.raises(ModelError, match=sentence):
        to_onnx(with_heads(image, x), CONTRACT, height=HEIGHT, width=WIDTH)


def test_an_operation_that_is_no_layer_is_one_sentence():
    image = keras.Input((None, None, 3))
    with pytest.raises(ModelError, match="is a Absolute, which export cannot write"):
        to_onnx(
            with_heads(image, keras.ops.abs(layers.Conv2D(CHANNELS, 1)(image))),
            CONTRACT,
            height=HEIGHT,
            width=WIDTH,
        )


def test_the_opset_is_checked():
    with pytest.raises(ValueError, match="opset is 12, not one of 13 to 21"):
        to_onnx(network_of(), CONTRACT, height=HEIGHT, width=WIDTH, opset=12)
