"""Keras to ONNX: equal maps, TAO's names, a file that says what it is."""

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from exported_network import CONTRACT, HEIGHT, WIDTH, get_contract, photos, small_network

from bpnet.encryption import decrypt
from bpnet.errors import ModelError
from bpnet.export.graph import write_onnx
from bpnet.export.onnx import to_onnx
from bpnet.export.precision import to_float16
from bpnet.inference.backend import open_backend
from bpnet.inference.keras_backend import KerasBackend
from bpnet.inference.onnx_backend import OnnxBackend


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def nhwc(network):
    return to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH)


def largest_error(network, model, *, count) -> float:
    """Of the maps of ``count`` images, as a part of the largest value of the network's."""
    images = np.stack(photos(count))
    expected = KerasBackend(network, CONTRACT).predict(images)
    backend = OnnxBackend(Path("x.onnx"), data=model.SerializeToString(), provider="cpu")
    return max(
        float(np.abs(one - other).max() / np.abs(one).max())
        for ours, theirs in zip(expected, backend.predict(images), strict=True)
        for one, other in ((ours.heatmaps, theirs.heatmaps), (ours.pafs, theirs.pafs))
    )


def shapes(values) -> list[tuple]:
    return [
        (one.name, [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim])
        for one in values
    ]


def test_nhwc_has_taos_names_order_and_shapes(nhwc):
    graph = nhwc[0].graph
    assert shapes(graph.input) == [("input_1:0", ["batch", 64, 96, 3])]
    assert shapes(graph.output) == [
        ("paf_out/BiasAdd:0", ["batch", 8, 12, 6]),
        ("heatmap_out/BiasAdd:0", ["batch", 8, 12, 5]),
    ]


def test_nchw_has_no_transpose_and_plain_names(network, tmp_path):
    path = tmp_path / "network.onnx"
    exported, contract = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw")
    write_onnx(exported, path)
    graph = onnx.load(path).graph
    assert {node.op_type for node in graph.node} == {"Conv", "Relu", "Concat"}
    assert shapes(graph.input) == [("input_1", ["batch", 3, 64, 96])]
    assert shapes(graph.output) == [
        ("paf_out", ["batch", 6, 8, 12]),
        ("heatmap_out", ["batch", 5, 8, 12]),
    ]
    assert (open_backend(path).contract, contract.layout) == (contract, "nchw")
    assert largest_error(network, exported, count=3) < 1e-5


def test_float32_maps_are_the_trained_networks(network, nhwc):
    assert largest_error(network, nhwc[0], count=2) < 1e-5


def test_names_inside_the_graph_do_not_depend_on_the_process(network, nhwc):
    again, _ = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH)
    assert again.SerializeToString(deterministic=True) == nhwc[0].SerializeToString(
        deterministic=True
    )
    names = {node.name for node in again.graph.node}
    assert {"input/Transpose", "block_1a_conv_1/Conv", "heatmap_out/Conv"} <= names
    assert not any("functional" in name or "StatefulPartitionedCall" in name for name in names)


def test_a_network_that_is_wrapped_is_the_same(network, nhwc):
    image = keras.Input((None, None, 3))
    wrapped = keras.Model(image, network(image))
    assert to_onnx(wrapped, CONTRACT, height=HEIGHT, width=WIDTH) == nhwc


def test_a_fixed_batch_is_in_the_file(network):
    exported, _ = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, batch=2)
    assert shapes(exported.graph.input)[0][1] == [2, 64, 96, 3]
    assert shapes(exported.graph.output)[0][1] == [2, 8, 12, 6]


def test_the_contract_survives_in_the_file(nhwc):
    exported, contract = nhwc
    assert get_contract(exported) == contract
    assert (contract.height, contract.width, contract.precision) == (64, 96, "fp32")
    assert contract.skeleton == CONTRACT.skeleton
    assert contract.extra == CONTRACT.extra


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_the_sdk_model_repeats_each_paf_cell(network, layout):
    exported, contract = to_onnx(
        network, CONTRACT, height=HEIGHT, width=WIDTH, layout=layout, paf_upsampling=4
    )
    onnx.checker.check_model(exported, full_check=True)
    if layout == "nhwc":
        assert shapes(exported.graph.output) == [
            ("conv2d_transpose_1/BiasAdd:0", ["batch", 32, 48, 6]),
            ("heatmap_out/BiasAdd:0", ["batch", 8, 12, 5]),
        ]
    assert (contract.paf_stride, contract.heatmap_stride) == (2, 8)
    assert largest_error(network, exported, count=1) < 1e-5


def test_float16_is_near_and_keeps_float32_at_its_ends(network, nhwc):
    half = to_float16(nhwc[0])
    onnx.checker.check_model(half, full_check=True)
    ends = (*half.graph.input, *half.graph.output)
    assert {one.type.tensor_type.elem_type for one in ends} == {onnx.TensorProto.FLOAT}
    assert len(half.SerializeToString()) < 0.6 * len(nhwc[0].SerializeToString())
    assert 1e-5 < largest_error(network, half, count=2) < 1e-2


@pytest.mark.parametrize(
    ("value", "kept"), [(1e-9, 6e-8), (-1e-9, -6e-8), (0.0, 0.0), (6.5e4, 6.5e4), (-2.5, -2.5)]
)
def test_float16_loses_no_sign(nhwc, value, kept):
    model = onnx.ModelProto.FromString(nhwc[0].SerializeToString())
    (bias,) = [one for one in model.graph.initializer if one.name == "paf_out/Conv.bias"]
    values = np.full(6, value, np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    (half,) = [one for one in to_float16(model).graph.initializer if one.name == bias.name]
    np.testing.assert_allclose(onnx.numpy_helper.to_array(half), np.float16(kept), rtol=0.01)


def test_a_weight_beyond_float16_is_one_sentence(nhwc):
    model = onnx.ModelProto.FromString(nhwc[0].SerializeToString())
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.full(1, 7e4, np.float32), "large")
    )
    with pytest.raises(ModelError, match=r"the constant large holds 7e\+04, above float16's 65504"):
        to_float16(model)


def test_an_unsound_graph_leaves_no_file(nhwc, tmp_path):
    broken = onnx.ModelProto.FromString(nhwc[0].SerializeToString())
    del broken.graph.node[3]
    with pytest.raises(ModelError, match="is not sound ONNX"):
        write_onnx(broken, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_with_a_key_the_file_is_encrypted(nhwc, tmp_path):
    write_onnx(nhwc[0], tmp_path / "x.etlt", key="secret")
    opened = onnx.load_from_string(decrypt((tmp_path / "x.etlt").read_bytes(), "secret"))
    assert opened == nhwc[0]
    assert open_backend(tmp_path / "x.etlt", key="secret").contract == nhwc[1]
