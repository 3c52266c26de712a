"""The convolution that every part of the network is made of."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from bpnet.errors import SpecError


@dataclass(frozen=True)
class ConvolutionStyle:
    """What the convolutions of one part of the network have in common."""

    kernel_initializer: str  # "random_normal" (0.01), "xavier" or "he_normal"
    regularization_type: str  # "l1", "l2" or "l1_l2"
    kernel_factor: float
    bias_factor: float
    use_bias: bool
    seed: int

    def initializer(self, name: str) -> keras.initializers.Initializer:
        """The kernel initializer of the layer ``name``.

        The seed comes from the name, so a layer starts alike whatever else the network holds.
        """
        seed = self._seed_of(name)
        if self.kernel_initializer in ("xavier", "glorot_uniform"):
            return keras.initializers.GlorotUniform(seed=seed)
        if self.kernel_initializer == "he_normal" and not name.endswith("out"):
            return keras.initializers.HeNormal(seed=seed)
        if self.kernel_initializer in ("random_normal", "he_normal"):
            return keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        raise SpecError(
            f"kernel_initializer {self.kernel_initializer!r} is not known;"
            " use random_normal, xavier or he_normal"
        )

    def he_normal(self, name: str, *, of_depthwise: bool = False) -> Any:
        """He's normal initializer for the layer ``name``, whatever the style says otherwise."""
        # Keras counts all the channels of a depthwise kernel as inputs of each; "fan_out" does not.
        mode = "fan_out" if of_depthwise else "fan_in"
        return keras.initializers.VarianceScaling(
            2.0, mode=mode, distribution="truncated_normal", seed=self._seed_of(name)
        )

    def _seed_of(self, name: str) -> int:
        return zlib.crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF

    def regularizer(self, factor: float) -> keras.regularizers.Regularizer | None:
        """The regularizer of this style with ``factor``; None where it would add nothing."""
        if factor == 0.0:
            return None
        if self.regularization_type == "l1":
            return keras.regularizers.L1(factor)
        if self.regularization_type == "l2":
            return keras.regularizers.L2(factor)
        return keras.regularizers.L1L2(l1=factor, l2=factor)


def scaled_channels(channels: int, width_multiplier: float) -> int:
    """``channels`` times the multiplier, to the nearest multiple of 8, at least 8."""
    return max(8, 8 * int(channels * width_multiplier / 8 + 0.5))


def convolve(
    x: Any,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    style: ConvolutionStyle,
    strides: int = 1,
    dtype: str | None = None,
) -> Any:
    """A 'same' convolution (N, H, W, C) -> (N, H/strides, W/strides, filters), no activation.

    TensorFlow's 'same' pads an even-sized image only at the bottom and right when it strides, so
    each stride of 2 moves the centre of the receptive field by half a pixel of its input. TAO's
    networks learned with this, and so do ours: other padding would spoil their weights.
    """
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=style.use_bias,
        kernel_initializer=style.initializer(name),
        kernel_regularizer=style.regularizer(style.kernel_factor),
        bias_regularizer=style.regularizer(style.bias_factor) if style.use_bias else None,
        dtype=dtype,
        name=name,
    )(x)


def convolve_activated(
    x: Any,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    style: ConvolutionStyle,
    activation: str = "relu",
) -> Any:
    """A convolution and its activation, a layer of its own as in TAO."""
    x = convolve(x, filters, kernel_size, name=name, style=style)
    return keras.layers.Activation(activation, name=f"{name}.{activation}")(x)


def convolve_in_turn(
    x: Any,
    filters: int,
    kernel_sizes: Sequence[int],
    *,
    scope: str,
    style: ConvolutionStyle,
    block: str = "convolution",
) -> Any:
    """Activated convolutions ``<scope>.conv1``, ``<scope>.conv2``..., one a kernel size.

    With the block "dense", each is a ``convolve_densely``.
    """
    draw = convolve_densely if block == "dense" else convolve_activated
    for number, kernel_size in enumerate(kernel_sizes, start=1):
        x = draw(x, filters, kernel_size, name=f"{scope}.conv{number}", style=style)
    return x


def convolve_densely(
    x: Any, filters: int, kernel_size: int, *, name: str, style: ConvolutionStyle
) -> Any:
    """Convolutions 3x3 in turn that see as far as one kernel, their outputs joined.

    They are ``<name>.part1``, ``<name>.part2``... of (kernel_size - 1) / 2, each activated, each
    of ``filters`` channels: the block of OpenPose (https://arxiv.org/abs/1812.08008).

    Raises:
        SpecError: No whole number of such convolutions sees as far as ``kernel_size``.
    """
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise SpecError(
            f"a dense block stands for an odd kernel of 3 or more, not for one of {kernel_size}"
        )
    parts = []
    for number in range(1, kernel_size // 2 + 1):
        x = convolve_activated(x, filters, 3, name=f"{name}.part{number}", style=style)
        parts.append(x)
    return keras.layers.Concatenate(name=f"{name}.joined")(parts) if len(parts) > 1 else x
