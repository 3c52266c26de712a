import keras
import numpy as np
import pytest

from bpnet.errors import SpecError
from bpnet.model.description import describe_network
from bpnet.model.graph import with_precision
from bpnet.model.network import build_network
from bpnet.spec.network import BackboneAttributes, BpNetLiteModel, BpNetModel

SMALL = {"stages": 2, "width_multiplier": 0.125}


@pytest.fixture(scope="module")
def default_network():
    return build_network(BpNetLiteModel())


def parameters(**settings):
    return build_network(BpNetLiteModel(**settings)).count_params()


def test_default_network_has_taos_parameter_counts(default_network):
    description = describe_network(default_network, 256, 256)

    assert description.parameters == 16_777_835
    assert description.trainable_parameters == 16_772_459


def test_cost_of_the_default_network(default_network):
    description = describe_network(default_network, 256, 256)

    assert description.gflops == pytest.approx(58.8, abs=0.1)
    assert description.stride == 8
    # 95 of the features, 48 of stage 1's three 3x3, 240 of each later stage's five 7x7.
    assert description.receptive_field == 95 + 48 + 2 * 240


def test_an_early_stride_saves_operations_and_no_parameters(default_network):
    early = build_network(BpNetLiteModel(backbone_attributes=BackboneAttributes(stem_stride=2)))
    description = describe_network(early, 256, 256)

    assert description.parameters == 16_777_835
    assert [weight.shape for weight in early.weights] == [x.shape for x in default_network.weights]
    assert description.stride == 8
    # Features take 16.97 instead of 38.88: blocks 1 to 3 have a quarter of the positions.
    assert description.gflops == pytest.approx(58.79 - 38.88 + 16.97, abs=0.02)
    # Of the features: 44 pixels more.
    assert description.receptive_field == 139 + 48 + 2 * 240


@pytest.mark.parametrize(
    ("section", "count"),
    [
        (BpNetLiteModel(stages=2), 12_365_234),
        (BpNetLiteModel(stages=6), 30_015_638),
        (BpNetModel(stages=2), 17_180_210),
        (BpNetModel(stages=3), 25_965_035),
        (BpNetModel(stages=6), 52_319_510),
    ],
)
def test_parameter_counts_are_taos(section, count):
    assert build_network(section).count_params() == count


def test_attention_adds_two_3x3_convolutions_a_later_stage():
    plain, attentive = (parameters(stages=2, use_self_attention=x) for x in (False, True))

    assert attentive - plain == 295_168


def test_layers_carry_taos_names(default_network):
    convolutions = [x.name for x in default_network.layers if isinstance(x, keras.layers.Conv2D)]

    assert len(convolutions) == 37
    assert {
        "block_1a_conv_1",
        "block_3d_conv_1",
        "block_6a_conv_1",
        "channel_reduction_conv",
        "stage1.conv3",
        "stage1.paf.conv4",
        "stage1.heat_branch.out",
        "stage2.conv5",
        "stage2.cmap.conv6",
        "stage2.paf_branch.out",
        "paf_out",
        "heatmap_out",
    } <= set(convolutions)
    assert default_network.get_layer("block_2b_bn_1").epsilon == 1e-3
    assert default_network.input.name == "input_1"


def test_separate_branches_carry_taos_names():
    network = build_network(BpNetModel(**SMALL, use_self_attention=True))

    for name in ("stage1.heat_branch.conv4", "stage2.paf_branch.attention_conv", "heatmap_out"):
        assert network.get_layer(name)


def test_outputs_are_heatmaps_then_pafs_of_every_stage():
    network = build_network(BpNetLiteModel(stages=3, width_multiplier=0.125, heat_channels=5))

    shapes = [tuple(x.shape) for x in network(np.zeros((1, 32, 48, 3), "float32"))]

    assert shapes == [(1, 4, 6, 5)] * 3 + [(1, 4, 6, 38)] * 3


def test_width_multiplier_keeps_multiples_of_eight_and_the_outputs():
    network = build_network(BpNetLiteModel(stages=2, width_multiplier=0.3))

    assert network.get_layer("block_1a_conv_1").filters == 16  # 19.2
    assert network.get_layer("stage1.paf.conv4").filters == 152  # 153.6
    assert network.get_layer("paf_out").filters == 38


def test_regularisers_stand_on_kernels_of_backbone_and_stages():
    network = build_network(
        BpNetLiteModel(**SMALL, regularization_type="l2", bias_regularization_factor=0.25)
    )

    assert network.get_layer("block_1a_conv_1").kernel_regularizer.l2 == 5e-4
    assert network.get_layer("stage2.conv1").kernel_regularizer.l2 == 5e-4
    assert network.get_layer("stage2.conv1").bias_regularizer.l2 == 0.25


def test_weights_depend_on_the_seed_and_the_layers_name_alone():
    section = BpNetLiteModel(**SMALL)
    first, again, other = (build_network(section, seed=seed) for seed in (1, 1, 2))
    deeper = build_network(BpNetLiteModel(stages=3, width_multiplier=0.125), seed=1)

    def kernel(network, name="stage2.conv1"):
        return network.get_layer(name).kernel.numpy()

    assert np.array_equal(kernel(first), kernel(again))
    assert np.array_equal(kernel(first), kernel(deeper))
    assert not np.array_equal(kernel(first), kernel(other))
    assert not np.array_equal(kernel(first, "stage2.conv2"), kernel(first, "stage2.conv3"))
    assert kernel(first).std() == pytest.approx(0.01, rel=0.05)


def test_an_unknown_initializer_is_refused():
    with pytest.raises(SpecError, match="kernel_initializer 'orthogonal'"):
        build_network(BpNetLiteModel(**SMALL, kernel_initializer="orthogonal"))


def test_mixed_precision_computes_in_half_and_answers_in_float32():
    images = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 32, 32, 3)).astype("float32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_network(BpNetLiteModel(**SMALL, use_self_attention=True))
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("stage2.conv1").compute_dtype == "bfloat16"

    full = with_precision(network, "float32")

    assert full.get_layer("stage2.conv1").compute_dtype == "float32"
    for mixed, exact in zip(network(images), full(images), strict=True):
        assert mixed.dtype == "float32"
        np.testing.assert_allclose(mixed, exact, atol=2e-2)


def test_receptive_field_is_what_gradients_reach():
    import tensorflow as tf

    network = build_network(
        BpNetLiteModel(
            **SMALL, stage1_kernel_sizes=[3], stageT_kernel_sizes=[3], kernel_initializer="xavier"
        )
    )
    field = describe_network(network, 256, 256).receptive_field
    images = tf.Variable(np.random.default_rng(1).normal(size=(1, 256, 256, 3)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        answer = tf.reduce_sum(network(images)[-1][0, 16, 16])

    reached = np.nonzero(np.abs(tape.gradient(answer, images).numpy()).sum(axis=(0, 2, 3)))[0]

    assert reached.max() - reached.min() + 1 == field
