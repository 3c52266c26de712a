"""Which convolutions of an INT8 graph are not int8, how much of the work they are, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from bpnet.export.activations import output_convolutions
from bpnet.export.graph import constants, producers

KINDS = ("Conv", "ConvTranspose")
OF_OUTPUTS = "writes the maps, so that an error here goes straight into them"
TRANSPOSED = "transposed: ONNX Runtime has no int8 kernel for it"
COMPUTED = "its weights are computed from the image"
CHOSEN = "chosen to stay in higher precision"


@dataclass(frozen=True)
class FloatConvolution:
    """A convolution that is not int8.

    Attributes:
        name: Of the node.
        share: Its part of the multiplications of all convolutions, 0..1; None where the graph does
            not say its sizes.
        reason: Why it is not int8.
    """

    name: str
    share: float | None
    reason: str

    def __str__(self) -> str:
        """For a table or the metadata of a file."""
        share = "" if self.share is None else f", {self.share:.2%} of the multiplications"
        return f"{self.name}: {self.reason}{share}"


def float_convolutions(quantised: onnx.ModelProto) -> list[FloatConvolution]:
    """The convolutions of an INT8 graph, of either form, that are not int8, in their order."""
    writers, fixed = producers(quantised), constants(quantised)
    of_outputs = output_convolutions(quantised)
    work = _multiplications(quantised)
    known = [count for count in work.values() if count is not None]
    total = sum(known) if len(known) == len(work) else 0
    found = []
    for node in quantised.graph.node:
        if node.op_type not in KINDS or all(_is_dequantised(x, writers) for x in node.input[:2]):
            continue
        if node.op_type == "ConvTranspose":
            reason = TRANSPOSED
        elif node.name in of_outputs:
            reason = OF_OUTPUTS
        else:
            reason = CHOSEN if node.input[1] in fixed else COMPUTED
        count = work[node.name]
        share = count / total if count is not None and total else None
        found.append(FloatConvolution(node.name, share, reason))
    return found


def describe_float_convolutions(quantised: onnx.ModelProto) -> str:
    """The same as one line, for the metadata of the file; "none" where all are int8."""
    return "; ".join(map(str, float_convolutions(quantised))) or "none"


def _is_dequantised(tensor: str, writers: Mapping[str, onnx.NodeProto]) -> bool:
    writer = writers.get(tensor)
    return writer is not None and writer.op_type == "DequantizeLinear"


def _multiplications(model: onnx.ModelProto) -> dict[str, int | None]:
    """Of each convolution, for one image; None where its size is not known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        one.name: [side.dim_value for side in one.type.tensor_type.shape.dim]
        for one in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    shapes |= {one.name: list(one.dims) for one in model.graph.initializer}
    counts: dict[str, int | None] = {}
    for node in model.graph.node:
        if node.op_type in KINDS:
            # Every weight meets every cell: of the output, or of a transposed one's input.
            cells = shapes.get(node.input[0] if node.op_type == KINDS[1] else node.output[0], [])
            sides = [*cells[2:], *shapes.get(node.input[1], [])]
            known = len(sides) >= 4 and all(sides)
            counts[node.name] = int(np.prod(sides, dtype=np.int64)) if known else None
    return counts
