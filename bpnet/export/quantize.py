"""INT8 as explicit Quantize/Dequantize (Q/DQ) pairs: one table of ranges, two graphs.

Both graphs use the same scales (range / 127, symmetric), so what the CPU graph loses in accuracy is
what TensorRT's loses. They differ in where the pairs stand, because each runtime fuses its own
pattern:

* ``tensorrt``: pairs on the inputs and weights of convolutions only; biases and outputs stay float.
* ``onnxruntime``: outputs are quantised too and biases are int32, or the CPU would convolve in
  float. Activations are uint8, the faster kind on x86. Those that cannot be negative (after a ReLU)
  use zero point 0: within the table's range they then take 0..127, so that the 16-bit sums of CPUs
  without VNNI cannot overflow. Others use zero point 128.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx

from bpnet.export.graph import consumers, producers
from bpnet.export.qdq import LEVELS, QdqWriter, weight_scales

FORMS = ("onnxruntime", "tensorrt")


def quantise(
    model: onnx.ModelProto,
    ranges: Mapping[str, float],
    *,
    form: str,
    float_nodes: Collection[str] | None = None,
) -> onnx.ModelProto:
    """``model`` with int8 convolutions.

    Args:
        model: A float32 graph, operators of version 13 or newer.
        ranges: Largest absolute value of each activation tensor, by tensor name.
        form: "tensorrt" or "onnxruntime".
        float_nodes: Names of convolutions that stay float; default: ``output_convolutions``.

    Raises:
        ModelError: A tensor that has to be quantised has no range in the table.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}, not one of {FORMS}")
    kept = output_convolutions(model) if float_nodes is None else float_nodes
    quantised = onnx.ModelProto()
    quantised.CopyFrom(model)
    nodes = [node for node in convolutions(quantised) if node.name not in kept]
    writer = QdqWriter(quantised, ranges)
    if form == "tensorrt":
        _write_tensorrt_form(writer, nodes)
    else:
        _write_onnxruntime_form(writer, nodes)
    writer.finish()
    return quantised


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The convolutions whose weights are constants."""
    weights = {one.name for one in model.graph.initializer}
    return [
        node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in weights
    ]


def output_convolutions(model: onnx.ModelProto) -> set[str]:
    """The convolutions that write the maps: the last 1x1 heads.

    Their share of the work is below 0.1 %, and an error here goes straight into the maps.
    """
    writers = producers(model)
    found = set()
    for output in model.graph.output:
        node = writers.get(output.name)
        while node is not None and node.op_type in ("Transpose", "ConvTranspose"):
            node = writers.get(node.input[0])
        if node is not None and node.op_type == "Conv":
            found.add(node.name)
    return found


def ranged_tensors(model: onnx.ModelProto) -> list[str]:
    """The activations whose ranges ``quantise`` may ask for, in either form."""
    readers = consumers(model)
    names: dict[str, None] = {}
    for node in convolutions(model):
        names[node.input[0]] = None
        names[_result(node, readers)] = None
    for node in model.graph.node:
        if node.op_type == "Concat":
            names.update(dict.fromkeys((*node.input, *node.output)))
    return [name for name in names if name not in {one.name for one in model.graph.output}]


def _result(node: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]]) -> str:
    """The tensor that a convolution yields, behind its ReLU where it has one."""
    output: str = node.output[0]
    after = readers.get(output, [])
    if len(after) == 1 and after[0].op_type == "Relu":
        return str(after[0].output[0])
    return output


def _write_tensorrt_form(writer: QdqWriter, nodes: Sequence[onnx.NodeProto]) -> None:
    for node in nodes:
        node.input[0] = writer.pair(node.input[0], zero=np.int8(0))
        weight = node.input[1]
        # Float weights behind a pair: TensorRT 8 takes no int8 constants.
        node.input[1] = writer.channel_pair(weight, weight_scales(writer.weights[weight]))


def _write_onnxruntime_form(writer: QdqWriter, nodes: Sequence[onnx.NodeProto]) -> None:
    model_outputs = {one.name for one in writer.model.graph.output}
    sources = {node.name: str(node.input[0]) for node in writer.model.graph.node if node.input}
    for node in nodes:
        source = sources[node.name]
        result = _result(node, writer.readers)
        _quantise_constants(writer, node, activation_scale=writer.scale(source))
        node.input[0] = _activation_pair(writer, source)
        if result not in model_outputs:
            _redirect(writer, result, _activation_pair(writer, result))
    paired = {name for name, _ in writer.dequantised}
    for node in writer.model.graph.node:
        if node.op_type == "Concat" and node.output[0] in paired:
            _quantise_concat_inputs(writer, node)


def _quantise_concat_inputs(writer: QdqWriter, concat: onnx.NodeProto) -> None:
    """Every input of a quantised Concat gets a pair, or the CPU would join them in float."""
    for index, name in enumerate(concat.input):
        if not name.endswith("/Dequantized"):
            concat.input[index] = _activation_pair(writer, name)


def _activation_pair(writer: QdqWriter, tensor: str) -> str:
    writes = writer.writers.get(tensor)
    positive = writes is not None and writes.op_type == "Relu"
    return writer.pair(tensor, zero=np.uint8(0 if positive else 128))


def _redirect(writer: QdqWriter, tensor: str, replacement: str) -> None:
    """Let every node of the float graph that reads ``tensor`` read ``replacement``."""
    for node in writer.readers.get(tensor, []):
        for index, name in enumerate(node.input):
            if name == tensor:
                node.input[index] = replacement


def _quantise_constants(
    writer: QdqWriter, node: onnx.NodeProto, *, activation_scale: np.float32
) -> None:
    """Int8 weights and an int32 bias in place of the float ones."""
    name = node.input[1]
    weight = writer.weights[name]
    scales = weight_scales(weight)
    steps = scales.reshape(-1, *[1] * (weight.ndim - 1))
    values = np.clip(np.rint(weight / steps), -LEVELS, LEVELS).astype(np.int8)
    node.input[1] = writer.dequantised_constant(name, values, scales)
    if len(node.input) > 2 and node.input[2]:
        name = node.input[2]
        bias_scales = (scales * activation_scale).astype(np.float32)
        limit = 2.0**31 - 1
        steps64 = writer.weights[name].astype(np.float64) / bias_scales
        bias = np.clip(np.rint(steps64), -limit, limit).astype(np.int32)
        node.input[2] = writer.dequantised_constant(name, bias, bias_scales)
