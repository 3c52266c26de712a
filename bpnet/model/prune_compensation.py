"""The layers left take over, as far as they can, what pruned channels told the layers behind them.

A pruned channel is predicted, by least squares over the places of images, from the channels that
stay beside it; its weights then go to those, and the constant part into the bias. This rebuilds
what a convolution reads as He et al. do (https://arxiv.org/abs/1707.06168), but in closed form and
for a whole network at once.
"""

import collections
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.model.graph import Tensor, read_graph
from bpnet.model.prune_graph import ChannelGraph, Kept
from bpnet.model.prune_norms import normalisation_behind, readers_of
from bpnet.model.responses import Responses

RIDGE = 1e-4  # of the channels' mean square, added to each: keeps the weights found small
PLACES = 10  # that a channel must have been seen at for each weight that is fitted

Array = NDArray[np.float64]


def compensate(
    model: keras.Model,
    pruned: keras.Model,
    channels: ChannelGraph,
    kept: Kept,
    responses: Mapping[Tensor, Responses],
) -> None:
    """Change the weights of ``pruned`` so that its layers put out what those of ``model`` do.

    Layers that are called more than once, that lost no input, or that were seen at too few places
    (those behind a mean over the image) stay as they are.

    Args:
        model: The whole network.
        pruned: Its copy with the channels kept.
        channels: Of ``model``.
        kept: The channels of ``pruned``.
        responses: Of ``model``, for the tensors that its convolutions read.
    """
    graph = read_graph(model)
    readers = readers_of(graph)
    calls = collections.Counter(step.layer.name for step in graph.steps)
    for step in graph.steps:
        name = step.layer.name
        if name not in channels.filters or calls[name] > 1:
            continue
        seen, stays = responses[step.inputs[0]], channels.kept_inputs(name, kept)
        gone = np.setdiff1d(np.arange(len(seen.mean_absolute)), stays)
        if not len(gone) or seen.places < PLACES * len(stays):
            continue
        target, behind = pruned.get_layer(name), normalisation_behind(name, readers)
        constant = len(seen.moments) - 1
        # A transposed convolution spreads a constant unevenly, so none can go into its bias.
        transposed = isinstance(target, keras.layers.Conv2DTranspose)
        has_bias = not transposed and (step.layer.use_bias or behind is not None)
        predicted = _predict(seen.moments, gone, np.append(stays, constant) if has_bias else stays)
        lost = _reading(step.layer)[:, :, gone][..., kept[channels.filters[name]]]
        added = np.einsum("kg,hwgf->hwkf", predicted, lost)
        target.kernel.assign(target.kernel.numpy() + _stored(target, added[:, :, : len(stays)]))
        bias = added[:, :, len(stays) :].sum(axis=(0, 1, 2))
        if not has_bias:
            continue
        if step.layer.use_bias:
            target.bias.assign(target.bias.numpy() + bias)
        elif behind is not None:
            mean = pruned.get_layer(behind.name).moving_mean
            mean.assign(mean.numpy() - bias)


def _predict(moments: Array, gone: NDArray[np.intp], given: NDArray[np.intp]) -> Array:
    """Weights (given, gone) that predict channels from others, by their mean products."""
    squares = moments[np.ix_(given, given)]
    ridge = RIDGE * np.trace(squares) / len(given)
    if ridge == 0.0:  # nothing is ever given, so nothing can be predicted
        return np.zeros((len(given), len(gone)))
    return np.asarray(
        np.linalg.solve(squares + ridge * np.eye(len(given)), moments[np.ix_(given, gone)])
    )


def _reading(layer: Any) -> Array:
    """A convolution's kernel (h, w, inputs, filters)."""
    return _stored(layer, layer.kernel.numpy().astype(np.float64))


def _stored(layer: Any, kernel: Array) -> Array:
    """A kernel (h, w, inputs, filters) as the layer stores it, or the other way round."""
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    return kernel.swapaxes(2, 3) if transposed else kernel
