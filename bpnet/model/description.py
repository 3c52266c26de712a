"""What a network costs and sees, read from its graph."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import keras

from bpnet.model.graph import Graph, Tensor, read_graph, without_wrapper

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
)
_SETTINGS = (  # of a layer, beside the shapes of its weights
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "groups",
    "pool_size",
    "size",
    "interpolation",
    "axis",
    "epsilon",
    "negative_slope",
    "max_value",
)
_GLOBAL = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


@dataclass(frozen=True)
class NetworkDescription:
    """Size and cost of a network at one input size."""

    parameters: int
    trainable_parameters: int
    height: int  # pixels
    width: int  # pixels
    gflops: float  # of one image, convolutions only; a multiplication and an addition are two
    receptive_field: int  # input pixels, along one side, that kernels let the last maps see
    sees_whole_image: bool  # beside that, by way of a mean over the image
    stride: int  # input pixels a map cell


@dataclass(frozen=True)
class _Extent:
    """What one tensor of the graph looks like for one image."""

    height: int
    width: int
    channels: int
    stride: float  # input pixels from one cell to the next
    field: float  # input pixels that a cell sees
    whole: bool = False  # whether a mean over the image has a part in it


def describe_network(model: keras.Model, height: int, width: int) -> NetworkDescription:
    """Parameters, GFLOPs and receptive field of a functional model for images (height, width)."""
    model = without_wrapper(model)
    graph = read_graph(model)
    extents, operations = _measure(graph, height, width)
    return NetworkDescription(
        parameters=model.count_params(),
        trainable_parameters=sum(int(weight.numpy().size) for weight in model.trainable_weights),
        height=height,
        width=width,
        gflops=sum(operations.values()) / 1e9,
        receptive_field=round(max(extents[tensor].field for tensor in graph.outputs)),
        sees_whole_image=any(extents[tensor].whole for tensor in graph.outputs),
        stride=_stride(graph, extents),
    )


def structure_digest(model: keras.Model) -> str:
    """SHA-256 of a network's layers, how they follow each other, and the shapes of their weights.

    Names and the values of weights are not in it, so every machine has the same.
    """
    graph = read_graph(without_wrapper(model))
    numbers = {step.output: number for number, step in enumerate(graph.steps)}
    layers = []
    for step in graph.steps:
        layer = step.layer
        settings = {name: getattr(layer, name) for name in _SETTINGS if hasattr(layer, name)}
        activation = getattr(getattr(layer, "activation", None), "__name__", None)
        shapes = [tuple(weight.shape) for weight in layer.weights]
        inputs = [numbers[tensor] for tensor in step.inputs]
        layers.append([type(layer).__name__, inputs, shapes, settings, activation])
    document = json.dumps([layers, [numbers[tensor] for tensor in graph.outputs]], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def operations_by_layer(model: keras.Model, height: int, width: int) -> dict[str, int]:
    """Operations for one image (height, width) of each layer that counts, by name.

    They are proportional to a convolution's input channels, and to its filters.
    """
    return _measure(read_graph(without_wrapper(model)), height, width)[1]


def _measure(graph: Graph, height: int, width: int) -> tuple[dict[Tensor, _Extent], dict[str, int]]:
    """The extents of all tensors, and the operations of each layer over all its calls."""
    extents: dict[Tensor, _Extent] = {}
    operations: dict[str, int] = {}
    for step in graph.steps:
        inputs = [extents[tensor] for tensor in step.inputs]
        if not inputs:
            channels = int(step.layer.output.shape[-1])
            extents[step.output] = _Extent(height, width, channels, 1.0, 1.0)
            continue
        extents[step.output] = extent = _after(step.layer, inputs)
        if isinstance(step.layer, (*_CONVOLUTIONS, keras.layers.Dense)):
            done = operations.get(step.layer.name, 0)
            operations[step.layer.name] = done + 2 * _multiplications(step.layer, inputs[0], extent)
    return extents, operations


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
    whole = any(extent.whole for extent in inputs) or isinstance(layer, _GLOBAL)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        stride /= layer.strides[0]
        field += (max(layer.kernel_size) - 1) * stride
    elif isinstance(layer, _CONVOLUTIONS):
        field += (max(layer.kernel_size) - 1) * layer.dilation_rate[0] * stride
        stride *= layer.strides[0]
    elif isinstance(layer, keras.layers.UpSampling2D):
        field += stride if layer.interpolation != "nearest" else 0
        stride /= layer.size[0]
    elif hasattr(layer, "pool_size"):
        field += (max(layer.pool_size) - 1) * stride
        stride *= layer.strides[0]
    rows, columns = shape[1:-1] if len(shape) == 4 else (1, 1)
    return _Extent(int(rows), int(columns), int(shape[-1]), stride, field, whole)


def _multiplications(layer: Any, before: _Extent, after: _Extent) -> int:
    """Multiplications of a convolution or a dense layer for one image."""
    if isinstance(layer, keras.layers.Dense):
        return after.height * after.width * before.channels * after.channels
    taps = int(layer.kernel_size[0]) * int(layer.kernel_size[1])
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return before.height * before.width * taps * before.channels * after.channels
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return after.height * after.width * taps * after.channels
    inputs = before.channels // int(layer.groups)
    return after.height * after.width * taps * inputs * after.channels
