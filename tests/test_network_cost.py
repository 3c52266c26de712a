"""What a network costs and sees, against networks worked out by hand."""

import keras
import pytest
import tensorflow as tf

from bpnet.model.description import describe_network, structure_digest
from bpnet.model.network import build_network
from bpnet.spec.network import BackboneAttributes, BpNetLiteModel, BpNetPafFirstModel

layers = keras.layers


def test_a_small_network_worked_out_by_hand():
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(image)  # 16 x 24 cells
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(x)
    x = layers.Conv2D(4, 1)(x)
    x = layers.MaxPooling2D(2)(x)  # 8 x 12
    x = layers.Conv2DTranspose(2, 4, strides=2, padding="same")(x)  # 16 x 24
    network = keras.Model(image, x)

    cost = describe_network(network, 32, 48)

    # Kernel cells times channels in times channels out, for every cell.
    products = 16 * 24 * (9 * 3 * 8 + 9 * 8 + 8 * 4) + 8 * 12 * (16 * 4 * 2)
    assert cost.gflops == pytest.approx(2 * products / 1e9)
    assert cost.parameters == (9 * 3 * 8 + 8) + (9 * 8 + 8) + (8 * 4 + 4) + (16 * 2 * 4 + 2)
    # 3, then 2 * 2 cells of 2 pixels, a cell of 2, three of 2 after the stride is 2 again.
    assert cost.receptive_field == 3 + 8 + 2 + 6
    assert cost.stride == 2
    assert not cost.sees_whole_image


@pytest.mark.parametrize("keepdims", [True, False])
def test_squeeze_and_excitation_sees_the_whole_image(keepdims):
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    factor = layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
    factor = layers.Dense(4)(factor)
    if not keepdims:
        factor = layers.Reshape((1, 1, 4))(factor)
    x = layers.Multiply()([x, factor])
    network = keras.Model(image, layers.UpSampling2D(2)(x))

    cost = describe_network(network, 16, 24)

    assert cost.sees_whole_image
    assert (cost.receptive_field, cost.stride) == (3, 1)
    assert cost.gflops == pytest.approx(2 * (8 * 12 * 9 * 3 * 4 + 4 * 4) / 1e9)


@pytest.mark.parametrize(
    ("section", "parameters", "gflops", "field"),
    [
        (BpNetPafFirstModel(), 18_725_189, 62.77, 1055),
        (BpNetLiteModel(refinement_block="dense"), 15_082_603, 55.31, 623),
        (
            BpNetLiteModel(
                stages=2, backbone_attributes=BackboneAttributes(architecture="mobilenet_v3_large")
            ),
            5_949_482,
            11.50,
            579,
        ),
    ],
)
def test_cost_of_the_networks_that_are_not_taos(section, parameters, gflops, field):
    cost = describe_network(build_network(section), 256, 256)

    assert (cost.parameters, cost.receptive_field, cost.stride) == (parameters, field, 8)
    assert cost.gflops == pytest.approx(gflops, abs=0.01)
    assert cost.sees_whole_image == (section.backbone_attributes.architecture != "vgg")


def test_operations_are_those_that_tensorflow_counts():
    section = BpNetPafFirstModel(
        paf_stages=1,
        width_multiplier=0.25,
        stage_kernel_sizes=[5],
        backbone_attributes=BackboneAttributes(architecture="efficientnet_v2_b0"),
    )
    network = build_network(section)
    graph = tf.function(lambda x: network(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, 64, 96, 3))
    )

    counted = 0
    for operation in graph.graph.get_operations():
        if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            rows, columns, inputs, _ = operation.inputs[1].shape
            # Dilated, an image becomes several parts, each of which is convolved.
            parts, height, width, channels = operation.outputs[0].shape
            products = parts * height * width * rows * columns * channels
            counted += 2 * products * (inputs if operation.type == "Conv2D" else 1)

    assert describe_network(network, 64, 96).gflops == pytest.approx(counted / 1e9, rel=1e-9)


def joined(*, strides: int = 1, filters: int = 4, swapped: bool = False) -> keras.Model:
    image = keras.Input((None, None, 3))
    first = layers.Conv2D(filters, 3, strides=strides, padding="same")(image)
    second = layers.Conv2D(4, 3, padding="same", activation="relu")(first)
    last = [second, first] if swapped else [first, second]
    return keras.Model(image, layers.Concatenate()(last) if strides == 1 else second)


def test_the_digest_of_a_structure_knows_layers_and_joints_but_neither_names_nor_weights():
    first, again = joined(), joined()
    assert [layer.name for layer in first.layers] != [layer.name for layer in again.layers]
    assert structure_digest(first) == structure_digest(again)
    others = [joined(strides=2), joined(filters=5), joined(swapped=True)]
    assert len({structure_digest(model) for model in (first, *others)}) == 4
    spec = BpNetLiteModel(stages=2, width_multiplier=0.25)
    seeds = {structure_digest(build_network(spec, seed=seed)) for seed in (1, 2)}
    assert len(seeds) == 1
