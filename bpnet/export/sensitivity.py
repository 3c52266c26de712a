"""Which convolutions suffer most from int8, and which to keep in higher precision.

A convolution's sensitivity is what the network loses when it alone is int8. Losses do not add up
exactly, so the choice is tried: the most sensitive ones stay float, as few as keep the loss of the
whole INT8 network within its limit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from bpnet.export.activations import output_convolutions
from bpnet.export.graph import open_session
from bpnet.export.quantize import convolutions, quantise

# What a graph loses against the float32 one; 0: nothing. AP points, or an error of its maps.
Loss = Callable[[onnx.ModelProto], float]


@dataclass(frozen=True)
class LayerSensitivity:
    """One convolution.

    Attributes:
        name: Of the node.
        loss: What the network loses when this convolution alone is int8.
    """

    name: str
    loss: float


@dataclass(frozen=True)
class FloatChoice:
    """The convolutions that stay in higher precision.

    Attributes:
        nodes: Their names, those that write the maps included: ``quantise``'s ``float_nodes``.
        added: Those of them that the search added, the most sensitive first.
        loss: What the INT8 network loses with them.
        limit: What it may lose.
        tried: The loss for every number of added convolutions that was tried.
    """

    nodes: frozenset[str]
    added: tuple[str, ...]
    loss: float
    limit: float
    tried: Mapping[int, float]

    @property
    def within_limit(self) -> bool:
        """Whether the loss is no more than it may be."""
        return self.loss <= self.limit


def map_loss(model: onnx.ModelProto, images: Sequence[NDArray[np.float32]]) -> Loss:
    """The mean error of a graph's maps, as a part of their largest value; the worse of its outputs.

    Args:
        model: The float32 graph that others are compared with.
        images: Inputs in the graph's own layout, without the batch axis, normalised.
    """
    expected = _draw(model, images)
    scales = [float(np.abs(maps).max()) or 1.0 for maps in expected]

    def loss(graph: onnx.ModelProto) -> float:
        found = _draw(graph, images)
        return max(
            float(np.abs(one - other).mean()) / scale
            for one, other, scale in zip(found, expected, scales, strict=True)
        )

    return loss


def rank_layers(
    model: onnx.ModelProto, ranges: Mapping[str, float], loss: Loss
) -> list[LayerSensitivity]:
    """Every convolution that int8 would hold, the most sensitive first.

    TensorRT's form is measured: there a convolution alone can be int8, with the same scales as on
    the CPU.

    Args:
        model: The float32 graph.
        ranges: The table, see ``quantise``.
        loss: ``map_loss``, or any other, such as the drop of AP on a data set.

    Raises:
        ModelError: A tensor has no range in the table.
    """
    kept = output_convolutions(model)
    everything = {node.name for node in convolutions(model)}
    names = [node.name for node in convolutions(model) if node.name not in kept]
    found = []
    for name in tqdm(names, desc="sensitivity", unit="layer", disable=None):
        alone = quantise(model, ranges, form="tensorrt", float_nodes=everything - {name})
        found.append(LayerSensitivity(name, loss(alone)))
    return sorted(found, key=lambda layer: -_comparable(layer.loss))


def choose_float_nodes(
    model: onnx.ModelProto,
    ranges: Mapping[str, float],
    ranking: Sequence[LayerSensitivity],
    *,
    loss: Loss,
    limit: float,
    form: str = "tensorrt",
) -> FloatChoice:
    """As few of the most sensitive convolutions as keep the loss within ``limit``.

    The number is found by halving, as more float convolutions hardly ever lose more: some six
    measurements for fifty convolutions. Where no number is enough, all of them stay float and
    ``within_limit`` is False.

    Args:
        model: The float32 graph.
        ranges: The table, see ``quantise``.
        ranking: As ``rank_layers`` gives it.
        loss: The same measure as that of ``limit``; that of the ranking may be another.
        limit: The most that the INT8 network may lose.
        form: Of the INT8 graph that is measured, see ``quantise``.
    """
    kept = output_convolutions(model)
    names = [layer.name for layer in ranking]
    tried: dict[int, float] = {}

    def measure(count: int) -> float:
        if count not in tried:
            nodes = kept.union(names[:count])
            tried[count] = loss(quantise(model, ranges, form=form, float_nodes=nodes))
        return tried[count]

    low, high = 0, 0  # low convolutions are too few, high may be enough
    while not measure(high) <= limit and high < len(names):
        low, high = high, min(len(names), 2 * high or 1)
    while high - low > 1:
        middle = (low + high) // 2
        if measure(middle) <= limit:
            high = middle
        else:
            low = middle
    added = tuple(names[:high])
    return FloatChoice(
        frozenset(kept.union(added)), added, measure(high), limit, dict(sorted(tried.items()))
    )


def _draw(
    model: onnx.ModelProto, images: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Each output of all ``images``, which run one at a time to spare memory."""
    session = open_session(model)
    source = model.graph.input[0].name
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    runs = [session.run(None, {source: np.repeat(image[None], batch, 0)}) for image in images]
    return [np.stack([maps[0] for maps in output]) for output in zip(*runs, strict=True)]


def _comparable(loss: float) -> float:
    """A loss that is not a number is the worst."""
    return float("inf") if np.isnan(loss) else loss
