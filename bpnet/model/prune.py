"""Structured pruning: the filters that weigh least are removed, and all that hung on them.

The result is a plain network with fewer channels: same layers, same names.
"""

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.graph import copy_network, without_wrapper
from bpnet.model.prune_cost import find_threshold, operations_left, parameters_left
from bpnet.model.prune_graph import ChannelGraph, Kept, trace_channels


@dataclass(frozen=True)
class PrunedLayer:
    """One row of the table: a convolution and its filters."""

    layer: str
    kept: int
    all: int


@dataclass(frozen=True)
class PruneResult:
    """A pruned network and what was done."""

    model: keras.Model
    table: tuple[PrunedLayer, ...]
    parameters_before: int
    parameters_after: int
    threshold: float


@dataclass(frozen=True)
class _Rule:
    """How many filters of a space stay."""

    granularity: int
    min_filters: int

    def keep(self, norms: NDArray[np.float64], threshold: float) -> NDArray[np.intp]:
        """Indices, ascending, of the filters that stay: those above the threshold, or the largest.

        They are at least ``min_filters`` and a multiple of ``granularity``, or else all.
        """
        count = max(int((norms > threshold).sum()), min(self.min_filters, len(norms)))
        count = min(-(-count // self.granularity) * self.granularity, len(norms))
        largest = np.argsort(-norms, kind="stable")[:count]
        return np.sort(largest)


def prune(
    model: keras.Model,
    *,
    threshold: float = 0.1,
    granularity: int = 8,
    min_filters: int = 16,
    normalizer: str = "max",
    equalization: str = "union",
    excluded: Sequence[str] = (),
    target_params: float | None = None,
    target_flops: float | None = None,
) -> PruneResult:
    """A smaller copy of a network; the network itself stays as it is.

    A filter's norm is the L2 norm of its kernel, in units of its layer's norms; filters whose norm
    is not above the threshold go. The output layers stay whole.

    Args:
        model: A functional model.
        threshold: Largest norm that goes.
        granularity: The filters left are a multiple of this, as hardware likes it.
        min_filters: Fewest filters left in a layer.
        normalizer: The unit: "max", the layer's largest norm, or "L2", the L2 norm of the layer's
            norms divided by their number, which is not a mean but TAO's.
        equalization: The norm of channels that several layers share element by element: "union"
            (the largest), "intersection" (the smallest), "arithmetic_mean" or "geometric_mean".
        excluded: Layers that stay whole, by name, with "." or "/".
        target_params: Share of the parameters to keep; finds the threshold that leaves the largest
            network within it.
        target_flops: The same for the operations; with both, each is kept within.

    Raises:
        ModelError: Nothing can be pruned so: an unknown name or kind of layer, every layer
            excluded, a threshold above all norms or an unreachable target.
    """
    model = without_wrapper(model)
    channels = trace_channels(model, excluded=_known_layers(model, excluded))
    members = channels.members()
    if not members:
        raise ModelError("every layer is excluded from pruning; exclude fewer")
    norms = {
        space: _joint_norms(
            [_filter_norms(model.get_layer(name), normalizer) for name in names], equalization
        )
        for space, names in members.items()
    }
    rule = _Rule(granularity, min_filters)
    choose = functools.partial(_choose, channels, norms, rule)
    targets = [
        find_threshold(measure(model, channels), choose, norms, target=target, named=named)
        for named, target, measure in (
            ("params", target_params, parameters_left),
            ("flops", target_flops, operations_left),
        )
        if target is not None
    ]
    if targets:
        threshold = max(targets)
    else:
        largest = max(float(values.max()) for values in norms.values())
        if not threshold < largest:  # also when it is NaN
            raise ModelError(
                f"the threshold {threshold:g} is not below any filter's norm (the largest is"
                f" {largest:.3g}), so every layer would go; choose a lower one"
            )
    kept = choose(threshold)
    pruned = _rebuild(model, channels, kept)
    table = tuple(
        PrunedLayer(name, len(kept[space]), channels.sizes[space])
        for name, space in channels.filters.items()
    )
    return PruneResult(pruned, table, model.count_params(), pruned.count_params(), threshold)


def _known_layers(model: keras.Model, names: Sequence[str]) -> list[str]:
    """The names in our spelling, each known to be a layer's."""
    known = [layer.name for layer in model.layers]
    found = []
    for name in names:
        own = name.replace("/", ".")
        if own not in known:
            close = difflib.get_close_matches(own, known)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it has {known[1]}, ..."
            raise ModelError(f"the network has no layer {name!r} to exclude; {hint}")
        found.append(own)
    return found


def _filter_norms(layer: Any, normalizer: str) -> NDArray[np.float64]:
    """The L2 norm of each filter of a convolution, in units of the layer's; 0 if all are 0."""
    kernel = layer.kernel.numpy().astype(np.float64)
    axis = 2 if isinstance(layer, keras.layers.Conv2DTranspose) else 3
    norms = np.sqrt(np.square(np.moveaxis(kernel, axis, -1)).sum(axis=(0, 1, 2)))
    if normalizer == "max":
        unit = norms.max()
    elif normalizer == "L2":
        unit = np.linalg.norm(norms) / len(norms)
    else:
        raise ModelError(f"the normalizer {normalizer!r} is not known; use max or L2")
    return np.asarray(norms / unit if unit > 0 else norms)


def _joint_norms(norms: list[NDArray[np.float64]], equalization: str) -> NDArray[np.float64]:
    """One norm a channel for layers whose outputs meet element by element."""
    stacked = np.stack(norms)
    if equalization == "union":
        joint = stacked.max(axis=0)
    elif equalization == "intersection":
        joint = stacked.min(axis=0)
    elif equalization == "arithmetic_mean":
        joint = stacked.mean(axis=0)
    elif equalization == "geometric_mean":
        joint = np.prod(stacked, axis=0) ** (1 / len(norms))
    else:
        raise ModelError(
            f"the equalization criterion {equalization!r} is not known; use union, intersection,"
            " arithmetic_mean or geometric_mean"
        )
    return np.asarray(joint)


def _choose(
    channels: ChannelGraph, norms: Mapping[int, NDArray[np.float64]], rule: _Rule, threshold: float
) -> Kept:
    """The channels of every space that stay."""
    return {
        space: rule.keep(norms[space], threshold) if space in norms else np.arange(size)
        for space, size in channels.sizes.items()
    }


def _rebuild(model: keras.Model, channels: ChannelGraph, kept: Kept) -> keras.Model:
    """A copy of the network with the channels kept, weights included."""

    def with_filters(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
        if layer.name in channels.filters:
            config["filters"] = len(kept[channels.filters[layer.name]])
        return config

    pruned = copy_network(model, change=with_filters)
    for name in channels.inputs:
        source, target = model.get_layer(name), pruned.get_layer(name)
        inputs = channels.kept_inputs(name, kept)
        outputs = kept[channels.filters[name]] if name in channels.filters else inputs
        for old, new in zip(source.weights, target.weights, strict=True):
            new.assign(_cut(source, old.numpy(), inputs, outputs))
    return pruned


def _cut(
    layer: Any, value: NDArray[Any], inputs: NDArray[np.intp], outputs: NDArray[np.intp]
) -> NDArray[Any]:
    """The part of one variable of a layer that belongs to the channels kept."""
    if value.ndim == 1:  # a bias, or the scales and means of a batch normalisation
        return value[outputs]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return value[:, :, inputs]
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return value[:, :, outputs][:, :, :, inputs]
    return value[:, :, inputs][:, :, :, outputs]
