"""Structured pruning: the filters that weigh least are removed, and all that hung on them.

The result is a plain network with fewer channels: same layers, same names.
"""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.graph import Tensor, copy_network, read_graph, without_wrapper
from bpnet.model.prune_compensation import compensate
from bpnet.model.prune_cost import find_threshold, operations_left, parameters_left
from bpnet.model.prune_graph import ChannelGraph, Kept, trace_channels
from bpnet.model.prune_norms import Norms, needed_responses, read_by_convolutions, space_norms
from bpnet.model.responses import Responses, measure_responses


@dataclass(frozen=True)
class PrunedLayer:
    """One row of the table: a convolution and its filters.

    Attributes:
        layer: Its name.
        kept: Its filters that stay.
        all: Its filters.
        norms: The smallest norm of the filters, the quartiles, the largest; None for a layer that
            may not be pruned.
    """

    layer: str
    kept: int
    all: int
    norms: tuple[float, ...] | None = None


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

    def keep(self, norms: Norms, threshold: float) -> NDArray[np.intp]:
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
    criterion: str = "weights",
    images: Iterable[NDArray[np.float32]] | None = None,
    compensation: bool = False,
    target_params: float | None = None,
    target_flops: float | None = None,
) -> PruneResult:
    """A smaller copy of a network; the network itself stays as it is.

    A filter has a norm, by the criterion, in units of its layer's norms; filters whose norm is not
    above the threshold go. The output layers stay whole. A filter without weights that still
    puts out a constant, by its bias or the batch normalisation behind it, counts as just above 0.

    Args:
        model: A functional model.
        threshold: Largest norm that goes.
        granularity: The filters left are a multiple of this, as hardware likes it.
        min_filters: Fewest filters left in a layer.
        normalizer: The unit: "max", the layer's largest norm; "L2", the L2 norm of the layer's
            norms divided by their number, which is not a mean but TAO's; or "energy", which makes
            the norm the root of the part of the layer's sum of squares that it and all smaller
            norms are.
        equalization: The norm of channels that several layers share element by element: "union"
            (the largest), "intersection" (the smallest), "arithmetic_mean" or "geometric_mean".
        excluded: Layers that stay whole, by name, with "." or "/".
        criterion: What a filter's norm is: "weights", the L2 norm of its kernel; "batch_norm", the
            same with what batch normalisation multiplies it by; "activation", its mean absolute
            response to ``images`` (https://arxiv.org/abs/1611.06440); "contribution", the root of
            its share in what the convolutions that read it are given on ``images``.
        images: Batches (N, H, W, 3), normalised; read once, where they are needed.
        compensation: Let the channels that stay take over from those that go, as ``images`` show
            that they can.
        target_params: Share of the parameters to keep; finds the threshold that leaves the largest
            network within it.
        target_flops: The same for the operations; with both, each is kept within.

    Raises:
        ModelError: Nothing can be pruned so: an unknown name or kind of layer, every layer
            excluded, a threshold above all norms or an unreachable target.
    """
    model = without_wrapper(model)
    channels = trace_channels(model, excluded=_known_layers(model, excluded))
    if not channels.members():
        raise ModelError("every layer is excluded from pruning; exclude fewer")
    needed = needed_responses(model, channels, criterion)
    if compensation:
        needed += read_by_convolutions(read_graph(model), channels)
    responses = _measure(model, needed, images)
    norms = space_norms(
        model,
        channels,
        criterion=criterion,
        normalizer=normalizer,
        equalization=equalization,
        responses=responses,
    )
    rule = _Rule(granularity, min_filters)
    choose = functools.partial(_choose, channels, norms, rule)
    targets = {"params": target_params, "flops": target_flops}
    if found := _reach(model, channels, norms, choose, targets):
        threshold = max(found)
    else:
        _check_threshold(threshold, norms)
    kept = choose(threshold)
    pruned = _rebuild(model, channels, kept)
    if compensation:
        compensate(model, pruned, channels, kept, responses)
    table = tuple(
        PrunedLayer(name, len(kept[space]), channels.sizes[space], _quantiles(norms.get(space)))
        for name, space in channels.filters.items()
    )
    return PruneResult(pruned, table, model.count_params(), pruned.count_params(), threshold)


def _reach(
    model: keras.Model,
    channels: ChannelGraph,
    norms: Mapping[int, Norms],
    choose: Callable[[float], Kept],
    targets: Mapping[str, float | None],
) -> list[float]:
    """The thresholds that reach the targets that are given, of "params" and "flops"."""
    measures = {"params": parameters_left, "flops": operations_left}
    return [
        find_threshold(measures[named](model, channels), choose, norms, target=target, named=named)
        for named, target in targets.items()
        if target is not None
    ]


def _check_threshold(threshold: float, norms: Mapping[int, Norms]) -> None:
    largest = max(float(values.max()) for values in norms.values())
    if not threshold < largest:  # also when it is NaN
        raise ModelError(
            f"the threshold {threshold:g} is not below any filter's norm (the largest is"
            f" {largest:.3g}), so every layer would go; choose a lower one"
        )


def _quantiles(norms: Norms | None) -> tuple[float, ...] | None:
    if norms is None:
        return None
    return tuple(np.quantile(norms, (0, 0.25, 0.5, 0.75, 1)).tolist())


def _measure(
    model: keras.Model, tensors: Sequence[Tensor], images: Iterable[NDArray[np.float32]] | None
) -> dict[Tensor, Responses]:
    """The responses that are needed."""
    if not tensors:
        return {}
    if images is None:
        raise ModelError(
            "this way of pruning looks at the network's responses; give it images (--cal_image_dir)"
        )
    return measure_responses(model, tensors, images)


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


def _choose(
    channels: ChannelGraph, norms: Mapping[int, Norms], rule: _Rule, threshold: float
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
