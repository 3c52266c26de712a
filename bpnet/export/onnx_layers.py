"""Keras layers as ONNX nodes.

Keras keeps channels last; what is written keeps them first, as ONNX does, so that no Transpose is
needed between the layers of any network.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.export.onnx_activations import clip, write_activation
from bpnet.export.onnx_writer import LayerWriter, Shape, slide
from bpnet.model.graph import read_graph

Write = Callable[[LayerWriter, Any, Sequence[str]], str]
layers = keras.layers


def write_network(writer: LayerWriter, network: keras.Model, image: str) -> list[str]:
    """Append the layers of ``network``; returns the tensors of its outputs, in their order.

    Args:
        writer: Knows the shape of ``image``.
        network: A functional model with one input.
        image: The tensor (N, C, H, W) that the network is given.

    Raises:
        ModelError: A layer is of a kind, or has a setting, that cannot be written.
    """
    for operation in getattr(network, "operations", ()):
        kind = type(operation)
        if kind not in WRITERS and not isinstance(operation, layers.InputLayer | keras.Model):
            known = ", ".join(sorted(one.__name__ for one in WRITERS))
            raise ModelError(
                f"{operation.name} of the network is a {kind.__name__}, which export cannot write; "
                f"it writes {known}"
            )
    graph = read_graph(network)
    tensors = dict.fromkeys(graph.inputs, image)
    for step in graph.steps:
        if step.output in tensors:
            continue
        given = [tensors[one] for one in step.inputs]
        if isinstance(step.layer, keras.Model):
            results = write_network(writer, step.layer, given[0])
            if len(results) > 1:
                raise ModelError(
                    f"{step.layer.name} is a network of {len(results)} outputs inside the network; "
                    "export takes inner networks of one output"
                )
            tensors[step.output] = results[0]
        else:
            _check_channels_last(step.layer)
            tensors[step.output] = WRITERS[type(step.layer)](writer, step.layer, given)
    return [tensors[one] for one in graph.outputs]


def _check_channels_last(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ModelError(
            f"{layer.name} of the network is {layer.data_format}; export takes channels_last"
        )
    axis = getattr(layer, "axis", -1)
    if axis not in (-1, 3):
        raise ModelError(f"{layer.name} of the network works on axis {axis}, not on the channels")


def _convolution(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    weight = _values(layer.kernel).transpose(3, 2, 0, 1)  # (O, I / groups, kh, kw)
    return _convolve(writer, layer, inputs[0], weight, group=layer.groups)


def _depthwise(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    kernel = _values(layer.kernel)  # (kh, kw, C, M)
    height, width, channels, multiplier = kernel.shape
    weight = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolve(writer, layer, inputs[0], weight, group=channels)


def _convolve(
    writer: LayerWriter, layer: Any, source: str, weight: NDArray[np.float32], *, group: int
) -> str:
    result = writer.convolve(
        source,
        weight,
        None if layer.bias is None else _values(layer.bias),
        layer=layer.name,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        same=layer.padding == "same",
        group=group,
    )
    return write_activation(writer, layer.activation, result, layer=layer.name)


def _transposed_convolution(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    if tuple(layer.dilation_rate) != (1, 1) or layer.output_padding is not None:
        raise ModelError(f"{layer.name}: export knows neither its dilation nor its output_padding")
    weight = _values(layer.kernel).transpose(3, 2, 0, 1)  # (I, O, kh, kw)
    _, *size = writer.shapes[inputs[0]]
    kernel, strides = weight.shape[2:], layer.strides
    # It undoes a convolution that pads what is missing; where strides leave gaps, more is yielded.
    spare = [side - stride for side, stride in zip(kernel, strides, strict=True)]
    cut = [max(0, more) if layer.padding == "same" else 0 for more in spare]
    gaps = [max(0, -more) for more in spare]
    height, width = (
        (cells - 1) * stride + side - off + gap
        for cells, stride, side, off, gap in zip(size, strides, kernel, cut, gaps, strict=True)
    )
    result = writer.add(
        "ConvTranspose",
        inputs,
        layer=layer.name,
        shape=(weight.shape[1], height, width),
        constants={"weight": weight}
        | ({} if layer.bias is None else {"bias": _values(layer.bias)}),
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=[*(off // 2 for off in cut), *(off - off // 2 for off in cut)],
        output_padding=gaps,
    )
    return write_activation(writer, layer.activation, result, layer=layer.name)


def _batch_norm(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    mean, variance = _values(layer.moving_mean), _values(layer.moving_variance)
    scale = np.ones_like(mean) if layer.gamma is None else _values(layer.gamma)
    shift = np.zeros_like(mean) if layer.beta is None else _values(layer.beta)
    return writer.add(
        "BatchNormalization",
        inputs,
        layer=layer.name,
        shape=writer.shapes[inputs[0]],
        constants={"scale": scale, "shift": shift, "mean": mean, "variance": variance},
        epsilon=float(layer.epsilon),
    )


def _activation(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    return write_activation(writer, layer.activation, inputs[0], layer=layer.name)


def _relu(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    shape, name = writer.shapes[inputs[0]], layer.name
    slope, highest = float(layer.negative_slope or 0.0), layer.max_value
    if layer.threshold or (slope and highest is not None):
        raise ModelError(f"{name}: export knows no ReLU with a threshold, or with slope and limit")
    if highest is not None:
        return clip(writer, inputs[0], layer=name, highest=float(highest))
    if slope:
        return writer.add("LeakyRelu", inputs, layer=name, shape=shape, alpha=slope)
    return writer.add("Relu", inputs, layer=name, shape=shape)


def _leaky_relu(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    shape, slope = writer.shapes[inputs[0]], float(layer.negative_slope)
    return writer.add("LeakyRelu", inputs, layer=layer.name, shape=shape, alpha=slope)


def _elu(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    shape = writer.shapes[inputs[0]]
    return writer.add("Elu", inputs, layer=layer.name, shape=shape, alpha=float(layer.alpha))


def _prelu(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    slopes = _values(layer.alpha).transpose(2, 0, 1)  # (C, 1, 1), or a slope a cell
    shape = writer.shapes[inputs[0]]
    return writer.add("PRelu", inputs, layer=layer.name, shape=shape, constants={"slope": slopes})


def _concatenate(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    channels = sum(writer.shapes[one][0] for one in inputs)
    shape = (channels, *writer.shapes[inputs[0]][1:])
    return writer.add("Concat", inputs, layer=layer.name, shape=shape, axis=1)


def _element_wise(operator: str) -> Write:
    """Writes a layer that takes any number of tensors, by an operator that takes two."""

    def write(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
        result = inputs[0]
        for other in inputs[1:]:
            shape = _broadcast(writer.shapes[result], writer.shapes[other])
            result = writer.add(operator, [result, other], layer=layer.name, shape=shape)
        return result

    return write


def _pool(operator: str) -> Write:
    def write(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
        channels, *size = writer.shapes[inputs[0]]
        kernel, strides = layer.pool_size, layer.strides
        cells, pads = slide(size, kernel, strides=strides, same=layer.padding == "same")
        return writer.add(
            operator,
            inputs,
            layer=layer.name,
            shape=(channels, *cells),
            kernel_shape=list(kernel),
            strides=list(strides),
            pads=pads,
        )

    return write


def _pool_all(operator: str) -> Write:
    def write(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
        if not layer.keepdims:
            raise ModelError(f"{layer.name} drops height and width; export needs keepdims=True")
        channels = writer.shapes[inputs[0]][0]
        return writer.add(operator, inputs, layer=layer.name, shape=(channels, 1, 1))

    return write


def _rescaling(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    result, shape = inputs[0], writer.shapes[inputs[0]]
    for operator, value in (("Mul", layer.scale), ("Add", layer.offset)):
        values = np.asarray(value, np.float32).reshape(-1, 1, 1)
        result = writer.add(
            operator, [result], layer=layer.name, shape=shape, constants={"values": values}
        )
    return result


def _upsampling(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    ways = {"nearest": ("nearest", "asymmetric"), "bilinear": ("linear", "half_pixel")}
    if layer.interpolation not in ways:
        raise ModelError(f"{layer.name}: export upsamples nearest or bilinear only")
    mode, coordinates = ways[layer.interpolation]
    channels, height, width = writer.shapes[inputs[0]]
    down, across = layer.size
    return writer.add(
        "Resize",
        [inputs[0], ""],
        layer=layer.name,
        shape=(channels, height * down, width * across),
        constants={"scales": np.array([1, 1, down, across], np.float32)},
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode="floor",
    )


def _padding(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    (top, bottom), (left, right) = layer.padding
    channels, height, width = writer.shapes[inputs[0]]
    return writer.add(
        "Pad",
        inputs,
        layer=layer.name,
        shape=(channels, height + top + bottom, width + left + right),
        constants={"pads": np.array([0, 0, top, left, 0, 0, bottom, right])},
    )


def _nothing(writer: LayerWriter, layer: Any, inputs: Sequence[str]) -> str:
    """What works in training only."""
    return inputs[0]


def _broadcast(one: Shape, other: Shape) -> Shape:
    channels, height, width = (max(pair) for pair in zip(one, other, strict=True))
    return channels, height, width


def _values(variable: Any) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)


WRITERS: dict[type, Write] = {
    layers.Activation: _activation,
    layers.Add: _element_wise("Add"),
    layers.AveragePooling2D: _pool("AveragePool"),
    layers.BatchNormalization: _batch_norm,
    layers.Concatenate: _concatenate,
    layers.Conv2D: _convolution,
    layers.Conv2DTranspose: _transposed_convolution,
    layers.DepthwiseConv2D: _depthwise,
    layers.Dropout: _nothing,
    layers.ELU: _elu,
    layers.GaussianDropout: _nothing,
    layers.GaussianNoise: _nothing,
    layers.GlobalAveragePooling2D: _pool_all("GlobalAveragePool"),
    layers.GlobalMaxPooling2D: _pool_all("GlobalMaxPool"),
    layers.Identity: _nothing,
    layers.LeakyReLU: _leaky_relu,
    layers.MaxPooling2D: _pool("MaxPool"),
    layers.Maximum: _element_wise("Max"),
    layers.Minimum: _element_wise("Min"),
    layers.Multiply: _element_wise("Mul"),
    layers.PReLU: _prelu,
    layers.ReLU: _relu,
    layers.Rescaling: _rescaling,
    layers.SpatialDropout2D: _nothing,
    layers.Subtract: _element_wise("Sub"),
    layers.UpSampling2D: _upsampling,
    layers.ZeroPadding2D: _padding,
}
