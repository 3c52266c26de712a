"""What a network costs and sees, read from its graph."""

from dataclasses import dataclass
from typing import Any

import keras

from bpnet.model.graph import Graph, Tensor, read_graph, without_wrapper

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
)


@dataclass(frozen=True)
class NetworkDescription:
    """Size and cost of a network at one input size."""

    parameters: int
    trainable_parameters: int
    height: int  # pixels
    width: int  # pixels
    gflops: float  # of one image; a multiplication and an addition count as two
    receptive_field: int  # input pixels, along one side, that the last maps see
    stride: int  # input pixels a map cell


@dataclass(frozen=True)
class _Extent:
    """What one tensor of the graph looks like for one image."""

    height: int
    width: int
    channels: int
    stride: float  # input pixels from one cell to the next
    field: float  # input pixels that a cell sees


def describe_network(model: keras.Model, height: int, width: int) -> NetworkDescription:
    """Parameters, GFLOPs and receptive field of a functional model for images (height, width)."""
    model = without_wrapper(model)
    graph = read_graph(model)
    extents: dict[Tensor, _Extent] = {}
    operations = 0
    for step in graph.steps:
        inputs = [extents[tensor] for tensor in step.inputs]
        if not inputs:
            channels = int(step.layer.output.shape[-1])
            extents[step.output] = _Extent(height, width, channels, 1.0, 1.0)
            continue
        extents[step.output] = extent = _after(step.layer, inputs)
        if isinstance(step.layer, _CONVOLUTIONS):
            operations += 2 * _multiplications(step.layer, inputs[0], extent)
    return NetworkDescription(
        parameters=model.count_params(),
        trainable_parameters=sum(int(weight.numpy().size) for weight in model.trainable_weights),
        height=height,
        width=width,
        gflops=operations / 1e9,
        receptive_field=round(max(extents[tensor].field for tensor in graph.outputs)),
        stride=_stride(graph, extents),
    )


def _stride(graph: Graph, extents: dict[Tensor, _Extent]) -> int:
    """Input pixels a cell of the coarsest output."""
    return round(max(extents[tensor].stride for tensor in graph.outputs))


def _after(layer: Any, inputs: list[_Extent]) -> _Extent:
    """The extent of a layer's output."""
    first = inputs[0]
    stride = max(extent.stride for extent in inputs)
    field = max(extent.field for extent in inputs)
    shape = layer.compute_output_shape(
        [(1, x.height, x.width, x.channels) for x in inputs]
        if len(inputs) > 1
        else (1, first.height, first.width, first.channels)
    )
    if isinstance(layer, keras.layers.Conv2DTranspose):
        stride /= layer.strides[0]
        field += (layer.kernel_size[0] - 1) * stride
    elif isinstance(layer, _CONVOLUTIONS):
        field += (layer.kernel_size[0] - 1) * layer.dilation_rate[0] * stride
        stride *= layer.strides[0]
    elif hasattr(layer, "pool_size"):
        field += (layer.pool_size[0] - 1) * stride
        stride *= layer.strides[0]
    return _Extent(int(shape[1]), int(shape[2]), int(shape[3]), stride, field)


def _multiplications(layer: Any, before: _Extent, after: _Extent) -> int:
    """Multiplications of a convolution for one image."""
    taps = int(layer.kernel_size[0]) * int(layer.kernel_size[1])
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return before.height * before.width * taps * before.channels * after.channels
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return after.height * after.width * taps * after.channels
    inputs = before.channels // int(layer.groups)
    return after.height * after.width * taps * inputs * after.channels
