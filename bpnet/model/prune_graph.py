"""Which channels of a network must live and die together.

Every convolution's filters are a *space* of channels. A tensor of the graph is a row of spaces: one
for most, several after a concatenation. Element-wise layers merge the spaces of their inputs: a
channel of a sum exists in both terms or in neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.graph import Step, Tensor, read_graph

Row = tuple[int, ...]  # the spaces of a tensor's channels, in order
Kept = dict[int, NDArray[np.intp]]  # remaining channels of each space, ascending

_PER_CHANNEL = (  # what happens to a channel depends on no other
    keras.layers.Activation,
    keras.layers.AveragePooling2D,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout2D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
ELEMENT_WISE = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Subtract,
)


@dataclass(frozen=True)
class ChannelGraph:
    """The channels of a network.

    Attributes:
        sizes: Channels of each space, by its number.
        filters: The spaces of each convolution's filters, by layer name, in graph order.
        inputs: The row of what each layer with weights of channels is given, by layer name.
        fixed: Spaces that must stay whole: the network's inputs and outputs, and the excluded.
    """

    sizes: Mapping[int, int]
    filters: Mapping[str, int]
    inputs: Mapping[str, Row]
    fixed: frozenset[int]

    def members(self) -> dict[int, list[str]]:
        """The convolutions of each space that may be pruned."""
        members: dict[int, list[str]] = {}
        for name, space in self.filters.items():
            if space not in self.fixed:
                members.setdefault(space, []).append(name)
        return members

    def kept_inputs(self, name: str, kept: Mapping[int, NDArray[np.intp]]) -> NDArray[np.intp]:
        """Indices of the input channels of a layer that remain; ``kept`` is by space."""
        offset, indices = 0, []
        for space in self.inputs[name]:
            indices.append(offset + kept[space])
            offset += self.sizes[space]
        return np.concatenate(indices)


def trace_channels(model: keras.Model, *, excluded: Iterable[str] = ()) -> ChannelGraph:
    """The channels of a functional model.

    Args:
        model: The network.
        excluded: Names of layers whose output must stay whole.

    Raises:
        ModelError: A layer is of a kind whose channels are not understood.
    """
    graph = read_graph(model)
    tracer = _Tracer()
    for step in graph.steps:
        tracer.follow(step)
    whole = {*graph.inputs, *graph.outputs}
    names = set(excluded)
    whole |= {step.output for step in graph.steps if step.layer.name in names}
    fixed = {tracer.root(space) for tensor in whole for space in tracer.rows[tensor]}
    fixed |= {tracer.root(space) for space in tracer.fixed}
    return ChannelGraph(
        sizes={tracer.root(space): size for space, size in tracer.sizes.items()},
        filters={name: tracer.root(space) for name, space in tracer.filters.items()},
        inputs={name: tuple(map(tracer.root, row)) for name, row in tracer.inputs.items()},
        fixed=frozenset(fixed),
    )


class _Tracer:
    """Follows the steps of a graph, naming and merging spaces on the way."""

    def __init__(self) -> None:
        self.rows: dict[Tensor, Row] = {}
        self.sizes: dict[int, int] = {}
        self.filters: dict[str, int] = {}
        self.inputs: dict[str, Row] = {}
        self.fixed: set[int] = set()
        self._merged: dict[int, int] = {}  # a space, and the one that it became part of

    def root(self, space: int) -> int:
        """The space that stands for ``space`` and all merged with it."""
        while space in self._merged:
            space = self._merged[space]
        return space

    def follow(self, step: Step) -> None:
        """Note the rows of a step's inputs and output."""
        layer, name = step.layer, step.layer.name
        rows = [self.rows[tensor] for tensor in step.inputs]
        if not rows:
            self.rows[step.output] = (self._space(int(layer.output.shape[-1])),)
            return
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise ModelError(f"{name} is channels_first; only channels_last can be pruned")
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            self._accept(step, depth=layer.depth_multiplier)
            self.rows[step.output] = rows[0]
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            self._accept(step, depth=getattr(layer, "groups", 1))
            if name not in self.filters:
                self.filters[name] = self._space(int(layer.filters))
            self.rows[step.output] = (self.filters[name],)
        elif isinstance(layer, keras.layers.Concatenate):
            if layer.axis not in (-1, 3):
                raise ModelError(f"{name} does not join channels; such networks cannot be pruned")
            self.rows[step.output] = tuple(space for row in rows for space in row)
        elif isinstance(layer, ELEMENT_WISE):
            self.rows[step.output] = self._merge_rows(rows)
        elif isinstance(layer, _PER_CHANNEL):
            if layer.weights:
                self._accept(step, depth=1)
            self.rows[step.output] = rows[0]
        else:
            raise ModelError(
                f"{name} is a {type(layer).__name__}: pruning does not know what becomes of its"
                " channels; prune a network that build_network made, or one of plain convolutions"
            )

    def _space(self, size: int) -> int:
        number = len(self.sizes)
        self.sizes[number] = size
        return number

    def _accept(self, step: Step, *, depth: int) -> None:
        """Note what a layer with weights is given; ``depth`` must be 1."""
        name, row = step.layer.name, self.rows[step.inputs[0]]
        if depth != 1:
            raise ModelError(
                f"{name} mixes channels in groups; only plain and depthwise convolutions"
                " (depth_multiplier 1) can be pruned"
            )
        if name in self.inputs:  # a layer called twice gets the same channels both times
            row = self._merge_rows([self.inputs[name], row])
        self.inputs[name] = row

    def _merge_rows(self, rows: list[Row]) -> Row:
        """The row of element-wise inputs, whose channels correspond."""
        sizes = [[self.sizes[space] for space in row] for row in rows]
        if any(other != sizes[0] for other in sizes):
            # Channels split differently, or one broadcast over the others: leave all whole.
            self.fixed.update(space for row in rows for space in row)
            return max(rows, key=lambda row: sum(self.sizes[space] for space in row))
        for row in rows[1:]:
            for first, other in zip(rows[0], row, strict=True):
                first, other = self.root(first), self.root(other)
                if first != other:
                    self._merged[other] = first
        return rows[0]
