"""INT8 of sums, poolings, depthwise convolutions and activations, and what of it stays float."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hand_made_graph import GraphMaker, activation_graph, inputs, residual_graph

from bpnet.export.activations import shared_scales
from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.calibration_cache import read_cache, write_cache
from bpnet.export.choices import FORMS
from bpnet.export.float_convolutions import describe_float_convolutions, float_convolutions
from bpnet.export.graph import constants, open_session, producers
from bpnet.export.quantize import quantise, ranged_tensors

GRAPHS = {"residual": residual_graph(), "activations": activation_graph()}


def ranges_of(graph: onnx.ModelProto) -> dict[str, float]:
    return make_ranges(collect_histograms(graph, inputs(4), ranged_tensors(graph)), "max")


TABLES = {name: ranges_of(graph) for name, graph in GRAPHS.items()}


def run(model: onnx.ModelProto, image) -> np.ndarray:
    (output,) = open_session(model).run(None, {"x": image[None]})
    return output


def kernels(model: onnx.ModelProto, folder) -> Counter[str]:
    """What ONNX Runtime makes of the graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


def origin(model: onnx.ModelProto, tensor: str) -> str:
    """The float tensor behind a pair, or the tensor itself."""
    writers = producers(model)
    node = writers.get(tensor)
    if node is None or node.op_type != "DequantizeLinear":
        return tensor
    return str(writers[node.input[0]].input[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", GRAPHS)
def test_int8_is_near_float(name, form):
    graph = GRAPHS[name]
    quantised = quantise(graph, TABLES[name], form=form)
    onnx.checker.check_model(quantised, full_check=True)
    (image,) = inputs(1, seed=9)
    expected, found = run(graph, image), run(quantised, image)
    assert 0 < np.abs(found - expected).mean() < 0.02 * np.abs(expected).max()


def test_the_table_has_every_activation():
    assert set(TABLES["residual"]) == {
        "x", "first", "first.relu", "pooled", "depthwise", "depthwise.relu", "project", "sum",
        "sum.relu", "branch", "joined", "last", "last.relu", "head",
    }  # fmt: skip


def test_on_the_cpu_everything_between_input_and_head_is_int8(tmp_path):
    found = kernels(quantise(GRAPHS["residual"], TABLES["residual"], form="onnxruntime"), tmp_path)
    assert found["QLinearConv"] == 5
    assert found["QLinearAdd"] == 1
    assert found["QLinearConcat"] == 1
    assert found["QuantizeLinear"] == 1  # of the input
    assert found["DequantizeLinear"] == 1  # for the head
    assert found["Conv"] + found["FusedConv"] == 1
    assert not found.keys() & {"Add", "Concat", "Relu"}


def test_tensorrts_sum_has_a_pair_on_the_branch_that_no_convolution_writes():
    model = quantise(GRAPHS["residual"], TABLES["residual"], form="tensorrt")
    (add,) = [node for node in model.graph.node if node.op_type == "Add"]
    assert add.input[0] == "project"
    assert origin(model, add.input[1]) == "pooled" != add.input[1]


def test_a_sum_of_two_convolutions_has_one_pair():
    make = GraphMaker()
    both = make.node("Add", [make.conv("x", "left", 3, 8), make.conv("x", "right", 3, 8)], "sum")
    graph = make.model(make.conv(both, "head", 8, 5))
    model = quantise(graph, ranges_of(graph), form="tensorrt")
    (add,) = [node for node in model.graph.node if node.op_type == "Add"]
    assert [origin(model, name) == name for name in add.input] == [True, False]


def test_a_pooling_and_a_concatenation_carry_the_scale_of_their_output():
    shared = shared_scales(GRAPHS["residual"])
    # The sum is read by a convolution too, so the concatenation rescales it.
    assert shared == {"first.relu": "pooled", "branch": "joined"}
    for form in FORMS:
        scales = constants(quantise(GRAPHS["residual"], TABLES["residual"], form=form))
        assert scales["joined.scale"] == np.float32(TABLES["residual"]["joined"] / 127)
    assert scales.keys().isdisjoint({"first.relu.scale", "branch.scale"})
    cpu = constants(quantise(GRAPHS["residual"], TABLES["residual"], form="onnxruntime"))
    assert cpu["branch.scale"] == cpu["joined.scale"]
    assert cpu["first.relu.scale"] == cpu["pooled.scale"]


def test_what_has_no_int8_kernel_is_listed_with_its_share_and_reason():
    model = quantise(GRAPHS["activations"], TABLES["activations"], form="onnxruntime")
    up, head = float_convolutions(model)
    assert (up.name, head.name) == ("up", "head")
    assert "transposed" in up.reason
    assert "writes the maps" in head.reason
    cells = 256 * (3 * 8 * 9 + 2 * 8 * 8 * 9 + 8 * 8 * 4) + 1024 * (8 * 8 * 9 + 8 * 5)
    assert up.share == pytest.approx(256 * 8 * 8 * 4 / cells)
    assert head.share == pytest.approx(1024 * 8 * 5 / cells)
    assert describe_float_convolutions(model).startswith("up: transposed")


@pytest.mark.parametrize("form", FORMS)
def test_a_chosen_convolution_is_listed_as_chosen(form):
    kept = {"head", "project"}
    model = quantise(GRAPHS["residual"], TABLES["residual"], form=form, float_nodes=kept)
    found = {one.name: one.reason for one in float_convolutions(model)}
    assert found.keys() == kept
    assert found["project"] == "chosen to stay in higher precision"
    everything = quantise(GRAPHS["residual"], TABLES["residual"], form=form, float_nodes=())
    assert describe_float_convolutions(everything) == "none"


def test_on_the_cpu_activations_without_int8_kernels_stand_between_int8_convolutions(tmp_path):
    found = kernels(
        quantise(GRAPHS["activations"], TABLES["activations"], form="onnxruntime"), tmp_path
    )
    assert found["QLinearConv"] == 4
    assert found["ConvTranspose"] == 1
    assert found["Conv"] + found["FusedConv"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_two_convolutions_may_share_weights(form):
    make = GraphMaker()
    middle = make.relu(make.conv("x", "one", 3, 3))
    make.node("Conv", [middle, "one.weight", "one.bias"], "two", pads=[1] * 4)
    graph = make.model(make.conv("two", "head", 3, 5))
    quantised = quantise(graph, ranges_of(graph), form=form)
    onnx.checker.check_model(quantised, full_check=True)
    (image,) = inputs(1, seed=9)
    expected, found = run(graph, image), run(quantised, image)
    assert np.abs(found - expected).mean() < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("form", FORMS)
def test_the_bias_of_a_dead_channel_survives(form):
    make = GraphMaker()
    graph = make.model(make.conv(make.conv("x", "one", 3, 4), "head", 4, 5))
    weights = {one.name: one for one in graph.graph.initializer}
    dead, bias = make.weights["one.weight"].copy(), make.weights["one.bias"].copy()
    dead[1], bias[1] = 0.0, 50.0
    weights["one.weight"].CopyFrom(onnx.numpy_helper.from_array(dead, "one.weight"))
    weights["one.bias"].CopyFrom(onnx.numpy_helper.from_array(bias, "one.bias"))
    quantised = quantise(graph, ranges_of(graph), form=form)
    (image,) = inputs(1, seed=9)
    expected, found = run(graph, image), run(quantised, image)
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_the_names_of_the_cache_are_those_of_the_graph(tmp_path):
    graph, path = GRAPHS["residual"], tmp_path / "cal.bin"
    write_cache(path, TABLES["residual"], tensorrt="8.6.1")
    cached = read_cache(path)
    in_graph = {name for node in graph.graph.node for name in node.output} | {"x"}
    assert set(cached) == in_graph
    first, again = (
        quantise(graph, table, form="tensorrt") for table in (TABLES["residual"], cached)
    )
    assert first == again
