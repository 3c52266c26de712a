"""Maps on another grid: multi-scale and flip averages, and PAFs trained on cell corners.

Every grid change here is a scale and a shift of each axis, so it is two small matrices applied to
rows and columns: exact at any fraction of a cell, whatever the number of channels.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton
from bpnet.pose.transform import ImageTransform


def average_scales(maps: Sequence[PoseMaps], transforms: Sequence[ImageTransform]) -> PoseMaps:
    """The mean of one image's maps at several scales, on the grid of the last.

    Args:
        maps: one a scale; the last should be the largest.
        transforms: of each scale, from source pixels to that scale's network input.
    """
    target = maps[-1]
    heatmaps = target.heatmaps.astype(np.float32)
    pafs = target.pafs.astype(np.float32)
    for scaled, transform in zip(maps[:-1], transforms[:-1], strict=True):
        back = transforms[-1].inverse().then(transform)  # largest network input -> this one
        heatmaps += _onto(
            scaled.heatmaps,
            scaled.heatmap_stride,
            back,
            like=target.heatmaps,
            stride=target.heatmap_stride,
        )
        pafs += _onto(
            scaled.pafs, scaled.paf_stride, back, like=target.pafs, stride=target.paf_stride
        )
    count = np.float32(len(maps))
    return PoseMaps(heatmaps / count, pafs / count, target.heatmap_stride, target.paf_stride)


def average_mirrored(maps: PoseMaps, mirrored: PoseMaps, skeleton: Skeleton) -> PoseMaps:
    """The mean of an image's maps and the maps of its mirror image, turned back.

    Turning back mirrors the columns, swaps left and right keypoints and limbs, and negates the
    PAFs' x. A limb whose mirror limb is listed the other way round is negated; a limb without a
    mirror limb keeps the maps of the unmirrored image.
    """
    order = [*skeleton.mirror, len(skeleton.keypoints)]
    heatmaps = (maps.heatmaps + mirrored.heatmaps[:, ::-1, order]) / np.float32(2)
    pafs = maps.pafs.astype(np.float32)
    for limb, (start, end) in enumerate(skeleton.limbs):
        ends = skeleton.mirror[start], skeleton.mirror[end]
        if ends in skeleton.limbs:
            other, sign = skeleton.limbs.index(ends), np.float32(1)
        elif ends[::-1] in skeleton.limbs:
            other, sign = skeleton.limbs.index(ends[::-1]), np.float32(-1)
        else:
            continue
        turned = mirrored.pafs[:, ::-1, 2 * other : 2 * other + 2]
        turned = turned * (sign * np.array([-1, 1], np.float32))
        pafs[..., 2 * limb : 2 * limb + 2] = (
            maps.pafs[..., 2 * limb : 2 * limb + 2] + turned
        ) / np.float32(2)
    return PoseMaps(heatmaps, pafs, maps.heatmap_stride, maps.paf_stride)


def from_cell_corners(maps: PoseMaps) -> PoseMaps:
    """Maps whose PAFs sit on cell corners (cell j at pixel stride*j), with PAFs on cell centres."""
    height, width = maps.pafs.shape[:2]
    offset = (maps.paf_stride - 1) / 2 / maps.paf_stride  # cells
    rows = _matrix(height, height, 1.0, offset, _linear)
    columns = _matrix(width, width, 1.0, offset, _linear)
    return PoseMaps(
        maps.heatmaps, _apply(rows, columns, maps.pafs), maps.heatmap_stride, maps.paf_stride
    )


def _onto(
    maps: NDArray[np.float32],
    maps_stride: float,
    back: ImageTransform,
    *,
    like: NDArray[np.float32],
    stride: float,
) -> NDArray[np.float32]:
    """``maps`` (h, w, C), cubic, at the cells of ``like`` (H, W, C) of another ``stride``.

    ``back`` goes from the network input of ``like`` to that of ``maps``.
    """
    matrices = []
    for axis, (old, new) in enumerate(zip(maps.shape[:2], like.shape[:2], strict=True)):
        row = 1 - axis  # axis 0 of a map is y, row 1 of the transform
        scale, shift = back.matrix[row, row], back.matrix[row, 2]
        step = scale * stride / maps_stride
        start = (scale * (stride - 1) / 2 + shift - (maps_stride - 1) / 2) / maps_stride
        matrices.append(_matrix(new, old, step, start, _cubic))
    return _apply(matrices[0], matrices[1], maps)


def _matrix(
    new: int,
    old: int,
    step: float,
    start: float,
    kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """The (new, old) matrix that reads old cells at start + step * i; borders repeat."""
    position = start + step * np.arange(new, dtype=np.float64)
    first = np.floor(position).astype(np.int64)
    matrix = np.zeros((new, old), np.float64)
    for tap in range(-1, 3):
        weight = kernel(np.abs(position - (first + tap)))
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), weight)
    return matrix.astype(np.float32)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel; with a = -0.5, unlike OpenCV's -0.75, straight lines stay straight."""
    a = -0.5
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _linear(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 1.0 - distance)


def _apply(
    rows: NDArray[np.float32], columns: NDArray[np.float32], maps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``maps`` (h, w, C) with its rows and columns resampled: (H, W, C)."""
    by_row = np.tensordot(rows, maps, axes=(1, 0))  # (H, w, C)
    return np.ascontiguousarray(np.tensordot(by_row, columns, axes=(1, 1)).transpose(0, 2, 1))
