"""The part of a source image that the network sees, so that only that part is decoded.

Training and inference draw their inputs by this one way (halved by averaging while that is not
coarser than the input, then sampled bilinearly), so that a network meets the pixels it learnt from.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCTIONS = (2, 4, 8)  # how much smaller a JPEG decoder can decode, beside 1
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
        matrix: (2, 3) from the crop's pixels to network-input pixels.
        scale: Network-input pixels a crop pixel, the geometric mean of both directions.
    """

    reduction: int
    top: int
    left: int
    height: int
    width: int
    matrix: NDArray[np.float64]
    scale: float

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop (h, w[, C]) of a whole image; a reduced pixel is the mean of its square."""
        n = self.reduction
        top, left = self.top * n, self.left * n
        part = image[top : top + self.height * n, left : left + self.width * n]
        if n == 1:
            return part
        # Squares that the edge of the image cuts go on as the edge does.
        below, right = self.height * n - part.shape[0], self.width * n - part.shape[1]
        if below or right:
            repeated = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REPLICATE)
            part = np.asarray(repeated, np.uint8)
        reduced = cv2.resize(part, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, np.uint8)

    def warp(
        self,
        part: NDArray[np.uint8],
        size: tuple[int, int],
        *,
        border: int,
        target: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """The crop's pixels (h, w) or (h, w, 3) as the network sees them.

        Args:
            part: What ``cut`` or a decoder gave.
            size: Height and width of the network's input.
            border: Value where the image does not reach.
            target: (H, W, 3), written to and returned.
        """
        # OpenCV warps four channels 2.5 times faster than three, to the same pixels.
        colour = part.ndim == 3
        warped = cv2.warpAffine(
            cv2.cvtColor(part, cv2.COLOR_RGB2RGBA) if colour else part,
            self.matrix,
            (size[1], size[0]),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(border, border, border),
        )
        if colour:
            warped = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=target)
        return np.asarray(warped, np.uint8)


def find_crops(
    matrices: NDArray[np.float64],
    *,
    image_sizes: NDArray[np.float64],
    network_size: tuple[int, int],
) -> list[Crop]:
    """The smallest and coarsest crops that hold everything the network sees of N images.

    They are never coarser than the network's own pixels, in any direction.

    Args:
        matrices: (N, 2, 3) from source pixels to network-input pixels.
        image_sizes: (N, 2) height and width of the source images.
        network_size: Height and width of the network's input.
    """
    linear, offset = matrices[:, :, :2], matrices[:, :, 2]
    determinants = np.abs(np.linalg.det(linear))
    reductions = _reductions(linear, determinants)
    half = (reductions[:, None] - 1) / 2  # (N, 1), the centre of a reduced image's first pixel
    height, width = network_size
    corners = np.array([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)])
    seen = (corners - offset[:, None]) @ np.linalg.inv(linear).transpose(0, 2, 1)  # source pixels
    seen = (seen - half[:, None]) / reductions[:, None, None]  # (N, 4, 2), reduced pixels
    reduced_sizes = -(-image_sizes[:, ::-1] // reductions[:, None])  # width and height
    # At least one pixel, also where nothing of the image is seen.
    firsts = np.clip(np.floor(seen.min(axis=1)) - MARGIN, 0, reduced_sizes - 1)
    ends = np.clip(np.ceil(seen.max(axis=1)) + MARGIN + 1, firsts + 1, reduced_sizes)
    origins = firsts * reductions[:, None] + half  # the centre of the crop's pixel (0, 0)
    moved = np.empty_like(matrices)
    moved[:, :, :2] = linear * reductions[:, None, None]
    moved[:, :, 2] = offset + (linear @ origins[:, :, None])[:, :, 0]
    scales = np.sqrt(determinants) * reductions
    rows = zip(
        reductions.tolist(),
        firsts.astype(int).tolist(),
        (ends - firsts).astype(int).tolist(),
        moved,
        scales.tolist(),
        strict=True,
    )
    return [Crop(n, y, x, h, w, matrix, scale) for n, (x, y), (w, h), matrix, scale in rows]


def _reductions(
    linear: NDArray[np.float64], determinants: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How much smaller (N,) the sources can be decoded without being coarser than the input."""
    squares = np.square(linear).sum(axis=(1, 2))
    # The greater singular value: network pixels a source pixel where there are most of them.
    rest = np.sqrt(np.maximum(squares**2 - 4 * determinants**2, 0))
    scales = np.sqrt((squares + rest) / 2)
    fits = scales[:, None] * np.array(REDUCTIONS) <= 1 + 1e-6
    return np.asarray(2 ** fits.sum(axis=1), np.int64)
