"""How much a filter weighs: the norms that pruning compares with its threshold."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.graph import Graph, Step, Tensor, read_graph
from bpnet.model.prune_graph import ChannelGraph
from bpnet.model.prune_silence import silent_channels
from bpnet.model.responses import Responses

Norms = NDArray[np.float64]  # (C,), a filter each
LEAST = float(np.finfo(np.float64).tiny)  # of a filter without weights that still says something


_ACTIVATION = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.SpatialDropout2D,
)


def needed_responses(model: keras.Model, channels: ChannelGraph, criterion: str) -> list[Tensor]:
    """The tensors that must be measured on images for a criterion.

    Raises:
        ModelError: The criterion is not known.
    """
    graph = read_graph(model)
    if criterion in ("weights", "batch_norm"):
        return []
    if criterion == "activation":
        readers = readers_of(graph)
        names = [name for names in channels.members().values() for name in names]
        return [_end_of_activation(name, readers) for name in names]
    if criterion == "contribution":
        return read_by_convolutions(graph, channels)
    raise ModelError(
        f"the criterion {criterion!r} is not known; use weights, batch_norm, activation or"
        " contribution"
    )


def read_by_convolutions(graph: Graph, channels: ChannelGraph) -> list[Tensor]:
    """The tensors that convolutions, not depthwise ones, read."""
    steps = [step for step in graph.steps if step.layer.name in channels.filters]
    return list(dict.fromkeys(step.inputs[0] for step in steps))


def space_norms(
    model: keras.Model,
    channels: ChannelGraph,
    *,
    criterion: str,
    normalizer: str,
    equalization: str,
    responses: Mapping[Tensor, Responses],
) -> dict[int, Norms]:
    """The norms of the channels that may be pruned, by space.

    A norm is 0 only where nobody would miss the channel, so that a threshold of 0 changes nothing.

    Args:
        model: The network.
        channels: Of it.
        criterion: What a filter's norm is: "weights", "batch_norm", "activation", "contribution".
        normalizer: Its unit: "max", "L2" or "energy".
        equalization: How the norms of layers join that share channels. Contributions need none:
            they are those of the shared channels.
        responses: Of the tensors of ``needed_responses``.

    Raises:
        ModelError: A choice is not known.
    """
    graph = read_graph(model)
    readers = readers_of(graph)

    def norms_of(name: str) -> Norms:
        if criterion == "activation":
            return responses[_end_of_activation(name, readers)].mean_absolute
        norms = filter_norms(model.get_layer(name))
        return norms * _normalisation(name, readers) if criterion == "batch_norm" else norms

    if criterion == "contribution":
        members = {space: [norms] for space, norms in _contributions(graph, channels, responses)}
    else:
        members = {
            space: [norms_of(name) for name in names] for space, names in channels.members().items()
        }
    silent = silent_channels(model, channels)
    found = {}
    for space, each in members.items():
        norms = _joint_norms([_in_units(x, normalizer) for x in each], equalization)
        found[space] = np.where((norms <= 0) & ~silent[space], LEAST, norms)
    return found


def readers_of(graph: Graph) -> dict[Tensor, list[Step]]:
    """The steps that read each tensor."""
    readers: dict[Tensor, list[Step]] = {step.output: [] for step in graph.steps}
    for step in graph.steps:
        for tensor in step.inputs:
            readers[tensor].append(step)
    return readers


def normalisation_behind(
    name: str, readers: Mapping[Tensor, list[Step]]
) -> keras.layers.BatchNormalization | None:
    """The batch normalisation that alone reads a convolution, and only it."""
    following = readers[name, 0]
    if len(following) == 1 and (name, 1) not in readers:
        layer = following[0].layer
        if isinstance(layer, keras.layers.BatchNormalization) and (layer.name, 1) not in readers:
            return layer
    return None


def _normalisation(name: str, readers: Mapping[Tensor, list[Step]]) -> Norms | float:
    """What batch normalisation multiplies the filters of a convolution by, without its sign.

    Its factor gamma alone is the norm of Network Slimming (https://arxiv.org/abs/1708.06519).
    """
    layer = normalisation_behind(name, readers)
    if layer is None:
        return 1.0
    variance = layer.moving_variance.numpy().astype(np.float64)
    gamma = layer.gamma.numpy() if layer.scale else 1.0
    return np.asarray(np.abs(gamma) / np.sqrt(variance + layer.epsilon))


def _end_of_activation(name: str, readers: Mapping[Tensor, list[Step]]) -> Tensor:
    """What the filters of a convolution are behind its normalisation and activation."""
    tensor = (name, 0)
    while len(readers[tensor]) == 1 and isinstance(readers[tensor][0].layer, _ACTIVATION):
        tensor = readers[tensor][0].output
    return tensor


def _contributions(
    graph: Graph, channels: ChannelGraph, responses: Mapping[Tensor, Responses]
) -> Iterator[tuple[int, Norms]]:
    """The root of each channel's shares in what the convolutions that read it are given.

    A share is the mean square of the channel times that of the weights that read it, over the sum
    of all the convolution reads: the product of Wanda (https://arxiv.org/abs/2306.11695), a channel
    instead of a weight.
    """
    shares = {space: np.zeros(channels.sizes[space]) for space in channels.members()}
    for step in graph.steps:
        name = step.layer.name
        if name not in channels.filters:
            continue
        energy = responses[step.inputs[0]].mean_square * _reading_weights(step.layer)
        energy /= energy.sum() or 1.0
        offset = 0
        for space in channels.inputs[name]:
            size = channels.sizes[space]
            if space in shares:
                shares[space] += energy[offset : offset + size]
            offset += size
    for space, share in shares.items():
        yield space, np.sqrt(share)


def _reading_weights(layer: Any) -> Norms:
    """The sum of squares of the weights that read each input channel."""
    axes = (0, 1, 2) if isinstance(layer, keras.layers.Conv2DTranspose) else (0, 1, 3)
    return np.asarray(np.square(layer.kernel.numpy().astype(np.float64)).sum(axis=axes))


def filter_norms(layer: Any) -> Norms:
    """The L2 norm of each filter of a convolution."""
    kernel = layer.kernel.numpy().astype(np.float64)
    axis = 2 if isinstance(layer, keras.layers.Conv2DTranspose) else 3
    return np.asarray(np.sqrt(np.square(np.moveaxis(kernel, axis, -1)).sum(axis=(0, 1, 2))))


def _in_units(norms: Norms, normalizer: str) -> Norms:
    """The norms in units of their layer's; 0 if all are 0."""
    if normalizer == "energy":
        return _energy(norms)
    if normalizer == "max":
        unit = norms.max()
    elif normalizer == "L2":
        unit = np.linalg.norm(norms) / len(norms)
    else:
        raise ModelError(f"the normalizer {normalizer!r} is not known; use max, L2 or energy")
    return np.asarray(norms / unit if unit > 0 else norms)


def _energy(norms: Norms) -> Norms:
    """The share of the layer's energy, as a root, that goes with a filter and all below it.

    So a threshold takes the same part of every layer's energy, whether few filters hold it or all.
    """
    order = np.argsort(norms, kind="stable")
    total = np.square(norms).sum()
    below = np.cumsum(np.square(norms[order])) / (total if total > 0 else 1.0)
    found = np.empty_like(norms)
    found[order] = np.sqrt(below)
    return found


def _joint_norms(norms: Sequence[Norms], equalization: str) -> Norms:
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
