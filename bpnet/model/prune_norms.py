"""How much a filter weighs: the norms that pruning compares with its threshold."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.prune_graph import ChannelGraph
from bpnet.model.prune_silence import silent_channels

Norms = NDArray[np.float64]  # (C,), a filter each
LEAST = float(np.finfo(np.float64).tiny)  # of a filter without weights that still says something


def space_norms(
    model: keras.Model, channels: ChannelGraph, *, normalizer: str, equalization: str
) -> dict[int, Norms]:
    """The norms of the channels that may be pruned, by space.

    A norm is 0 only where nobody would miss the channel, so that a threshold of 0 changes nothing.

    Raises:
        ModelError: A choice is not known.
    """
    joint = {
        space: _joint_norms(
            [_in_units(filter_norms(model.get_layer(name)), normalizer) for name in names],
            equalization,
        )
        for space, names in channels.members().items()
    }
    silent = silent_channels(model, channels)
    return {
        space: np.where((norms <= 0) & ~silent[space], LEAST, norms)
        for space, norms in joint.items()
    }


def filter_norms(layer: Any) -> Norms:
    """The L2 norm of each filter of a convolution."""
    kernel = layer.kernel.numpy().astype(np.float64)
    axis = 2 if isinstance(layer, keras.layers.Conv2DTranspose) else 3
    return np.asarray(np.sqrt(np.square(np.moveaxis(kernel, axis, -1)).sum(axis=(0, 1, 2))))


def _in_units(norms: Norms, normalizer: str) -> Norms:
    """The norms in units of their layer's; 0 if all are 0."""
    if normalizer == "max":
        unit = norms.max()
    elif normalizer == "L2":
        unit = np.linalg.norm(norms) / len(norms)
    else:
        raise ModelError(f"the normalizer {normalizer!r} is not known; use max or L2")
    return np.asarray(norms / unit if unit > 0 else norms)


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
