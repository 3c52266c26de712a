"""Every choice of network builds, learns, is saved, pruned and exported."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from bpnet.encode import draw_maps
from bpnet.errors import SpecError
from bpnet.export.graph import write_onnx
from bpnet.export.onnx import to_onnx
from bpnet.inference.backend import open_backend
from bpnet.inference.keras_backend import KerasBackend
from bpnet.model.files import load_model, save_model
from bpnet.model.loss import pose_loss
from bpnet.model.network import build_network
from bpnet.model.outputs import stages_of
from bpnet.model.prune import prune
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category
from bpnet.spec.network import (
    BackboneAttributes,
    BpNetLiteModel,
    BpNetModel,
    BpNetPafFirstModel,
)

SKELETON = Skeleton.from_category(
    Category(keypoints=["head", "tail", "left_fin"], skeleton=[[1, 2]]), "fish"
)
CONTRACT = ModelContract(skeleton=SKELETON)
COMMON = {
    "heat_channels": 4,
    "paf_channels": 2,
    "width_multiplier": 0.125,
    "kernel_initializer": "he_normal",
}
EARLY = BackboneAttributes(stem_stride=2)
MOBILENET, EFFICIENTNET = (
    BackboneAttributes(architecture=name) for name in ("mobilenet_v3_large", "efficientnet_v2_b0")
)
LITE = BpNetLiteModel(
    stages=2, stage1_kernel_sizes=[3], stageT_kernel_sizes=[5], refinement_block="dense", **COMMON
)
VARIANTS = {
    "lite_dense": dataclasses.replace(LITE, use_self_attention=True),
    "separate_dense": BpNetModel(stages=2, refinement_block="dense", **COMMON),
    "paf_first": BpNetPafFirstModel(paf_stages=2, stage_kernel_sizes=[7, 5], **COMMON),
    "paf_first_convolutions": BpNetPafFirstModel(
        paf_stages=1,
        heatmap_stages=2,
        refinement_block="convolution",
        stage_kernel_sizes=[3, 5],
        use_self_attention=True,
        **COMMON,
    ),
    "lite_early_stride": dataclasses.replace(LITE, backbone_attributes=EARLY),
    "lite_mobilenet": dataclasses.replace(LITE, backbone_attributes=MOBILENET),
    "paf_first_efficientnet": BpNetPafFirstModel(
        paf_stages=1, stage_kernel_sizes=[3], backbone_attributes=EFFICIENTNET, **COMMON
    ),
}
KEYPOINTS = np.array([[[[20, 24, 1], [44, 24, 1], [30, 40, 0]]]], "float32")  # (N, P, K, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)


def learn(network, *, steps):
    """The loss before each step on one image."""
    heatmaps, pafs = draw_maps(
        KEYPOINTS, limbs=SKELETON.limbs, map_height=8, map_width=8, stride=8, sigma=7.0,
        limb_width=8.0,
    )  # fmt: skip
    optimizer = keras.optimizers.Adam(0.001)
    stages = stages_of(network)
    losses = []

    def step():
        with tf.GradientTape() as tape:
            outputs = network(PIXELS / np.float32(256) - 0.5, training=True)
            loss, _ = pose_loss(outputs, heatmaps, pafs, tf.ones((1, 8, 8, 1)), stages=stages)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss, [tf.reduce_max(tf.abs(one)) for one in gradients]

    for _ in range(steps):
        loss, sizes = step()
        losses.append(float(loss))
    unmoved = [
        variable.path
        for variable, size in zip(network.trainable_variables, sizes, strict=True)
        if not float(size) > 0
    ]
    return losses, unmoved


@pytest.mark.parametrize("section", VARIANTS.values(), ids=VARIANTS)
def test_a_variant_learns_is_saved_and_pruned(section, tmp_path):
    network = build_network(section)

    losses, unmoved = learn(network, steps=6)

    assert losses[-1] < losses[0] / 2  # 0.16 to 0.35 of it were measured
    assert not unmoved  # every weight takes part
    loaded, _ = load_model(save_model(network, tmp_path / "model.keras", CONTRACT))
    before, after = (KerasBackend(x, CONTRACT).predict(PIXELS)[0] for x in (network, loaded))
    np.testing.assert_array_equal(before.heatmaps, after.heatmaps)
    pruned = prune(loaded, threshold=0.9, min_filters=4, granularity=4)
    assert pruned.parameters_after < pruned.parameters_before


def test_the_newest_variant_is_exported_after_pruning(tmp_path):
    """All that is not TAO's at once: PAFs first, dense blocks, a small backbone."""
    network = build_network(VARIANTS["paf_first_efficientnet"])
    pruned = prune(network, threshold=0.9, min_filters=4, granularity=4).model

    exported, _ = to_onnx(pruned, CONTRACT, height=64, width=64, layout="nchw")

    write_onnx(exported, tmp_path / "pruned.onnx")
    assert "Transpose" not in {node.op_type for node in exported.graph.node}
    kept = KerasBackend(pruned, CONTRACT).predict(PIXELS)[0]
    ran = open_backend(tmp_path / "pruned.onnx").predict(PIXELS)[0]
    for ours, theirs in ((kept.heatmaps, ran.heatmaps), (kept.pafs, ran.pafs)):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * (1 + np.abs(ours).max()))


def test_pafs_are_drawn_first_and_heatmaps_from_them():
    network = build_network(BpNetPafFirstModel(paf_stages=2, heatmap_stages=2, **COMMON))

    def seen(name):
        node = network.get_layer(name)._inbound_nodes[0]
        return [x._keras_history.operation.name for x in node.input_tensors]

    features = "channel_reduction_conv.relu"
    assert seen("stage1.conv1.part1") == [features]
    assert seen("stage2.concatenate") == [features, "stage1.paf_branch.out"]
    assert seen("stage3.concatenate") == [features, "paf_out"]
    assert seen("stage4.concatenate") == [features, "paf_out", "stage3.heat_branch.out"]
    assert seen("stage4.conv1.joined") == [f"stage4.conv1.part{x}.relu" for x in (1, 2, 3)]


def test_parameters_of_a_dense_block():
    plain, dense = (
        build_network(
            BpNetLiteModel(stages=2, stageT_kernel_sizes=[5], refinement_block=block, **COMMON)
        ).count_params()
        for block in ("convolution", "dense")
    )

    # Features and both maps; 128 / 8 channels; the layer before the maps is never narrowed.
    given, wide, final = 16 + 4 + 2, 16, 128
    before = 5 * 5 * given * wide + wide + 2 * (wide * final + final)
    after = 9 * given * wide + 9 * wide * wide + 2 * wide + 2 * (2 * wide * final + final)
    assert dense - plain == after - before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"stageT_kernel_sizes": [7, 4], "refinement_block": "dense"}, "odd kernel .* one of 4"),
        (
            {"backbone_attributes": dataclasses.replace(MOBILENET, use_bias=True)},
            "use_bias is true, but only the vgg can have biases",
        ),
        (
            {"backbone_attributes": dataclasses.replace(MOBILENET, stem_stride=2)},
            "stem_stride is 2, but mobilenet_v3_large has a stem of its own",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_refused(change, sentence):
    with pytest.raises(SpecError, match=sentence):
        build_network(dataclasses.replace(LITE, **change))
