"""Small backbones of keras.applications, layer for layer, up to where their stride becomes 32.

Layers carry keras.applications' names, so its ImageNet weights load by name. Where those networks
go from stride 8 to 16 these stay at 8, and the kernels after it are dilated: they see what they saw
(https://arxiv.org/abs/1706.05587). Nothing here is regularised but by batch normalisation, and the
random depth of EfficientNet's training is left out.
"""

from dataclasses import dataclass
from typing import Any

import keras

from bpnet.model.layers import ConvolutionStyle, scaled_channels
from bpnet.spec.dataloader import STRIDE

# Expansion, channels, kernel, stride, squeeze, activation of MobileNetV3-Large's blocks 0 to 11
# (https://arxiv.org/abs/1905.02244).
MOBILENET_BLOCKS = (
    (1, 16, 3, 1, False, "relu"),
    (4, 24, 3, 2, False, "relu"),
    (3, 24, 3, 1, False, "relu"),
    (3, 40, 5, 2, True, "relu"),
    (3, 40, 5, 1, True, "relu"),
    (3, 40, 5, 1, True, "relu"),
    (6, 80, 3, 2, False, "hard_silu"),
    (2.5, 80, 3, 1, False, "hard_silu"),
    (2.3, 80, 3, 1, False, "hard_silu"),
    (2.3, 80, 3, 1, False, "hard_silu"),
    (6, 112, 3, 1, True, "hard_silu"),
    (6, 112, 3, 1, True, "hard_silu"),
)
# Blocks, expansion, channels, stride of EfficientNetV2-B0's groups 1 to 5; the first three have
# plain convolutions for depthwise ones and no squeeze (https://arxiv.org/abs/2104.00298).
EFFICIENTNET_GROUPS = ((1, 1, 16, 1), (2, 4, 32, 2), (2, 4, 48, 2), (3, 4, 96, 2), (5, 6, 112, 1))
_FUSED_GROUPS = 3
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def extract_by_mobilenet(image: Any, *, style: ConvolutionStyle, width_multiplier: float) -> Any:
    """Features (N, H/8, W/8, 112 * width_multiplier) by MobileNetV3-Large."""
    layers = _Layers(style, momentum=0.999)
    # The network expects pixel / 127.5 - 1; image is pixel / 256 - 0.5.
    x = keras.layers.Rescaling(256 / 127.5, 128 / 127.5 - 1, name="backbone_rescaling")(image)
    x = layers.convolve(x, scaled_channels(16, width_multiplier), 3, name="conv", strides=2)
    x = layers.normalise(x, name="conv_bn", activation="hard_silu")
    reached, dilation = 2, 1
    for block, (expansion, channels, kernel, stride, squeeze, activation) in enumerate(
        MOBILENET_BLOCKS
    ):
        reached *= stride
        scope = f"expanded_conv_{block}" if block else "expanded_conv"
        before = x
        x_channels = int(x.shape[-1])
        if block:
            wide = _multiple_of_eight(x_channels * expansion)
            x = layers.convolve(x, wide, 1, name=f"{scope}_expand")
            x = layers.normalise(x, name=f"{scope}_expand_bn", activation=activation)
        strides = stride if reached <= STRIDE else 1
        name = f"{scope}_depthwise"
        x = layers.convolve_depthwise(x, kernel, name=name, strides=strides, dilation=dilation)
        x = layers.normalise(x, name=f"{name}_bn", activation=activation)
        if squeeze:
            names = [f"{scope}_squeeze_excite_{part}" for part in ("avg_pool", "conv", "conv_1")]
            names.append(f"{scope}_squeeze_excite_mul")
            fewer = _multiple_of_eight(int(x.shape[-1]) * 0.25)
            x = layers.squeeze(x, fewer, names=names, activations=("relu", "hard_sigmoid"))
        filters = scaled_channels(channels, width_multiplier)
        x = layers.convolve(x, filters, 1, name=f"{scope}_project")
        x = layers.normalise(x, name=f"{scope}_project_bn")
        if stride == 1 and x_channels == filters:
            x = keras.layers.Add(name=f"{scope}_add")([before, x])
        dilation = max(dilation, reached // STRIDE)
    return x


def extract_by_efficientnet(image: Any, *, style: ConvolutionStyle, width_multiplier: float) -> Any:
    """Features (N, H/8, W/8, 112 * width_multiplier) by EfficientNetV2-B0."""
    layers = _Layers(style, momentum=0.9)
    # The network expects (pixel / 255 - mean) / deviation; image is pixel / 256 - 0.5.
    scale = [256 / 255 / deviation for deviation in _IMAGENET_DEVIATION]
    offset = [
        (128 / 255 - mean) / deviation
        for mean, deviation in zip(_IMAGENET_MEAN, _IMAGENET_DEVIATION, strict=True)
    ]
    x = keras.layers.Rescaling(scale, offset, name="backbone_rescaling")(image)
    x = layers.convolve(x, scaled_channels(32, width_multiplier), 3, name="stem_conv", strides=2)
    x = layers.normalise(x, name="stem_bn", activation="silu")
    reached, dilation = 2, 1
    for group, (blocks, expansion, channels, stride) in enumerate(EFFICIENTNET_GROUPS, start=1):
        filters = scaled_channels(channels, width_multiplier)
        for block in range(blocks):
            scope = f"block{group}{'abcde'[block]}"
            own_stride = stride if block == 0 else 1
            reached *= own_stride
            strides = own_stride if reached <= STRIDE else 1
            before = x
            if group <= _FUSED_GROUPS:
                x = _fused_block(layers, x, filters, expansion, scope=scope, strides=strides)
            else:
                x = _block(
                    layers, x, filters, expansion, scope=scope, strides=strides, dilation=dilation
                )
            if own_stride == 1 and int(before.shape[-1]) == filters:
                x = keras.layers.Add(name=f"{scope}_add")([before, x])
            dilation = max(dilation, reached // STRIDE)
    return x


def _fused_block(
    layers: "_Layers", x: Any, filters: int, expansion: int, *, scope: str, strides: int
) -> Any:
    """EfficientNetV2's block of plain convolutions."""
    if expansion == 1:
        x = layers.convolve(x, filters, 3, name=f"{scope}_project_conv", strides=strides)
        return layers.normalise(x, name=f"{scope}_project_bn", activation="silu")
    wide = int(x.shape[-1]) * expansion
    x = layers.convolve(x, wide, 3, name=f"{scope}_expand_conv", strides=strides)
    x = layers.normalise(x, name=f"{scope}_expand_bn", activation="silu")
    x = layers.convolve(x, filters, 1, name=f"{scope}_project_conv")
    return layers.normalise(x, name=f"{scope}_project_bn")


def _block(
    layers: "_Layers",
    x: Any,
    filters: int,
    expansion: int,
    *,
    scope: str,
    strides: int,
    dilation: int,
) -> Any:
    """EfficientNetV2's inverted residual with squeeze and excitation."""
    channels = int(x.shape[-1])
    x = layers.convolve(x, channels * expansion, 1, name=f"{scope}_expand_conv")
    x = layers.normalise(x, name=f"{scope}_expand_bn", activation="silu")
    name = f"{scope}_dwconv2"
    x = layers.convolve_depthwise(x, 3, name=name, strides=strides, dilation=dilation)
    x = layers.normalise(x, name=f"{scope}_bn", activation="silu")
    names = [f"{scope}_se_{part}" for part in ("squeeze", "reduce", "expand", "excite")]
    x = layers.squeeze(x, max(1, channels // 4), names=names, activations=("silu", "sigmoid"))
    x = layers.convolve(x, filters, 1, name=f"{scope}_project_conv")
    return layers.normalise(x, name=f"{scope}_project_bn")


@dataclass(frozen=True)
class _Layers:
    """Makes the layers of one backbone."""

    style: ConvolutionStyle  # of which only the seed counts
    momentum: float  # of batch normalisations

    def convolve(
        self, x: Any, filters: int, kernel: int, *, name: str, strides: int = 1, bias: bool = False
    ) -> Any:
        return keras.layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            use_bias=bias,
            kernel_initializer=self.style.he_normal(name),
            name=name,
        )(x)

    def convolve_depthwise(
        self, x: Any, kernel: int, *, name: str, strides: int, dilation: int
    ) -> Any:
        return keras.layers.DepthwiseConv2D(
            kernel,
            strides=strides,
            dilation_rate=dilation,
            padding="same",
            use_bias=False,
            depthwise_initializer=self.style.he_normal(name, of_depthwise=True),
            name=name,
        )(x)

    def normalise(self, x: Any, *, name: str, activation: str | None = None) -> Any:
        x = keras.layers.BatchNormalization(momentum=self.momentum, name=name)(x)
        if activation is None:
            return x
        return keras.layers.Activation(activation, name=f"{name}.{activation}")(x)

    def squeeze(self, x: Any, fewer: int, *, names: list[str], activations: tuple[str, str]) -> Any:
        """Each channel times a factor that all the image decides (squeeze and excitation)."""
        pooled, reduce, expand, product = names
        factor = keras.layers.GlobalAveragePooling2D(keepdims=True, name=pooled)(x)
        factor = self.convolve(factor, fewer, 1, name=reduce, bias=True)
        factor = keras.layers.Activation(activations[0], name=f"{reduce}.act")(factor)
        factor = self.convolve(factor, int(x.shape[-1]), 1, name=expand, bias=True)
        factor = keras.layers.Activation(activations[1], name=f"{expand}.act")(factor)
        return keras.layers.Multiply(name=product)([x, factor])


def _multiple_of_eight(channels: float) -> int:
    """MobileNet's rounding: the nearest multiple of 8, never below 90 % of ``channels``."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
