"""What a pruned network would cost, and the threshold that reaches a cost, before it is built."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.description import operations_by_layer
from bpnet.model.prune_graph import ChannelGraph, Kept

SIZE = 256  # pixels, the side of the image that operations are counted for

Cost = Callable[[Kept], float]


def parameters_left(model: keras.Model, channels: ChannelGraph) -> Cost:
    """The share of the network's parameters that channels kept make up."""
    total = int(model.count_params())
    return lambda kept: count_parameters(model, channels, kept) / total


def operations_left(model: keras.Model, channels: ChannelGraph) -> Cost:
    """The share of the network's operations that channels kept make up."""
    operations = operations_by_layer(model, SIZE, SIZE)
    total = sum(operations.values())

    def share(kept: Kept) -> float:
        done = 0.0
        for name, own in operations.items():
            row = channels.inputs[name]
            left = sum(len(kept[x]) for x in row) / sum(channels.sizes[x] for x in row)
            if name in channels.filters:  # not of a depthwise convolution
                space = channels.filters[name]
                left *= len(kept[space]) / channels.sizes[space]
            done += own * left
        return done / total

    return share


def count_parameters(model: keras.Model, channels: ChannelGraph, kept: Kept) -> int:
    """Parameters that a network would have."""
    total = 0
    for name in channels.inputs:
        layer = model.get_layer(name)
        inputs = sum(len(kept[space]) for space in channels.inputs[name])
        if isinstance(layer, keras.layers.BatchNormalization):
            total += len(layer.weights) * inputs
            continue
        outputs = len(kept[channels.filters[name]]) if name in channels.filters else 1
        biases = (outputs if name in channels.filters else inputs) if layer.use_bias else 0
        total += int(np.prod(layer.kernel_size)) * inputs * outputs + biases
    return total


def find_threshold(
    cost: Cost,
    choose: Callable[[float], Kept],
    norms: Mapping[int, NDArray[np.float64]],
    *,
    target: float,
    named: str,
) -> float:
    """The lowest threshold that leaves at most the share ``target``.

    Args:
        cost: Share of the network that channels kept make up.
        choose: The channels that a threshold keeps.
        norms: Of the channels, by space.
        target: In (0, 1].
        named: What the share is of, "params" or "flops".

    Raises:
        ModelError: ``target`` is no share, or cannot be reached.
    """
    if not 0 < target <= 1:
        raise ModelError(f"target_{named} is a share of the network, in (0, 1], not {target}")
    # The network changes only where the threshold passes a norm, and never grows with it.
    candidates = np.unique(np.concatenate([[0.0], *norms.values()]))

    def share(index: int) -> float:
        return cost(choose(float(candidates[index])))

    low, high = 0, len(candidates) - 1
    if share(high) > target:
        what = {"params": "parameters", "flops": "operations"}[named]
        raise ModelError(
            f"pruning leaves at least {share(high):.3f} of the {what} here, above the target"
            f" {target:g}; lower the minimum number of filters or exclude fewer layers"
        )
    while low < high:
        middle = (low + high) // 2
        if share(middle) <= target:
            high = middle
        else:
            low = middle + 1
    # Halfway to the next norm, so that the number survives being printed and typed in again.
    neighbours: list[float] = candidates[low : low + 2].tolist()
    return sum(neighbours) / len(neighbours)
