"""Networks of other makers in ONNX: what export makes of them before it begins."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported_network import CONTRACT, HEIGHT, SKELETON, WIDTH, get_contract, photos, small_network
from onnx import TensorProto, helper, numpy_helper

from bpnet import load
from bpnet.errors import ModelError, SpecError
from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.foreign import read_graph, with_size
from bpnet.export.graph import constants, lift, open_session, version_of, write_onnx
from bpnet.export.images import read_fitted
from bpnet.export.onnx import to_onnx
from bpnet.export.precision import to_float16
from bpnet.export.quantize import quantise, ranged_tensors
from bpnet.inference.description import describe_by_inference_spec
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.preprocess import InputFit, to_tensor
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec

ROOT = Path(__file__).resolve().parents[1]
HEATMAPS, PAFS = SKELETON.heatmap_channels, SKELETON.paf_channels
DRAW = np.random.default_rng(5)
BGR = dataclasses.replace(CONTRACT, channel_order="bgr", layout="nchw", image_scale=(1.0,) * 3)


def describe(path):
    return BGR


def foreign_network(*, height="h", width="w", batch="n", opset=13) -> onnx.ModelProto:
    """A network as exporters leave them.

    An input scaled, a bias beside its convolution, batch norm, constants in nodes, an Identity,
    nodes without names, maps of two stages.
    """
    weights: list[onnx.TensorProto] = []

    def constant(name, values):
        weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def draw(name, *shape):
        return constant(name, DRAW.normal(size=shape))

    nodes = [
        helper.make_node(
            "Constant", [], ["scale"], value=numpy_helper.from_array(np.float32([[[[1 / 256]]]]))
        ),
        helper.make_node("Mul", ["data", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", draw("w1", 8, 3, 3, 3)], ["c1"], pads=[1] * 4,
                         strides=[8, 8]),
        helper.make_node("Add", ["c1", draw("b1", 1, 8, 1, 1)], ["a1"]),
        helper.make_node("Relu", ["a1"], ["r1"], name="same"),
        helper.make_node("Conv", ["r1", draw("w2", 8, 8, 1, 1), draw("b2", 8)], ["c2"],
                         name="same"),
        helper.make_node(
            "BatchNormalization",
            ["c2", draw("gamma", 8), draw("beta", 8), draw("mean", 8),
             constant("variance", DRAW.uniform(0.5, 2, 8))],
            ["n2"],
            epsilon=1e-3,
        ),
        helper.make_node("Elu", ["n2"], ["e2"]),
    ]  # fmt: skip
    outputs = []
    for stage, source in (("1", "r1"), ("2", "e2")):
        for kind, channels in (("heat", HEATMAPS), ("paf", PAFS)):
            name = f"{kind}{stage}"
            kernel = draw(f"w_{name}", channels, 8, 1, 1)
            nodes.append(helper.make_node("Conv", [source, kernel], [f"{name}_conv"]))
            nodes.append(helper.make_node("Identity", [f"{name}_conv"], [name]))
            sides = [side // 8 if isinstance(side, int) else None for side in (height, width)]
            outputs.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, channels, *sides])
            )
    image = helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, height, width])
    graph = helper.make_graph(nodes, "foreign", [image], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "theirs.onnx"
    onnx.save(foreign_network(), path)
    return path


def assert_same_maps(model, other):
    image = DRAW.uniform(0, 255, (1, 3, HEIGHT, WIDTH)).astype(np.float32)
    for node in model.graph.node:
        node.name = ""  # ONNX Runtime takes no two of one name
    expected, found = (
        open_session(each).run(["paf2", "heat2"], {"data": image}) for each in (model, other)
    )
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-5 * np.abs(mine).max())


def test_a_foreign_graph_becomes_convolutions_with_the_same_maps(foreign):
    graph, contract = read_graph(foreign, describe=describe)
    assert [node.op_type for node in graph.graph.node] == [
        "Mul", "Conv", "Relu", "Conv", "Elu", "Conv", "Conv",
    ]  # fmt: skip
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    assert names[1:4] == ["c1/Conv", "same", "same_2"]
    assert [one.name for one in graph.graph.output] == ["heat2", "paf2"]
    assert (contract.heatmap_output, contract.paf_output) == ("heat2", "paf2")
    assert (contract.layout, contract.channel_order) == ("nchw", "bgr")
    assert (contract.height, contract.width) == (None, None)
    assert get_contract(graph) == contract
    assert_same_maps(onnx.load(foreign), graph)


def test_a_dynamic_graph_takes_a_size_and_every_precision(foreign, tmp_path):
    graph, contract = with_size(*read_graph(foreign, describe=describe), height=HEIGHT, width=WIDTH)
    assert (contract.height, contract.width) == (HEIGHT, WIDTH)
    assert (contract.heatmap_stride, contract.paf_stride) == (8.0, 8.0)
    shape = [one.dim_param or one.dim_value for one in dims(graph.graph.input[0])]
    assert shape == ["batch", 3, HEIGHT, WIDTH]
    shape = [one.dim_param or one.dim_value for one in dims(graph.graph.output[1])]
    assert shape == ["batch", PAFS, HEIGHT // 8, WIDTH // 8]
    tensors = to_tensor(np.stack(photos(2)), contract)
    ranges = make_ranges(collect_histograms(graph, tensors, ranged_tensors(graph)), "max")
    forms = [quantise(graph, ranges, form=form) for form in ("onnxruntime", "tensorrt")]
    expected = open_session(graph).run(None, {"data": tensors})
    for made in (to_float16(graph), *forms, to_float16(forms[1])):
        write_onnx(made, tmp_path / "x.onnx")
        found = open_session(made).run(None, {"data": tensors})
        for one, other in zip(expected, found, strict=True):
            assert np.abs(one - other).mean() < 0.05 * np.abs(one).max()


def dims(value):
    return value.type.tensor_type.shape.dim


def test_a_static_graph_asked_for_another_size_is_one_sentence(tmp_path):
    path = tmp_path / "static.onnx"
    onnx.save(foreign_network(height=HEIGHT, width=WIDTH, batch=1), path)
    graph, contract = read_graph(path, describe=describe)
    with_size(graph, contract, height=HEIGHT, width=WIDTH)
    with pytest.raises(
        ModelError, match=r"fixed to 64x96 .* cannot become 64x128; export it again"
    ):
        with_size(graph, contract, height=64, width=128)
    with pytest.raises(ModelError, match="batch is fixed to 1 images, so it cannot become 4"):
        with_size(graph, contract, height=HEIGHT, width=WIDTH, batch=4)


def test_the_stride_of_upsampled_pafs_is_noted(tmp_path):
    model = foreign_network()
    (head,) = [node for node in model.graph.node if "paf2" in node.output]
    head.op_type = "ConvTranspose"
    kernel = numpy_helper.from_array(np.eye(PAFS, dtype=np.float32)[..., None, None], "up")
    model.graph.initializer.append(kernel)
    head.input.append("up")
    head.attribute.append(helper.make_attribute("strides", [4, 4]))
    head.attribute.append(helper.make_attribute("output_padding", [3, 3]))
    onnx.save(model, tmp_path / "x.onnx")
    read = read_graph(tmp_path / "x.onnx", describe=describe)
    _, contract = with_size(*read, height=HEIGHT, width=WIDTH)
    assert (contract.heatmap_stride, contract.paf_stride) == (8.0, 2.0)


@pytest.mark.parametrize("mode", ["adjust_network_input", "fit_height", "fit_width"])
def test_a_static_graph_asked_to_adjust_its_input_is_one_sentence(mode, tmp_path):
    graph, _ = to_onnx(small_network(), CONTRACT, height=HEIGHT, width=WIDTH)
    write_onnx(graph, tmp_path / "x.onnx")
    said = rf"keep_aspect_ratio_mode is {mode}, but the model's input is fixed to 64x96 .*set it to"
    with pytest.raises(SpecError, match=said):
        load(tmp_path / "x.onnx", {"keep_aspect_ratio_mode": mode})
    for spec in (None, {"flip_test": False}, {"keep_aspect_ratio_mode": "pad_image_input"}):
        assert load(tmp_path / "x.onnx", spec).fit == InputFit(64, 96, "pad_image_input", 128, 1)


def test_what_we_exported_is_read_as_it_was_written(tmp_path):
    graph, contract = to_onnx(small_network(), CONTRACT, height=HEIGHT, width=WIDTH)
    write_onnx(graph, tmp_path / "ours.etlt", key="secret")
    again, found = read_graph(tmp_path / "ours.etlt", key="secret")
    assert found == contract
    assert again.SerializeToString(deterministic=True) == graph.SerializeToString(
        deterministic=True
    )


def test_older_operators_are_lifted(tmp_path):
    path = tmp_path / "old.onnx"
    onnx.save(foreign_network(opset=9), path)
    graph, _ = read_graph(path, describe=describe)
    assert version_of(graph) == 13
    assert version_of(lift(graph, 21)) == 21
    with pytest.raises(
        ModelError, match="operators of opset 13; it cannot be written with opset 9"
    ):
        lift(graph, 9)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_lower_precision_is_no_start(precision, tmp_path):
    graph, contract = to_onnx(small_network(), CONTRACT, height=HEIGHT, width=WIDTH)
    if precision == "int8":
        tensors = to_tensor(np.stack(photos(1)), contract)
        ranges = make_ranges(collect_histograms(graph, tensors, ranged_tensors(graph)), "max")
        graph = quantise(graph, ranges, form="onnxruntime")
    else:
        graph = to_float16(graph)
    write_onnx(graph, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=rf"x.onnx is {precision} already; export starts from the"):
        read_graph(tmp_path / "x.onnx")


def test_a_half_inside_is_found(tmp_path):
    model = foreign_network()
    place = [node.op_type for node in model.graph.node].index("Elu")
    model.graph.node[place].input[0] = "half"
    cast = helper.make_node("Cast", ["n2"], ["half"], to=TensorProto.FLOAT16)
    model.graph.node.insert(place, cast)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="is float16 already"):
        read_graph(tmp_path / "x.onnx", describe=describe)


def test_what_is_no_network_is_one_sentence(foreign, tmp_path):
    with pytest.raises(ModelError, match="carries no metadata of bpnet; give an inference spec"):
        read_graph(foreign)
    with pytest.raises(ModelError, match="does not exist"):
        read_graph(tmp_path / "gone.onnx")
    for content in (b"", b"no graph at all"):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="is not an ONNX model"):
            read_graph(tmp_path / "x.onnx")
    other = foreign_network()
    other.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(other, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=r"expected a float32 input, found data .* uint8"):
        read_graph(tmp_path / "x.onnx", describe=describe)


@pytest.mark.parametrize(
    ("operator", "shape", "folds"),
    [
        ("Mul", (8, 1, 1), True),
        ("Div", (1, 8, 1, 1), True),
        ("Sub", (), True),
        ("Add", (12,), False),  # along the width
        ("Add", (1, 8, 8, 12), False),
    ],
)
def test_only_constants_of_channels_are_folded(operator, shape, folds, tmp_path):
    model = foreign_network(height=HEIGHT, width=WIDTH)
    graph = model.graph
    add = next(node for node in graph.node if node.op_type == "Add")
    add.op_type = operator
    (bias,) = [one for one in graph.initializer if one.name == "b1"]
    bias.CopyFrom(numpy_helper.from_array(DRAW.uniform(1, 2, shape).astype(np.float32), "b1"))
    onnx.save(model, tmp_path / "x.onnx")
    read, _ = read_graph(tmp_path / "x.onnx", describe=describe)
    assert read.graph.node[2].op_type == ("Relu" if folds else operator)
    assert_same_maps(model, read)


def test_a_kernel_that_two_convolutions_share_changes_for_one(tmp_path):
    model = foreign_network()
    again = helper.make_node("Conv", ["e2", "w2"], ["e3"], name="again")
    place = [node.op_type for node in model.graph.node].index("Elu") + 1
    for node in model.graph.node[place:]:
        node.input[0] = "e3" if node.input[0] == "e2" else node.input[0]
    model.graph.node.insert(place, again)
    onnx.save(model, tmp_path / "x.onnx")
    read, _ = read_graph(tmp_path / "x.onnx", describe=describe)
    assert {"w2", "same_2.weight"} <= set(constants(read))
    assert_same_maps(model, read)


@pytest.mark.coco
def test_a_published_network_keeps_its_maps(shared_data, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = shared_data / "models" / "human-pose-estimation-0001.onnx"
    spec = read_spec(ROOT / "specs" / "infer_spec_lightweight_openpose.yaml", InferenceSpec)
    read = read_graph(path, describe=lambda found: describe_by_inference_spec(found, spec))
    graph, _ = with_size(*read, height=288, width=384)
    kinds = {node.op_type for node in graph.graph.node}
    assert kinds == {"Mul", "Add", "Conv", "Relu", "Elu", "Concat"}
    write_onnx(graph, tmp_path / "x.onnx")
    theirs = OnnxBackend(
        path, describe=lambda found: describe_by_inference_spec(found, spec), provider="cpu"
    )
    files = sorted((shared_data / "coco" / "val").glob("*.jpg"))[:2]
    images = np.stack(list(read_fitted(files, height=288, width=384)))
    ours = OnnxBackend(tmp_path / "x.onnx", provider="cpu").predict(images)
    for one, other in zip(theirs.predict(images), ours, strict=True):
        assert np.abs(one.heatmaps - other.heatmaps).max() < 1e-5 * np.abs(one.heatmaps).max()
        assert np.abs(one.pafs - other.pafs).max() < 1e-5 * np.abs(one.pafs).max()
