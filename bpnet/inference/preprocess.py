"""Fitting a photo to a network's input, remembering where its pixels went, and normalising it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet.data.crop import find_crops
from bpnet.errors import DataError
from bpnet.pose.contract import ModelContract
from bpnet.pose.transform import ImageTransform

LEAST_SIDE = 8  # pixels; a smaller image cannot hold a person
PAD_VALUE = 128  # grey level of padding where nobody says another
GREATEST_GROWTH = 16  # times input_shape that the free side may reach


@dataclass(frozen=True)
class InputFit:
    """How images become network inputs.

    Attributes:
        height: of the network's input, pixels.
        width: of the network's input, pixels.
        mode: ``adjust_network_input``: the short side fits, the long side grows; ``fit_height`` and
            ``fit_width``: that side fits, the other follows; ``pad_image_input``: the whole image
            in the middle of height x width; None: stretched to height x width.
        pad_value: grey level of padding, 0..255.
        multiple: sides of the network's input are multiples of this; the rest is padding at the
            right and bottom. 1 where a network's size is fixed.
    """

    height: int = 256
    width: int = 256
    mode: str | None = "adjust_network_input"
    pad_value: int = PAD_VALUE
    multiple: int = 8


@dataclass(frozen=True)
class NetworkInput:
    """One image as a network gets it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        transform: from the pixels of the source image to those of ``image``.
    """

    image: NDArray[np.uint8]
    transform: ImageTransform


def fit_image(image: NDArray[np.uint8], fit: InputFit, *, scale: float = 1.0) -> NetworkInput:
    """The (H, W, 3) uint8 RGB ``image`` as a network input, ``scale`` times the size of ``fit``.

    Pixels are drawn as for training (``bpnet.data.crop``). Outer edges align, so the transform is
    exact to the half pixel.

    Raises:
        DataError: The image is too small or too elongated.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image {image.shape} {image.dtype} must be (H, W, 3) uint8")
    height, width = image.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise DataError(
            f"an image of {width}x{height} pixels is too small to hold a person; "
            f"both sides need {LEAST_SIDE} pixels or more"
        )
    across, down = _factors(height, width, fit, scale)
    content = max(1, round(height * down)), max(1, round(width * across))
    size = _canvas_size(*content, fit, scale)
    transform = ImageTransform.resize(across, down)
    if fit.mode == "pad_image_input":
        margins = (size[1] - width * across) / 2, (size[0] - height * down) / 2
        transform = transform.then(ImageTransform.shift(*margins))
    if size != (height, width) or not np.allclose(transform.matrix, np.eye(2, 3), atol=1e-9):
        sizes = np.array([[height, width]], np.float64)
        (crop,) = find_crops(transform.matrix[None], image_sizes=sizes, network_size=size)
        image = crop.warp(crop.cut(image), size, border=fit.pad_value)
    return NetworkInput(image, transform)


def to_tensor(
    images: NDArray[np.uint8], contract: ModelContract, dtype: type[np.generic] = np.float32
) -> NDArray[Any]:
    """Images (N, H, W, 3) uint8 RGB as the network's input tensor, in its order and layout.

    A network that takes uint8 normalises its pixels itself.
    """
    if dtype is np.uint8:
        ordered = images[..., ::-1] if contract.channel_order == "bgr" else images
        if contract.layout == "nchw":
            ordered = ordered.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(ordered)
    count, height, width, _ = images.shape
    nchw = contract.layout == "nchw"
    values = np.empty((count, 3, height, width) if nchw else (count, height, width, 3), np.float32)
    order = (2, 1, 0) if contract.channel_order == "bgr" else (0, 1, 2)
    # A channel at a time: NumPy is ten times slower where the innermost axis has three elements.
    for channel, source in enumerate(order):
        plane = values[:, channel] if nchw else values[..., channel]
        scale = np.float32(1 / contract.image_scale[channel])
        np.multiply(images[..., source], scale, out=plane)
        plane -= np.float32(contract.image_offset[channel])
    return values.astype(dtype, copy=False)


def _factors(height: int, width: int, fit: InputFit, scale: float) -> tuple[float, float]:
    """By how much an image grows, across and down."""
    across, down = fit.width * scale / width, fit.height * scale / height
    if fit.mode is None:
        return across, down
    factor = {
        "adjust_network_input": max(across, down),
        "pad_image_input": min(across, down),
        "fit_height": down,
        "fit_width": across,
    }[fit.mode]
    if factor > GREATEST_GROWTH * min(across, down):
        raise DataError(
            f"an image of {width}x{height} pixels is too long for {fit.mode}: the network's input "
            f"would be {round(width * factor)}x{round(height * factor)}; set "
            "keep_aspect_ratio_mode to pad_image_input"
        )
    return factor, factor


def _canvas_size(height: int, width: int, fit: InputFit, scale: float) -> tuple[int, int]:
    """Height and width of the network's input, for an image resized to height x width."""
    if fit.mode == "pad_image_input":
        height = max(height, round(fit.height * scale))
        width = max(width, round(fit.width * scale))
    return (
        math.ceil(height / fit.multiple) * fit.multiple,
        math.ceil(width / fit.multiple) * fit.multiple,
    )
