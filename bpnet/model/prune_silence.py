"""Which channels no convolution would miss: those that are 0 wherever one reads them.

A filter without weights is not silent for that: its bias, or the batch normalisation behind it, may
put out a constant. Such a constant is no bias of the layers that read it either, since 'same'
padding surrounds it with zeros; so only what is exactly 0 can go unnoticed.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.model.graph import Step, Tensor, read_graph
from bpnet.model.prune_graph import ELEMENT_WISE, ChannelGraph

_UNCHANGED = (  # a constant of all places passes, at the borders too
    keras.layers.AveragePooling2D,
    keras.layers.Dropout,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Identity,
    keras.layers.MaxPooling2D,
    keras.layers.SpatialDropout2D,
    keras.layers.UpSampling2D,
)

Constants = NDArray[np.float64]  # (C,): a channel's value at all places of all images, else NaN


def silent_channels(model: keras.Model, channels: ChannelGraph) -> dict[int, NDArray[np.bool_]]:
    """Whether each channel, by space, is 0 wherever a convolution reads it, whatever the image."""
    silent = {space: np.ones(size, np.bool_) for space, size in channels.sizes.items()}
    constants: dict[Tensor, Constants] = {}
    for step in read_graph(model).steps:
        given = [constants[tensor] for tensor in step.inputs]
        constants[step.output] = _after(step, given)
        if step.layer.name in channels.filters:
            offset = 0
            for space in channels.inputs[step.layer.name]:
                size = channels.sizes[space]
                silent[space] &= given[0][offset : offset + size] == 0.0
                offset += size
    return silent


def _after(step: Step, given: list[Constants]) -> Constants:
    """The constants of a step's output, by those of its inputs."""
    layer = step.layer
    if not given:
        return np.full(int(layer.output.shape[-1]), np.nan)
    first = given[0]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = layer.kernel.numpy()[..., 0]  # (h, w, C)
        return _biased(layer, (first == 0.0) | ~kernel.any(axis=(0, 1)))
    if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
        kernel = layer.kernel.numpy()
        if isinstance(layer, keras.layers.Conv2DTranspose):
            kernel = kernel.swapaxes(2, 3)
        return _biased(layer, ~kernel[:, :, first != 0.0].any(axis=(0, 1, 2)))
    if isinstance(layer, keras.layers.Concatenate):
        return np.concatenate(given)
    if isinstance(layer, _UNCHANGED):
        return first
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return np.where(first == 0.0, 0.0, np.nan)
    unknown = np.any(np.isnan(np.broadcast_arrays(*given)), axis=0)
    values = [np.nan_to_num(x).astype(np.float32).reshape(1, 1, 1, -1) for x in given]
    merged = values if isinstance(layer, ELEMENT_WISE) else values[0]
    result = np.asarray(layer(merged), np.float64).ravel()
    if isinstance(layer, keras.layers.Multiply):
        unknown &= ~np.any(np.equal(np.broadcast_arrays(*given), 0.0), axis=0)  # 0 times any is 0
    return np.where(unknown, np.nan, result)


def _biased(layer: Any, constant: NDArray[np.bool_]) -> Constants:
    """What the filters put out of which it is known that they add nothing to their bias."""
    bias = layer.bias.numpy() if layer.use_bias else np.zeros(len(constant), np.float32)
    return np.where(constant, np.asarray(layer.activation(bias), np.float64), np.nan)
