"""The nodes and constants of an ONNX graph while a network is written into it, layer by layer.

Images are (N, C, H, W) throughout. Names come from layers, so a network has the same ones whenever
and wherever it is exported.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Shape = tuple[int, int, int]  # channels, height, width


@dataclass
class LayerWriter:
    """A graph that grows; a node, and the tensor that it writes, have the same name.

    Attributes:
        nodes: So far, each behind those it reads.
        constants: So far.
        shapes: Channels, height and width of each tensor.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    _taken: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        layer: str,
        shape: Shape,
        constants: Mapping[str, NDArray[Any]] | None = None,
        **attributes: Any,
    ) -> str:
        """Append a node; returns the tensor that it writes.

        Args:
            operator: Of ONNX.
            inputs: Tensors; an empty one stands for an input that is left out.
            layer: Gives the node its name, ``layer/operator``; a second one gets ``_2``.
            shape: Of the result.
            constants: Further inputs, by what they are.
            **attributes: Of the operator.
        """
        wanted = f"{layer}/{operator}"
        count = self._taken[wanted] = self._taken.get(wanted, 0) + 1
        name = wanted if count == 1 else f"{wanted}_{count}"
        further = []
        for role, values in (constants or {}).items():
            further.append(f"{name}.{role}")
            self.constants.append(
                onnx.numpy_helper.from_array(np.asarray(values, order="C"), further[-1])
            )
        self.nodes.append(
            onnx.helper.make_node(operator, [*inputs, *further], [name], name=name, **attributes)
        )
        self.shapes[name] = shape
        return name

    def convolve(
        self,
        source: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        *,
        layer: str,
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
        same: bool = True,
        group: int = 1,
    ) -> str:
        """Append a convolution with a kernel (O, I / group, kh, kw) and a bias (O,).

        Args:
            source: The tensor that is convolved.
            weight: The kernel.
            bias: None: none.
            layer: Names the node.
            strides: Down and across.
            dilations: Down and across.
            same: As many cells as the image has strides, TensorFlow's way; else only whole windows.
            group: Of channels that are convolved apart.
        """
        _, *size = self.shapes[source]
        kernel = weight.shape[2:]
        cells, pads = slide(size, kernel, strides=strides, dilations=dilations, same=same)
        return self.add(
            "Conv",
            [source],
            layer=layer,
            shape=(len(weight), *cells),
            constants={"weight": weight} | ({} if bias is None else {"bias": bias}),
            kernel_shape=list(kernel),
            strides=list(strides),
            dilations=list(dilations),
            pads=pads,
            group=group,
        )


def slide(
    size: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Sequence[int],
    dilations: Sequence[int] = (1, 1),
    same: bool,
) -> tuple[tuple[int, int], list[int]]:
    """Height and width of what a sliding window yields, and its padding: top, left, bottom, right.

    TensorFlow's "same" puts the odd pixel of padding at the bottom and right.
    """
    cells, before, after = [], [], []
    for pixels, side, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        reach = (side - 1) * dilation + 1
        count = math.ceil(pixels / stride) if same else (pixels - reach) // stride + 1
        missing = max(0, (count - 1) * stride + reach - pixels) if same else 0
        cells.append(count)
        before.append(missing // 2)
        after.append(missing - missing // 2)
    return (cells[0], cells[1]), [*before, *after]
