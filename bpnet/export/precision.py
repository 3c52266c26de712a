"""The float16 version of an ONNX graph, with float32 inputs and outputs."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.export.graph import lift, version_of

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
SCALES_OPSET = 19  # from which QuantizeLinear and DequantizeLinear take float16 scales
STAYS_FLOAT: Mapping[str, tuple[int, ...]] = {  # operator: its inputs that may not be float16
    "Resize": (2,),
    "Upsample": (1,),
}
LARGEST = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)

helper, numpy_helper = onnx.helper, onnx.numpy_helper


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` that computes in float16; inputs and outputs stay float32.

    A graph with Quantize/Dequantize pairs keeps its integers and computes the rest in float16, the
    scales included: "int8+fp16", which needs operators of version 19 and is lifted to them.

    Raises:
        ModelError: The graph holds something that float16 cannot.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    kinds = {node.op_type for node in half.graph.node}
    if "DequantizeLinear" in kinds and version_of(half) < SCALES_OPSET:
        half = lift(half, SCALES_OPSET)
    for node in half.graph.node:
        _convert_attributes(node)
    _convert_constants(half)
    _convert_ends(half)
    del half.graph.value_info[:]
    return half


def _convert_constants(model: onnx.ModelProto) -> None:
    floats = {one.name: one for one in model.graph.initializer if one.data_type == FLOAT}
    kept: dict[str, str] = {}  # constants that stay float32, by the tensor's name
    used: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            _check_scale_of_integers(model, node)
        for index, name in enumerate(node.input):
            if index in STAYS_FLOAT.get(node.op_type, ()) and name:
                if name not in floats:
                    raise ModelError(
                        f"{node.op_type} {node.name} computes its scales, which fp16 needs as "
                        "constants; export the network at a fixed size"
                    )
                kept[name] = node.input[index] = f"{name}.float32"
            elif name in floats:
                used.add(name)
    for name, copied in kept.items():
        tensor = model.graph.initializer.add()
        tensor.CopyFrom(floats[name])
        tensor.name = copied
    for name, tensor in floats.items():
        values = _to_half(numpy_helper.to_array(tensor), name)
        tensor.CopyFrom(numpy_helper.from_array(values, name))
    for index in reversed(range(len(model.graph.initializer))):
        name = model.graph.initializer[index].name
        if name in kept and name not in used:
            del model.graph.initializer[index]


def _check_scale_of_integers(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """An int32 bias has a scale far below what float16 holds."""
    for one in model.graph.initializer:
        if one.name == node.input[0] and one.data_type == onnx.TensorProto.INT32:
            raise ValueError(
                f"{node.name}: int8+fp16 takes TensorRT's form, whose biases are float"
            )


def _to_half(values: NDArray[np.float32], name: str) -> NDArray[np.float16]:
    """The nearest float16 values; what would become zero is the smallest step instead.

    A scale of zero would divide by it, and a weight would lose its sign.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest > LARGEST:
        raise ModelError(
            f"the constant {name} holds {largest:.3g}, above float16's {LARGEST:g}; export fp32"
        )
    half = values.astype(np.float16)
    lost = (half == 0) & (values != 0)
    if lost.any():
        half = np.where(lost, np.copysign(np.float16(SMALLEST), values).astype(np.float16), half)
    return half


def _convert_ends(model: onnx.ModelProto) -> None:
    """Put a Cast behind each float32 input and in front of each float32 output."""
    graph = model.graph
    ends = [one.name for one in graph.input if one.type.tensor_type.elem_type == FLOAT]
    outputs = [one.name for one in graph.output if one.type.tensor_type.elem_type == FLOAT]
    inside = {name: f"{name}/float16" for name in (*ends, *outputs)}
    for node in graph.node:
        for tensors in (node.input, node.output):
            for index, name in enumerate(tensors):
                tensors[index] = inside.get(name, name)
    casts = [
        helper.make_node("Cast", [name], [inside[name]], name=f"{name}/Cast", to=HALF)
        for name in ends
    ]
    nodes = [*casts, *graph.node]
    nodes += [
        helper.make_node("Cast", [inside[name]], [name], name=f"{name}/Cast", to=FLOAT)
        for name in outputs
    ]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _convert_attributes(node: onnx.NodeProto) -> None:
    """Constants inside nodes, and casts to float32."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == FLOAT:
            values = _to_half(numpy_helper.to_array(attribute.t), node.name)
            attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
            attribute.i = HALF
