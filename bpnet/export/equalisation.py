"""Equal ranges for the channels that depthwise convolutions read, at no cost.

Int8 has one scale for a whole activation. A depthwise convolution never mixes channels, and
training gives them very different ranges: with one scale most have few steps left. Channel c of a
convolution's output may be multiplied by any positive number if the depthwise weights of channel c
are divided by it, through a ReLU too; weights have a scale for each channel, so they lose nothing
(M. Nagel et al., https://arxiv.org/abs/1906.04721, without its trade-off).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from bpnet.export.graph import constants, consumers, producers

LARGEST_FACTOR = 1024.0  # by which a channel grows


@dataclass(frozen=True)
class DepthwiseInput:
    """An activation whose channels may be scaled one by one.

    Attributes:
        channels: How many.
        written: The tensors that are scaled, the convolution's output and that behind its ReLU.
        producer: Weights and bias of the convolution that writes it.
        readers: Weights of the depthwise convolutions that read it.
    """

    channels: int
    written: tuple[str, ...]
    producer: tuple[str, ...]
    readers: tuple[str, ...]


def depthwise_inputs(model: onnx.ModelProto) -> dict[str, DepthwiseInput]:
    """The activations that a convolution writes and depthwise convolutions alone read, by name."""
    weights, readers, writers = constants(model), consumers(model), producers(model)
    shown = {one.name for one in model.graph.output}
    found = {}
    for name, nodes in readers.items():
        written, node = [name], writers.get(name)
        if node is not None and node.op_type == "Relu":
            written.append(node.input[0])
            node = writers.get(node.input[0])
        if node is None or node.op_type != "Conv" or node.input[1] not in weights:
            continue
        channels = len(weights[node.input[1]])
        if not all(_is_depthwise(each, name, channels, weights) for each in nodes):
            continue
        producer = tuple(constant for constant in node.input[1:] if constant)
        kernels = tuple(each.input[1] for each in nodes)
        fixed = all(one in weights and len(readers[one]) == 1 for one in (*producer, *kernels))
        alone = all(len(readers[tensor]) == 1 for tensor in written[1:])
        if fixed and alone and not shown.intersection(written):
            found[name] = DepthwiseInput(channels, tuple(written), producer, kernels)
    return found


def equalise(
    model: onnx.ModelProto, channel_ranges: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Scale channels in ``model`` so that all of a tensor have the range of the largest.

    Args:
        model: Its weights are changed; what it computes is not.
        channel_ranges: Largest absolute value of each channel (C,), for some ``depthwise_inputs``.

    Returns:
        The new ranges of the tensors that were scaled.
    """
    inputs = depthwise_inputs(model)
    weights = constants(model)
    ranges: dict[str, float] = {}
    changed: dict[str, NDArray[np.float32]] = {}
    for name, channels in channel_ranges.items():
        place = inputs.get(name)
        target = float(channels.max(initial=0.0))
        if place is None or len(channels) != place.channels or target == 0.0:
            continue
        floor = target / LARGEST_FACTOR
        factors = np.where(channels > 0, target / np.maximum(channels, floor), 1.0)
        for constant in place.producer:
            changed[constant] = _scaled(changed.get(constant, weights[constant]), factors)
        for constant in place.readers:
            kernel = changed.get(constant, weights[constant])
            multiplier = len(kernel) // place.channels
            changed[constant] = _scaled(kernel, 1 / np.repeat(factors, multiplier))
        ranges |= dict.fromkeys(place.written, target)
    for one in model.graph.initializer:
        if one.name in changed:
            one.CopyFrom(onnx.numpy_helper.from_array(changed[one.name], one.name))
    return ranges


def _is_depthwise(
    node: onnx.NodeProto, source: str, channels: int, weights: Mapping[str, NDArray[np.float32]]
) -> bool:
    """Whether ``node`` is a convolution of ``source`` that has a group for every channel."""
    groups = [one.i for one in node.attribute if one.name == "group"]
    return (
        node.op_type == "Conv"
        and node.input[0] == source
        and node.input[1] in weights
        and groups == [channels]
    )


def _scaled(values: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """``values`` (C, ...) with each channel multiplied by its factor (C,)."""
    shaped = factors.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values * shaped, dtype=np.float32)
