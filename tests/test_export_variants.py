"""Every kind of network, in every precision and form that export writes, is sound and runs."""

from itertools import product

import numpy as np
import onnx
import pytest
from exported_network import CONTRACT, HEIGHT, SKELETON, WIDTH, get_contract, photos, small_network

from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.graph import open_session, version_of, write_onnx
from bpnet.export.onnx import to_onnx
from bpnet.export.precision import to_float16
from bpnet.export.quantize import quantise, ranged_tensors
from bpnet.inference.keras_backend import KerasBackend
from bpnet.inference.preprocess import to_tensor
from bpnet.inference.tensors import make_maps
from bpnet.model.network import build_network
from bpnet.spec.network import (
    BackboneAttributes,
    BpNetLiteModel,
    BpNetModel,
    BpNetPafFirstModel,
)

COMMON = {
    "heat_channels": SKELETON.heatmap_channels,
    "paf_channels": SKELETON.paf_channels,
    "width_multiplier": 0.125,
    "kernel_initializer": "he_normal",
}
BACKBONES = {
    name: BackboneAttributes(architecture=name)
    for name in ("mobilenet_v3_large", "efficientnet_v2_b0")
}
SHORT = {"stages": 2, "stage1_kernel_sizes": [3], "stageT_kernel_sizes": [5]}
NETWORKS = {
    "lite": BpNetLiteModel(**SHORT, **COMMON),
    "lite_dense": BpNetLiteModel(refinement_block="dense", **SHORT, **COMMON),
    "wide": BpNetModel(stages=2, **COMMON),
    "attention": BpNetLiteModel(use_self_attention=True, **SHORT, **COMMON),
    "early_stride": BpNetLiteModel(
        backbone_attributes=BackboneAttributes(stem_stride=2), **SHORT, **COMMON
    ),
    "biased_vgg": BpNetLiteModel(
        backbone_attributes=BackboneAttributes(use_bias=True), **SHORT, **COMMON
    ),
    "paf_first": BpNetPafFirstModel(
        paf_stages=2, heatmap_stages=2, stage_kernel_sizes=[5], **COMMON
    ),
    **{
        name: BpNetLiteModel(backbone_attributes=backbone, **SHORT, **COMMON)
        for name, backbone in BACKBONES.items()
    },
}


@pytest.mark.parametrize("section", NETWORKS.values(), ids=NETWORKS)
def test_nchw_holds_no_transpose_whatever_the_network(section, tmp_path):
    network = build_network(section)
    graph, contract = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw")
    kinds = {node.op_type for node in graph.graph.node}
    assert not kinds & {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "BatchNormalization"}
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    write_onnx(graph, tmp_path / "x.onnx")
    images = np.stack(photos(2))
    expected = KerasBackend(network, CONTRACT).predict(images)
    found = run(graph, contract, images)
    for ours, theirs in zip(expected, found, strict=True):
        for one, other in ((ours.heatmaps, theirs.heatmaps), (ours.pafs, theirs.pafs)):
            np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())


def run(graph, contract, images):
    values = open_session(graph).run(None, {contract.input_name: to_tensor(images, contract)})
    pafs, heatmaps = values
    return make_maps(heatmaps, pafs, contract, "the graph", size=images.shape[1:3])


FORMS = {  # precision: how it is made of the float graph and its table of ranges
    "fp32": lambda graph, ranges: graph,
    "fp16": lambda graph, ranges: to_float16(graph),
    "int8": lambda graph, ranges: quantise(graph, ranges, form="onnxruntime"),
    "int8_tensorrt": lambda graph, ranges: quantise(graph, ranges, form="tensorrt"),
    "int8+fp16": lambda graph, ranges: to_float16(quantise(graph, ranges, form="tensorrt")),
}
ERRORS = {"fp32": 1e-5, "fp16": 1e-2}  # largest, of the largest value; int8: mean
INT8_ERROR = 0.03


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def expected(network):
    (maps,) = KerasBackend(network, CONTRACT).predict(np.stack(photos(1)))
    return maps


@pytest.mark.parametrize(
    ("layout", "upsampling", "batch"),
    [*product(("nhwc", "nchw"), (1, 4), (None, 2))],
    ids=lambda value: str(value),
)
def test_every_form_of_a_network_is_sound_and_runs(
    network, expected, layout, upsampling, batch, tmp_path
):
    size = {"height": HEIGHT, "width": WIDTH, "batch": batch, "opset": 13}
    graph, contract = to_onnx(network, CONTRACT, layout=layout, paf_upsampling=upsampling, **size)
    images = np.stack(photos(2))
    tensors = to_tensor(images, contract)
    ranges = make_ranges(collect_histograms(graph, tensors, ranged_tensors(graph)), "max")
    for precision, make in FORMS.items():
        made = make(graph, ranges)
        write_onnx(made, tmp_path / f"{precision}.onnx")
        assert get_contract(made) == contract
        ends = (*made.graph.input, *made.graph.output)
        assert {one.type.tensor_type.elem_type for one in ends} == {onnx.TensorProto.FLOAT}
        found = run(made, contract, images)[0]
        for one, other in (
            (expected.heatmaps, found.heatmaps),
            (expected.pafs, found.pafs),
        ):
            errors = np.abs(other - one) / np.abs(one).max()
            error = errors.max() if precision in ERRORS else errors.mean()
            assert 0 < error < ERRORS.get(precision, INT8_ERROR), precision


def test_int8_with_float16_has_float16_scales_and_no_float32_inside(network):
    graph, contract = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, opset=13)
    tensors = to_tensor(np.stack(photos(1)), contract)
    ranges = make_ranges(collect_histograms(graph, tensors, ranged_tensors(graph)), "max")
    quantised = quantise(graph, ranges, form="tensorrt")
    made = to_float16(quantised)
    assert (version_of(quantised), version_of(made)) == (13, 19)
    kinds = {one.data_type for one in made.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8}
    casts = [node.name for node in made.graph.node if node.op_type == "Cast"]
    outputs = ["paf_out/BiasAdd:0", "heatmap_out/BiasAdd:0"]
    assert casts == [f"{name}/Cast" for name in ("input_1:0", *outputs)]
    names = {node.name for node in quantised.graph.node}
    assert names < {node.name for node in made.graph.node}
    with pytest.raises(ValueError, match="whose biases are float"):
        to_float16(quantise(graph, ranges, form="onnxruntime"))


def test_an_output_that_is_also_read_inside_stays_float16_inside():
    section = NETWORKS["paf_first"]
    graph, contract = to_onnx(
        build_network(section), CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw"
    )
    images = np.stack(photos(1))
    (one,), (other,) = (run(each, contract, images) for each in (graph, to_float16(graph)))
    assert np.abs(one.pafs - other.pafs).max() < 1e-2 * np.abs(one.pafs).max()
