"""INT8 as explicit Quantize/Dequantize (Q/DQ) pairs: one table of ranges, two graphs.

Both graphs use the same scales (range / 127, symmetric). They differ in where the pairs stand,
because each runtime fuses its own pattern:

* ``tensorrt``: pairs on the inputs and weights of convolutions, and on the other branch of a
  residual sum; biases and outputs stay float.
* ``onnxruntime``: outputs are quantised too and biases are int32, or the CPU would convolve in
  float. Activations are uint8, the faster kind on x86. Those that cannot be negative (after a ReLU)
  use zero point 0: within the table's range they then take 0..127, so that the 16-bit sums of CPUs
  without VNNI cannot overflow. Others use zero point 128, where they can, so sessions of ours ask
  for exact sums. A value beyond the range is clipped to it in TensorRT; here one that cannot be
  negative is kept up to twice the range.

Transposed convolutions, and whatever is neither convolution, pooling, concatenation nor sum (PRelu,
Elu, HardSwish, attention's products), stay float in both. So do the last 1x1 heads: with them in
int8 the mean error of the worse map was 1.06 and 1.45 times as large on two trained networks, and
they are 0.03 % of the default network's work. The joined features and maps of a stage share one
int8 scale: convolutions behind them in float lowered the mean error by a tenth at most, and scaling
the maps up to the features' range not at all.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.export.activations import (
    CARRIERS,
    float_activations,
    never_negative,
    output_convolutions,
    shared_scales,
)
from bpnet.export.calibration import RangeTable
from bpnet.export.choices import FORMS
from bpnet.export.equalisation import equalise
from bpnet.export.qdq import DEQUANTISED, LEVELS, QdqWriter, weight_scales


def quantise(
    model: onnx.ModelProto,
    ranges: Mapping[str, float],
    *,
    form: str,
    float_nodes: Collection[str] | None = None,
) -> onnx.ModelProto:
    """``model`` with int8 convolutions.

    Args:
        model: A float32 graph, operators of version 13 or newer, whose nodes have names.
        ranges: Largest absolute value of each activation tensor, by tensor name. A ``RangeTable``
            also gives the channels of depthwise convolutions equal ranges.
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
    table = dict(ranges)
    if isinstance(ranges, RangeTable):
        table |= equalise(quantised, ranges.channels)
    shared = {name: table[of] for name, of in shared_scales(model).items() if of in table}
    writer = QdqWriter(quantised, table | shared)
    if form == "tensorrt":
        _write_tensorrt_form(writer, nodes)
    else:
        _write_onnxruntime_form(writer, nodes)
    writer.finish()
    return quantised


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The convolutions whose weights are constants, depthwise ones too."""
    weights = {one.name for one in model.graph.initializer}
    return [
        node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in weights
    ]


def ranged_tensors(model: onnx.ModelProto) -> list[str]:
    """The tensors of the table: every float activation, as TensorRT's own calibration has it."""
    return float_activations(model)


def _result(node: onnx.NodeProto, readers: Mapping[str, list[onnx.NodeProto]]) -> str:
    """The tensor that a node yields, behind its ReLU where it has one."""
    output: str = node.output[0]
    after = readers.get(output, [])
    if len(after) == 1 and after[0].op_type == "Relu":
        return str(after[0].output[0])
    return output


def _sums(writer: QdqWriter, nodes: Sequence[onnx.NodeProto]) -> dict[str, list[str]]:
    """The residual sums, by name: two activations, one the result of an int8 convolution.

    To each, those of its inputs that int8 convolutions write for it alone.
    """
    written = {node.output[0] for node in nodes}
    found = {}
    for node in writer.model.graph.node:
        if node.op_type == "Add" and not set(node.input) & set(writer.weights):
            own = [x for x in node.input if x in written and len(writer.readers[x]) == 1]
            if own:
                found[node.name] = own
    return found


