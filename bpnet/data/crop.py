"""The part of a source image that the network sees, so that only that part is decoded."""

import math
from dataclasses import dataclass

import numpy as np

from bpnet.pose.transform import ImageTransform

REDUCTIONS = (8, 4, 2)  # how much smaller a JPEG decoder can decode
MARGIN = 2  # pixels: one for bilinear sampling, one that the JPEG decoder's chroma filter spoils


@dataclass(frozen=True)
class Crop:
    """A rectangle of a source image, decoded ``reduction`` times smaller.

    Attributes:
        reduction: 1, 2, 4 or 8; the reduced image has a pixel for each such square of the source.
        top: First row, pixels of the reduced image.
        left: First column.
        height: Rows.
        width: Columns.
        transform: From the crop's pixels to network-input pixels.
    """

    reduction: int
    top: int
    left: int
    height: int
    width: int
    transform: ImageTransform


def find_crop(
    transform: ImageTransform,
    *,
    image_size: tuple[int, int],
    network_size: tuple[int, int],
) -> Crop:
    """The smallest and coarsest crop that holds everything the network sees of a JPEG.

    It is never coarser than the network's own pixels, in any direction.

    Args:
        transform: From source pixels to network-input pixels.
        image_size: Height and width of the source image.
        network_size: Height and width of the network's input.
    """
    # Plain numbers: NumPy's calls on 2 x 2 matrices would cost a tenth of the decoding.
    (a, b, x), (c, d, y) = transform.matrix.tolist()
    reduction = _reduction(a, b, c, d)
    height, width = network_size
    corners = ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1))
    seen_x = [(d * (u - x) - b * (v - y)) / (a * d - b * c) for u, v in corners]  # source pixels
    seen_y = [(a * (v - y) - c * (u - x)) / (a * d - b * c) for u, v in corners]
    left, right = _span(seen_x, reduction=reduction, size=image_size[1])
    top, bottom = _span(seen_y, reduction=reduction, size=image_size[0])
    # Pixel (0, 0) of the crop has its centre here in the source.
    first_x, first_y = left * reduction + _half(reduction), top * reduction + _half(reduction)
    matrix = [
        [a * reduction, b * reduction, a * first_x + b * first_y + x],
        [c * reduction, d * reduction, c * first_x + d * first_y + y],
    ]
    return Crop(
        reduction=reduction,
        top=top,
        left=left,
        height=bottom - top,
        width=right - left,
        transform=ImageTransform(np.array(matrix)),
    )


def _half(reduction: int) -> float:
    """The centre of a reduced image's first pixel, source pixels."""
    return (reduction - 1) / 2


def _reduction(a: float, b: float, c: float, d: float) -> int:
    """How much smaller the source can be decoded without being coarser than the network's input."""
    squares, determinant = a * a + b * b + c * c + d * d, a * d - b * c
    # The greater singular value: network pixels a source pixel where there are most of them.
    rest = math.sqrt(max(squares * squares - 4 * determinant * determinant, 0.0))
    scale = math.sqrt((squares + rest) / 2)
    return next((one for one in REDUCTIONS if scale * one <= 1 + 1e-6), 1)


def _span(seen: list[float], *, reduction: int, size: int) -> tuple[int, int]:
    """First and past-the-last reduced pixel of what is seen of ``size`` pixels; at least one."""
    reduced = -(-size // reduction)
    first = math.floor((min(seen) - _half(reduction)) / reduction) - MARGIN
    last = math.ceil((max(seen) - _half(reduction)) / reduction) + MARGIN
    first = min(max(first, 0), reduced - 1)
    return first, min(max(last + 1, first + 1), reduced)
