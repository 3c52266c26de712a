"""A small ONNX graph with every kind of node that INT8 has to deal with, without Keras."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

SIDE = 16  # pixels of the input, 3 channels


@dataclass
class GraphMaker:
    """Nodes are named after the tensor they write; weights are drawn."""

    nodes: list = field(default_factory=list)
    weights: dict = field(default_factory=dict)
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name, shape, scale=1.0):
        fan = max(1, int(np.prod(shape[1:])))
        self.weights[name] = (self.draw.normal(0, scale, shape) / np.sqrt(fan)).astype(np.float32)
        return name

    def conv(self, source, name, inside, outside, *, kernel=3, group=1):
        shape = (outside, inside // group, kernel, kernel)
        inputs = [source, self.weight(f"{name}.weight", shape, 2.0)]
        inputs.append(self.weight(f"{name}.bias", (outside,), 0.2))
        pads = [kernel // 2] * 4
        return self.node("Conv", inputs, name, kernel_shape=[kernel] * 2, pads=pads, group=group)

    def relu(self, source):
        return self.node("Relu", [source], f"{source}.relu")

    def model(self, output) -> onnx.ModelProto:
        declare = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "hand_made",
            [declare("x", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
            [declare(output, TensorProto.FLOAT, ["batch", None, None, None])],
            [onnx.numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made, full_check=True)
        return made


def residual_graph() -> onnx.ModelProto:
    """conv, pooling, depthwise conv, a residual sum, its ReLU, a concatenation, a head."""
    make = GraphMaker()
    first = make.relu(make.conv("x", "first", 3, 8))
    pooled = make.node("MaxPool", [first], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    depthwise = make.relu(make.conv(pooled, "depthwise", 8, 8, group=8))
    project = make.conv(depthwise, "project", 8, 8, kernel=1)
    total = make.relu(make.node("Add", [project, pooled], "sum"))
    branch = make.conv(total, "branch", 8, 4, kernel=1)
    joined = make.node("Concat", [total, branch], "joined", axis=1)
    last = make.relu(make.conv(joined, "last", 12, 8))
    return make.model(make.conv(last, "head", 8, 5, kernel=1))


def activation_graph() -> onnx.ModelProto:
    """PRelu, Elu, HardSwish and a ConvTranspose between convolutions."""
    make = GraphMaker()
    make.weights["slope"] = np.full((8, 1, 1), 0.25, np.float32)
    x = make.node("PRelu", [make.conv("x", "one", 3, 8), "slope"], "prelu")
    x = make.node("Elu", [make.conv(x, "two", 8, 8)], "elu")
    x = make.node("HardSwish", [make.conv(x, "three", 8, 8)], "hard_swish")
    up = make.weight("up.weight", (8, 8, 2, 2), 2.0)
    x = make.node("ConvTranspose", [x, up], "up", kernel_shape=[2, 2], strides=[2, 2])
    x = make.relu(make.conv(x, "four", 8, 8))
    return make.model(make.node("Sigmoid", [make.conv(x, "head", 8, 5, kernel=1)], "maps"))


def inputs(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """Images (3, SIDE, SIDE), normalised."""
    draw = np.random.default_rng(seed)
    return [draw.uniform(-0.5, 0.5, (3, SIDE, SIDE)).astype(np.float32) for _ in range(count)]
