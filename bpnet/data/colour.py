"""The random colours of training images: brightness, contrast, saturation, hue and blur.

The first four are one linear change of each pixel's colour, so that together they cost one pass
over the image.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.augment import (
    BLUR,
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    WHETHER_BLUR,
)
from bpnet.spec.dataloader import ColorAugParams

WHITE = 255.0
# RGB to luma and two colour axes at a right angle, in which a hue is an angle; NTSC's YIQ.
TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
LEAST_SIGMA = 0.3  # pixels; a narrower blur leaves 99 % of a pixel where it is


@dataclass(frozen=True)
class Colours:
    """How the colours of N images change.

    Attributes:
        matrices: (N, 3, 4) float32; RGB in 0..255 becomes ``matrix @ (r, g, b, 1)``.
        sigmas: (N,) standard deviations of the blur, network-input pixels; 0 for none.
    """

    matrices: NDArray[np.float32]
    sigmas: NDArray[np.float64]


def sample_colours(params: ColorAugParams, draws: NDArray[np.float64]) -> Colours:
    """Random colours of N images: hue and saturation change first, then contrast and brightness.

    Args:
        params: The ranges.
        draws: (N, DRAWS) numbers in [0, 1).
    """
    either_way = 2 * draws - 1  # -1 to 1
    turn = np.deg2rad(params.hue_rotation_max * either_way[:, HUE])
    saturation = 1 + params.saturation_max * either_way[:, SATURATION]
    contrast = 1 + params.contrast_max * either_way[:, CONTRAST]
    brightness = WHITE * params.brightness_max * either_way[:, BRIGHTNESS]
    in_yiq = np.zeros((len(draws), 3, 3))
    in_yiq[:, 0, 0] = 1
    in_yiq[:, 1, 1] = in_yiq[:, 2, 2] = saturation * np.cos(turn)
    in_yiq[:, 2, 1] = saturation * np.sin(turn)
    in_yiq[:, 1, 2] = -in_yiq[:, 2, 1]
    linear = np.linalg.inv(TO_YIQ) @ in_yiq @ TO_YIQ * contrast[:, None, None]
    added = WHITE / 2 * (1 - contrast) + brightness
    columns = np.repeat(added[:, None, None], 3, axis=1)
    blurred = draws[:, WHETHER_BLUR] < params.blur_prob
    return Colours(
        matrices=np.concatenate([linear, columns], axis=2, dtype=np.float32),
        sigmas=np.where(blurred, params.blur_sigma_max * draws[:, BLUR], 0.0),
    )


def change_colours(
    image: NDArray[np.uint8], matrix: NDArray[np.float32], *, sigma: float
) -> NDArray[np.uint8]:
    """An image (H, W, 3) RGB in other colours, clipped to 0..255.

    Args:
        image: The pixels.
        matrix: (3, 4) as in ``Colours``.
        sigma: Standard deviation of a blur, pixels of the image; below 0.3 for none.
    """
    changed = cv2.transform(image, matrix)
    if sigma >= LEAST_SIGMA:
        changed = cv2.GaussianBlur(changed, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(changed, np.uint8)
