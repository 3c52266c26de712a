"""The feature extractor: ten convolutions of a VGG19, with strides for pooling, and one more.

https://arxiv.org/abs/1409.1556, with batch normalisation.
"""

from typing import Any

import keras

from bpnet.model.layers import ConvolutionStyle, convolve, scaled_channels

# Block, convolutions, channels, stride of the first one. Block 6 is not VGG's: its number keeps it
# apart from the layers of an ImageNet network when weights are loaded by name.
BLOCKS = ((1, 2, 64, 1), (2, 2, 128, 2), (3, 4, 256, 2), (4, 2, 512, 2), (6, 1, 256, 1))


def extract_features(image: Any, *, style: ConvolutionStyle, width_multiplier: float) -> Any:
    """Features (N, H/8, W/8, 256 * width_multiplier) of a normalised image (N, H, W, 3)."""
    x = image
    for block, convolutions, channels, first_stride in BLOCKS:
        filters = scaled_channels(channels, width_multiplier)
        for index in range(convolutions):
            scope = f"block_{block}{'abcd'[index]}"
            x = convolve(
                x,
                filters,
                3,
                name=f"{scope}_conv_1",
                style=style,
                strides=first_stride if index == 0 else 1,
            )
            x = keras.layers.BatchNormalization(name=f"{scope}_bn_1")(x)
            x = keras.layers.Activation("relu", name=f"{scope}_relu")(x)
    return x