def _write_tensorrt_form(writer: QdqWriter, nodes: Sequence[onnx.NodeProto]) -> None:
    sums = _sums(writer, nodes)
    for node in nodes:
        scales = _weight_scales(writer, node, writer.scale(node.input[0]))
        node.input[0] = writer.pair(node.input[0], zero=np.int8(0))
        # Float weights behind a pair: TensorRT 8 takes no int8 constants.
        node.input[1] = writer.channel_pair(node.input[1], scales)
    for node in writer.model.graph.node:
        if node.name in sums:
            # The sum then runs inside the convolution that writes its other input.
            inside = sums[node.name][0]
            for index, name in enumerate(node.input):
                if name != inside:
                    node.input[index] = writer.pair(name, zero=np.int8(0))


def _write_onnxruntime_form(writer: QdqWriter, nodes: Sequence[onnx.NodeProto]) -> None:
    sources = {node.name: str(node.input[0]) for node in nodes}
    sums = _sums(writer, nodes)
    positive = never_negative(writer.model)
    results = {
        node.name: _result(node, writer.readers)
        for node in writer.model.graph.node
        if node.name in sources or node.name in sums
    }
    form = _CpuForm(writer, positive)
    for node in nodes:
        source = sources[node.name]
        _quantise_constants(writer, node, activation_scale=writer.scale(source))
        node.input[0] = form.pair(source)
        form.quantise_result(results[node.name])
    for node in writer.model.graph.node:
        if node.name in sums:
            form.quantise_inputs(node)
            form.quantise_result(results[node.name])
        elif node.op_type in CARRIERS and node.input[0].endswith(DEQUANTISED):
            form.quantise_result(node.output[0])
        elif node.op_type == "Concat" and form.is_paired(node.output[0]):
            form.quantise_inputs(node)


class _CpuForm:
    """Pairs of uint8 around the nodes that ONNX Runtime has int8 kernels for."""

    def __init__(self, writer: QdqWriter, positive: Collection[str]) -> None:
        self._writer = writer
        self._positive = positive
        self._outputs = {one.name for one in writer.model.graph.output}

    def pair(self, tensor: str) -> str:
        return self._writer.pair(tensor, zero=np.uint8(0 if tensor in self._positive else 128))

    def is_paired(self, tensor: str) -> bool:
        return any(name == tensor for name, _ in self._writer.dequantised)

    def quantise_result(self, tensor: str) -> None:
        """Let every node of the float graph that reads ``tensor`` read it quantised."""
        if tensor in self._outputs:
            return
        replacement = self.pair(tensor)
        for node in self._writer.readers.get(tensor, []):
            for index, name in enumerate(node.input):
                if name == tensor:
                    node.input[index] = replacement

    def quantise_inputs(self, node: onnx.NodeProto) -> None:
        """Every input gets a pair, or the CPU would join or add them in float."""
        for index, name in enumerate(node.input):
            if not name.endswith(DEQUANTISED):
                node.input[index] = self.pair(name)


def _weight_scales(
    writer: QdqWriter, node: onnx.NodeProto, activation_scale: np.float32
) -> NDArray[np.float32]:
    """The step of each output channel (O,) of a convolution."""
    bias = writer.weights.get(node.input[2]) if len(node.input) > 2 else None
    return weight_scales(writer.weights[node.input[1]], bias, activation_scale=activation_scale)


def _quantise_constants(
    writer: QdqWriter, node: onnx.NodeProto, *, activation_scale: np.float32
) -> None:
    """Int8 weights and an int32 bias in place of the float ones."""
    scales = _weight_scales(writer, node, activation_scale)
    name = node.input[1]
    weight = writer.weights[name]
    steps = scales.reshape(-1, *[1] * (weight.ndim - 1))
    values = np.clip(np.rint(weight / steps), -LEVELS, LEVELS).astype(np.int8)
    node.input[1] = writer.dequantised_constant(name, values, scales)
    if len(node.input) > 2 and node.input[2] in writer.weights:
        name = node.input[2]
        bias_scales = (scales * activation_scale).astype(np.float32)
        bias = np.rint(writer.weights[name].astype(np.float64) / bias_scales).astype(np.int32)
        node.input[2] = writer.dequantised_constant(name, bias, bias_scales)
