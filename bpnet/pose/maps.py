"""Heatmaps and part affinity fields, and the one statement of the pixel convention.

The centre of an image's top-left pixel is (0, 0); x points right, y down. Cell (i, j) of a map of
stride s has its centre at input pixel (s*j + (s-1)/2, s*i + (s-1)/2), for heatmaps and PAFs alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PoseMaps:
    """The maps of one image, as a network writes them. Strided views are welcome.

    Attributes:
        heatmaps: (H, W, K+1) float32, channel k keypoint k, channel K the background.
        pafs: (H', W', 2L) float32, limb l has x in channel 2l and y in channel 2l+1.
        heatmap_stride: network-input pixels a heatmap cell.
        paf_stride: network-input pixels a PAF cell; may differ from the heatmaps'.
    """

    heatmaps: NDArray[np.float32]
    pafs: NDArray[np.float32]
    heatmap_stride: float
    paf_stride: float


def map_to_input(xy: NDArray[np.float32], stride: float) -> NDArray[np.float32]:
    """Points (..., 2), or one coordinate of them, in cells of a map, as pixels of the input."""
    return np.asarray(xy * stride + (stride - 1) / 2, dtype=np.float32)


def input_to_map(xy: NDArray[np.float32], stride: float) -> NDArray[np.float32]:
    """Points (..., 2), or one coordinate of them, in pixels of the input, as cells of a map."""
    return np.asarray((xy - (stride - 1) / 2) / stride, dtype=np.float32)
