"""Constants behind convolutions become part of them: batch normalisation, scales and biases.

INT8 needs Conv-Relu with nothing between, and every runtime has less to do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.export.graph import constants, consumers, drop_unused

EPSILON = 1e-5  # of ONNX's BatchNormalization, where a node says none
Array = NDArray[np.float64]
ScaleAndShift = tuple[Array, Array]  # (C,) each


def fold_into_convolutions(model: onnx.ModelProto) -> None:
    """Let every convolution take over the constants that scale or shift its output's channels.

    Nodes behind a convolution that nothing else reads are taken over one after the other:
    BatchNormalization, and Mul, Div, Add and Sub with one constant or one for each channel. The
    convolution's output keeps its name, unless the last of them wrote an output of the graph.

    Args:
        model: Its nodes have names, all different.
    """
    values, readers = constants(model), consumers(model)
    known = _Constants(model, values, readers)
    shown = {one.name for one in model.graph.output}
    gone: set[str] = set()
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        axis = _output_axis(node, values)
        if axis is None:
            continue
        channels = values[node.input[1]].shape[axis]
        scale, shift = np.ones(channels), np.zeros(channels)
        tensor = node.output[0]
        while tensor not in shown and len(readers.get(tensor, [])) == 1:
            behind = readers[tensor][0]
            found = _scale_and_shift(behind, tensor, values, channels)
            if found is None:
                break
            scale, shift = scale * found[0], shift * found[0] + found[1]
            tensor = behind.output[0]
            gone.add(tensor)
        if tensor == node.output[0]:
            continue
        _take_over(node, known, scale=scale, shift=shift, axis=axis)
        if tensor in shown:
            node.output[0] = tensor
        else:
            renamed[tensor] = node.output[0]
    _leave_out(model, gone, renamed)


def _output_axis(node: onnx.NodeProto, values: dict[str, NDArray[Any]]) -> int | None:
    """Which axis of a convolution's kernel is that of its output; None where it cannot change."""
    if node.op_type not in ("Conv", "ConvTranspose"):
        return None
    if any(name and name not in values for name in node.input[1:]):
        return None
    if node.op_type == "Conv":
        return 0
    groups = [one.i for one in node.attribute if one.name == "group"]
    return 1 if groups in ([], [1]) else None


def _scale_and_shift(
    node: onnx.NodeProto, tensor: str, values: dict[str, NDArray[Any]], channels: int
) -> ScaleAndShift | None:
    """What ``node`` does to each channel of ``tensor``: y = scale * x + shift; None: more."""
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op_type == "BatchNormalization":
        return _normalisation(node, values)
    if node.op_type not in ("Mul", "Div", "Add", "Sub"):
        return None
    first = node.input[0] == tensor
    constant = values.get(node.input[1 if first else 0])
    if constant is None or not (first or node.op_type in ("Mul", "Add")):
        return None
    each_channel = constant.ndim in (3, 4) and constant.shape[-3:] == (channels, 1, 1)
    if constant.ndim > 4 or not (
        constant.size == 1 or (each_channel and constant.size == channels)
    ):
        return None
    amount = np.broadcast_to(constant.astype(np.float64).ravel(), channels)
    if node.op_type == "Div":
        return (one / amount, zero) if np.all(amount != 0) else None
    if node.op_type == "Mul":
        return amount, zero
    return one, amount if node.op_type == "Add" else -amount


def _normalisation(node: onnx.NodeProto, values: dict[str, NDArray[Any]]) -> ScaleAndShift | None:
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if attributes.get("training_mode", 0) or len([name for name in node.output if name]) > 1:
        return None
    if any(name not in values for name in node.input[1:]):
        return None
    scale, shift, mean, variance = (values[name].astype(np.float64) for name in node.input[1:])
    factor = scale / np.sqrt(variance + attributes.get("epsilon", EPSILON))
    return factor, shift - mean * factor


@dataclass(frozen=True)
class _Constants:
    """The constants of a graph, of which those that one node alone reads may be changed."""

    model: onnx.ModelProto
    values: dict[str, NDArray[Any]]
    readers: dict[str, list[onnx.NodeProto]]

    def replace(self, node: onnx.NodeProto, index: int, role: str, array: Array) -> None:
        """Give ``node`` the float32 ``array`` for its input ``index``."""
        name = node.input[index]
        alone = len(self.readers.get(name, [])) == 1
        if not (name and alone):
            name = f"{node.name}.{role}"
            while name in self.values:
                name = f"{name}.folded"
            self.values[name] = array
        tensor = onnx.numpy_helper.from_array(array.astype(np.float32), name)
        node.input[index] = name
        for known in self.model.graph.initializer:
            if known.name == name:
                known.CopyFrom(tensor)
                return
        self.model.graph.initializer.append(tensor)


def _take_over(
    node: onnx.NodeProto, known: _Constants, *, scale: Array, shift: Array, axis: int
) -> None:
    """Give a convolution a kernel and a bias of its own: ``scale`` times the old ones + shift."""
    weight = known.values[node.input[1]]
    shape = [1] * weight.ndim
    shape[axis] = -1
    known.replace(node, 1, "weight", weight * scale.reshape(shape))
    if len(node.input) > 2 and node.input[2]:
        shift = known.values[node.input[2]].astype(np.float64) * scale + shift
    elif len(node.input) == 2:
        node.input.append("")
    known.replace(node, 2, "bias", shift)


def _leave_out(model: onnx.ModelProto, gone: Collection[str], renamed: dict[str, str]) -> None:
    """Drop the nodes that wrote ``gone``; who read one of ``renamed`` reads the other."""
    for index in reversed(range(len(model.graph.node))):
        node = model.graph.node[index]
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        if node.output[0] in gone and node.op_type not in ("Conv", "ConvTranspose"):
            del model.graph.node[index]
    drop_unused(model)
