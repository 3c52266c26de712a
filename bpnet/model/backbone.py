"""The feature extractor: TAO's VGG, or a small network of keras.applications at its stride.

The VGG is ten convolutions of a VGG19 (https://arxiv.org/abs/1409.1556) with strides for pooling
and batch normalisation, and one more.
"""

from typing import Any

import keras

from bpnet.errors import SpecError
from bpnet.model.inverted_residual import extract_by_efficientnet, extract_by_mobilenet
from bpnet.model.layers import ConvolutionStyle, convolve, scaled_channels
from bpnet.spec.dataloader import STRIDE
from bpnet.spec.network import BackboneAttributes

# Block, convolutions, channels, stride of the first one. Block 6 is not VGG's: its number keeps it
# apart from the layers of an ImageNet network when weights are loaded by name.
BLOCKS = ((1, 2, 64, 1), (2, 2, 128, 2), (3, 4, 256, 2), (4, 2, 512, 2), (6, 1, 256, 1))


def extract_features(
    image: Any,
    backbone: BackboneAttributes,
    *,
    style: ConvolutionStyle,
    width_multiplier: float,
) -> Any:
    """Features (N, H/8, W/8, C) of a normalised image (N, H, W, 3).

    Raises:
        SpecError: Settings that do not go together.
    """
    if backbone.architecture == "vgg":
        return _extract_by_vgg(
            image, backbone.stem_stride, style=style, width_multiplier=width_multiplier
        )
    if backbone.stem_stride != 1:
        raise SpecError(
            f"backbone_attributes.stem_stride is {backbone.stem_stride}, but "
            f"{backbone.architecture} has a stem of its own; leave the key out"
        )
    if backbone.use_bias:
        raise SpecError(
            "backbone_attributes.use_bias is true, but only the vgg can have biases; "
            f"set it to false for {backbone.architecture}"
        )
    extract = (
        extract_by_mobilenet
        if backbone.architecture == "mobilenet_v3_large"
        else extract_by_efficientnet
    )
    return extract(image, style=style, width_multiplier=width_multiplier)


def _extract_by_vgg(
    image: Any, stem_stride: int, *, style: ConvolutionStyle, width_multiplier: float
) -> Any:
    """Features of 256 * width_multiplier channels, at a stride of 8 whatever the stem's."""
    x, left = image, STRIDE
    for block, convolutions, channels, usual_stride in BLOCKS:
        filters = scaled_channels(channels, width_multiplier)
        first_stride = min(left, stem_stride if block == 1 else usual_stride)
        left //= first_stride
        for index in range(convolutions):
            scope = f"block_{block}{'abcd'[index]}"
            strides = first_stride if index == 0 else 1
            x = convolve(x, filters, 3, name=f"{scope}_conv_1", style=style, strides=strides)
            x = keras.layers.BatchNormalization(name=f"{scope}_bn_1")(x)
            x = keras.layers.Activation("relu", name=f"{scope}_relu")(x)
    return x
