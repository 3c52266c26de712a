"""Writing Quantize/Dequantize nodes into an ONNX graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.export.graph import constants, consumers, drop_unused, producers

LEVELS = 127  # int8 steps on either side of zero
DEQUANTISED = "/Dequantized"  # what the names of tensors behind a pair end in
BIAS_STEPS = 2**30  # leaves as much room again for the sum of products
SMALLEST = float(np.finfo(np.float16).tiny)  # range of a tensor of zeros: something to divide by

helper = onnx.helper


@dataclass
class QdqWriter:
    """A graph that is being quantised; new nodes and constants gather until ``finish``."""

    model: onnx.ModelProto
    ranges: Mapping[str, float]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    dequantised: dict[tuple[str, float], str] = field(default_factory=dict)
    channel_scales: dict[str, list[tuple[str, NDArray[np.float32]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights = constants(self.model)
        self.readers = consumers(self.model)
        self.writers = producers(self.model)

    def scale(self, tensor: str) -> np.float32:
        """The step of an activation, from the table."""
        if tensor not in self.ranges:
            raise ModelError(
                f"the table of ranges has no {tensor}: it was made from another model; "
                "calibrate again"
            )
        return np.float32(max(self.ranges[tensor], SMALLEST) / LEVELS)

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Add a constant to the graph; returns its name."""
        tensor = onnx.numpy_helper.from_array(np.asarray(value), name)
        self.model.graph.initializer.append(tensor)
        return name

    def pair(self, tensor: str, *, zero: np.generic, scale: np.float32 | None = None) -> str:
        """Quantise and dequantise ``tensor``, once for every scale; returns the new tensor."""
        step = self.scale(tensor) if scale is None else scale
        known = self.dequantised.get((tensor, float(step)))
        if known is not None:
            return known
        count = sum(name == tensor for name, _ in self.dequantised)
        stem = tensor if count == 0 else f"{tensor}.{count + 1}"
        scale_name = self.constant(f"{stem}.scale", step)
        zero_name = self.constant(f"{stem}.zero_point", zero)
        for kind, source, target in (
            ("QuantizeLinear", tensor, f"{stem}/Quantized"),
            ("DequantizeLinear", f"{stem}/Quantized", f"{stem}{DEQUANTISED}"),
        ):
            self.nodes.append(
                helper.make_node(
                    kind, [source, scale_name, zero_name], [target], name=f"{stem}/{kind}"
                )
            )
        self.dequantised[(tensor, float(step))] = f"{stem}{DEQUANTISED}"
        return f"{stem}{DEQUANTISED}"

    def finish(self) -> None:
        """Put the new nodes in, every node behind those it reads."""
        _sort_nodes(self.model, self.nodes)
        drop_unused(self.model)

    def dequantised_constant(
        self, name: str, values: NDArray[Any], scales: NDArray[np.float32]
    ) -> str:
        """Add integers ``values`` (O, ...) and the node that scales them, a channel each (O,)."""
        stem, known = self._stem(name, scales)
        if known:
            return f"{stem}{DEQUANTISED}"
        quantised = self.constant(f"{stem}.quantized", values)
        return self._dequantise_channels(stem, quantised, scales, values.dtype)

    def channel_pair(self, name: str, scales: NDArray[np.float32]) -> str:
        """Quantise and dequantise the float constant ``name`` (O, ...), a scale a channel (O,)."""
        stem, known = self._stem(name, scales)
        if known:
            return f"{stem}{DEQUANTISED}"
        inputs = [name, f"{stem}.scale", f"{stem}.zero_point"]
        target = f"{stem}/Quantized"
        self.nodes.append(
            helper.make_node(
                "QuantizeLinear", inputs, [target], name=f"{stem}/QuantizeLinear", axis=0
            )
        )
        return self._dequantise_channels(stem, target, scales, np.dtype(np.int8))

    def _stem(self, name: str, scales: NDArray[np.float32]) -> tuple[str, bool]:
        """What the nodes of a constant are called; whether they are there (two nodes share it)."""
        for stem, other in self.channel_scales.get(name, []):
            if np.array_equal(other, scales):
                return stem, True
        done = self.channel_scales.setdefault(name, [])
        stem = name if not done else f"{name}.{len(done) + 1}"
        done.append((stem, scales))
        return stem, False

    def _dequantise_channels(
        self, name: str, source: str, scales: NDArray[np.float32], kind: np.dtype[Any]
    ) -> str:
        scale_name = self.constant(f"{name}.scale", scales)
        zero_name = self.constant(f"{name}.zero_point", np.zeros(len(scales), kind))
        target = f"{name}{DEQUANTISED}"
        self.nodes.append(
            helper.make_node(
                "DequantizeLinear",
                [source, scale_name, zero_name],
                [target],
                name=f"{name}/DequantizeLinear",
                axis=0,
            )
        )
        return target


def weight_scales(
    weight: NDArray[Any], bias: NDArray[Any] | None = None, *, activation_scale: np.float32
) -> NDArray[np.float32]:
    """The step of each output channel (O,) of a kernel (O, I, kh, kw).

    Where a channel's weights are all but zero, its step is larger than they need: the bias (O,)
    counts in steps of this one times ``activation_scale``, and has to fit into 32 bits.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    steps = np.maximum(largest, SMALLEST) / LEVELS
    if bias is not None:
        steps = np.maximum(steps, np.abs(bias) / (float(activation_scale) * BIAS_STEPS))
    return np.asarray(steps, dtype=np.float32)


def _sort_nodes(model: onnx.ModelProto, added: list[onnx.NodeProto]) -> None:
    waiting = [*model.graph.node, *added]
    known = {one.name for one in (*model.graph.input, *model.graph.initializer)} | {""}
    ordered: list[onnx.NodeProto] = []
    while waiting:
        blocked = []
        for node in waiting:
            if known.issuperset(node.input):
                known.update(node.output)
                ordered.append(onnx.NodeProto.FromString(node.SerializeToString()))
            else:
                blocked.append(node)
        if len(blocked) == len(waiting):
            raise ValueError(f"{blocked[0].name} reads a tensor that nothing writes")
        waiting = blocked
    del model.graph.node[:]
    model.graph.node.extend(ordered)
