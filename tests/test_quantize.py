"""INT8 graphs: both forms from one table, run and compared with float32."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from exported_network import CONTRACT, HEIGHT, WIDTH, photos, small_network

from bpnet.errors import ModelError
from bpnet.export.activations import output_convolutions
from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.choices import FORMS
from bpnet.export.float_convolutions import float_convolutions
from bpnet.export.graph import constants, open_session, producers
from bpnet.export.onnx import to_onnx
from bpnet.export.quantize import quantise, ranged_tensors
from bpnet.inference.preprocess import to_tensor
from bpnet.model.network import build_network
from bpnet.spec.network import BackboneAttributes, BpNetLiteModel


@pytest.fixture(scope="module")
def float_graph() -> onnx.ModelProto:
    return to_onnx(small_network(), CONTRACT, height=HEIGHT, width=WIDTH)[0]


@pytest.fixture(scope="module")
def ranges(float_graph) -> dict[str, float]:
    images = [to_tensor(image[None], CONTRACT)[0] for image in photos(4)]
    return make_ranges(collect_histograms(float_graph, images, ranged_tensors(float_graph)), "max")


def run(model: onnx.ModelProto, image) -> list[np.ndarray]:
    return open_session(model).run(None, {model.graph.input[0].name: image[None]})


@pytest.mark.parametrize("form", FORMS)
def test_int8_maps_are_near_float_maps(float_graph, ranges, form):
    quantised = quantise(float_graph, ranges, form=form)
    onnx.checker.check_model(quantised, full_check=True)
    image = to_tensor(np.stack(photos(1, seed=9)), CONTRACT)[0]
    for expected, found in zip(run(float_graph, image), run(quantised, image), strict=True):
        assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).max()
        assert np.abs(found - expected).max() > 0  # it is not the float graph


def test_both_forms_have_the_scales_of_the_table(float_graph, ranges):
    tensorrt, cpu = (
        constants(quantise(float_graph, ranges, form=form)) for form in ("tensorrt", "onnxruntime")
    )
    scales = [name for name in tensorrt if name.endswith(".scale")]
    assert len(scales) > 40
    for name in scales:
        assert np.array_equal(tensorrt[name], cpu[name]), name
        if (tensor := name.removesuffix(".scale")) in ranges:
            assert tensorrt[name] == np.float32(ranges[tensor] / 127)


def test_weights_have_a_scale_for_each_output_channel(float_graph, ranges):
    weights = constants(float_graph)
    quantised = constants(quantise(float_graph, ranges, form="onnxruntime"))
    name = "block_2a_conv_1/Conv.weight"
    largest = np.abs(weights[name]).max(axis=(1, 2, 3))
    np.testing.assert_allclose(quantised[f"{name}.scale"], largest / 127, rtol=1e-6)
    steps = quantised[f"{name}.scale"][:, None, None, None]
    assert quantised[f"{name}.quantized"].dtype == np.int8
    assert np.abs(quantised[f"{name}.quantized"] * steps - weights[name]).max() <= steps.max() / 2


def test_tensorrts_form_quantises_inputs_only_and_keeps_biases_float(float_graph, ranges):
    model = quantise(float_graph, ranges, form="tensorrt")
    writers, weights = producers(model), constants(model)
    kept = output_convolutions(model)
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name not in kept:
            assert [writers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
            assert weights[node.input[2]].dtype == np.float32
    zero_points = {
        weights[node.input[2]].dtype
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    assert zero_points == {np.dtype(np.int8)}


def test_on_the_cpu_only_the_last_heads_convolve_in_float(float_graph, ranges, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    model = quantise(float_graph, ranges, form="onnxruntime")
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    convolutions = sum(node.op_type == "Conv" for node in float_graph.graph.node)
    assert kinds["QLinearConv"] == convolutions - 2
    assert kinds["Conv"] + kinds["FusedConv"] == 2


@pytest.mark.parametrize("form", FORMS)
def test_of_the_default_network_only_the_heads_stay_float(form):
    graph, _ = to_onnx(build_network(BpNetLiteModel()), CONTRACT, height=64, width=64)
    quantised = quantise(graph, dict.fromkeys(ranged_tensors(graph), 1.0), form=form)
    listed = {one.name: one for one in float_convolutions(quantised)}
    assert listed.keys() == {"paf_out/Conv", "heatmap_out/Conv"}
    for one in listed.values():
        assert one.share < 0.0003
        assert one.reason == "writes the maps, so that an error here goes straight into them"


def test_chosen_convolutions_stay_float(float_graph, ranges):
    chosen = {"stage1.conv1/Conv", *output_convolutions(float_graph)}
    assert chosen == {"stage1.conv1/Conv", "paf_out/Conv", "heatmap_out/Conv"}
    model = quantise(float_graph, ranges, form="tensorrt", float_nodes=chosen)
    weights = constants(model)
    kept = {node.name for node in model.graph.node if node.op_type == "Conv"} & {
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in weights
    }
    assert kept == chosen


@pytest.mark.parametrize(
    "settings",
    [
        {"use_self_attention": True},
        {"backbone_attributes": BackboneAttributes(architecture="mobilenet_v3_large")},
    ],
)
def test_attention_and_depthwise_convolutions_are_quantised_too(settings):
    network = small_network(**settings)
    graph, _ = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw")
    image = to_tensor(np.stack(photos(1)), CONTRACT)[0].transpose(2, 0, 1).copy()
    table = make_ranges(collect_histograms(graph, [image], ranged_tensors(graph)), "max")
    for form in FORMS:
        quantised = quantise(graph, table, form=form)
        assert {one.name for one in float_convolutions(quantised)} == {
            "paf_out/Conv",
            "heatmap_out/Conv",
        }
        for expected, found in zip(run(graph, image), run(quantised, image), strict=True):
            assert np.abs(found - expected).mean() < 0.05 * np.abs(expected).max()


def test_a_graph_of_a_fixed_batch_can_be_calibrated():
    graph, _ = to_onnx(small_network(), CONTRACT, height=HEIGHT, width=WIDTH, batch=2)
    image = to_tensor(np.stack(photos(1)), CONTRACT)[0]
    table = make_ranges(collect_histograms(graph, [image], ranged_tensors(graph)), "max")
    session = open_session(quantise(graph, table, form="onnxruntime"))
    pafs, _ = session.run(None, {"input_1:0": np.stack([image, image])})
    assert np.array_equal(pafs[0], pafs[1])


def test_a_table_of_another_model_is_refused(float_graph, ranges):
    short = {name: value for name, value in ranges.items() if "block_3a" not in name}
    with pytest.raises(ModelError, match=r"the table of ranges has no .*block_3a"):
        quantise(float_graph, short, form="tensorrt")
