"""Pixels of one image <-> pixels of another: every crop, resize, flip and rotation."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageTransform:
    """An affine map from the pixels of a source image to those of a target image.

    Attributes:
        matrix: (2, 3) float64; target = matrix @ (x, y, 1), pixel centres at whole numbers.
    """

    matrix: NDArray[np.float64]

    @classmethod
    def resize(cls, scale_x: float, scale_y: float) -> "ImageTransform":
        """An image scaled by these factors, its outer edges (not its pixel centres) aligned."""
        return cls(
            np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2]], np.float64)
        )

    @classmethod
    def shift(cls, x: float, y: float) -> "ImageTransform":
        """An image moved by (x, y) pixels."""
        return cls(np.array([[1, 0, x], [0, 1, y]], np.float64))

    def then(self, following: "ImageTransform") -> "ImageTransform":
        """This transform first, ``following`` after it."""
        square = np.vstack([self.matrix, [0, 0, 1]])
        return ImageTransform(following.matrix @ square)

    def inverse(self) -> "ImageTransform":
        """From the target image back to the source image."""
        square = np.vstack([self.matrix, [0, 0, 1]])
        return ImageTransform(np.linalg.inv(square)[:2])

    def apply(self, xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (..., 2) of the source image, in the target image."""
        return np.asarray(xy @ self.matrix[:, :2].T + self.matrix[:, 2], dtype=np.float32)

    def warp(
        self,
        image: NDArray[np.uint8],
        size: tuple[int, int],
        *,
        border: int | tuple[int, int, int] = 127,
        interpolation: int = cv2.INTER_LINEAR,
    ) -> NDArray[np.uint8]:
        """``image`` (H, W[, C]) drawn into a target of ``size`` (height, width).

        What lies outside the source is ``border``.
        """
        value = border if isinstance(border, tuple) else (border, border, border)
        height, width = size
        return np.asarray(
            cv2.warpAffine(
                image,
                self.matrix,
                (width, height),
                flags=interpolation,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=value,
            ),
            dtype=np.uint8,
        )
