"""Keypoints -> maps: the targets that a network learns to draw.

The inverse of ``bpnet.decode``. Everything is Keras operations on static map shapes, so it runs
eagerly, in a ``tf.function``, under XLA and on any Keras back end, beside the network.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from bpnet.pose.maps import map_to_input

LEAST_HEAT = 0.001  # smaller heatmap values are 0
LEAST_LENGTH = 0.001  # pixels; shorter limbs have no direction

Tensor = Any  # a tensor of whatever back end Keras runs on


def draw_maps(
    keypoints: Tensor,
    *,
    limbs: Sequence[tuple[int, int]],
    map_height: int,
    map_width: int,
    stride: float,
    sigma: float,
    limb_width: float,
) -> tuple[Tensor, Tensor]:
    """The heatmaps and part affinity fields of N images.

    A keypoint is a Gaussian in its own channel, the greatest of all people's; the background is
    what they leave of 1. A limb is its unit vector on every cell whose centre lies within
    ``limb_width`` of the limb's line and, along it, no further than ``limb_width`` past either
    end: the ribbon that TAO draws inside its region of interest. Where the same limb of several
    people overlaps, the mean of their vectors. A limb of no length or with an unlabelled end is
    not drawn. Points outside the image are drawn as far as they reach into it.

    Args:
        keypoints: (N, P, K, 3), x and y in network-input pixels, the third above 0 where labelled.
        limbs: L pairs of keypoint numbers, counted from 0.
        map_height: Rows of the maps, h.
        map_width: Columns of the maps, w.
        stride: Input pixels a cell; cell centres as in ``bpnet.pose.maps``.
        sigma: Standard deviation of a Gaussian, input pixels.
        limb_width: Half the width of a limb, input pixels.

    Returns:
        Heatmaps (N, h, w, K+1) and PAFs (N, h, w, 2L), float32.
    """
    keypoints = ops.cast(keypoints, "float32")
    rows = map_to_input(np.arange(map_height, dtype=np.float32), stride)
    columns = map_to_input(np.arange(map_width, dtype=np.float32), stride)
    grid = (rows, columns)
    heatmaps = _draw_heatmaps(keypoints, grid, sigma=sigma)
    return heatmaps, _draw_pafs(keypoints, grid, limbs=limbs, limb_width=limb_width)


def _draw_heatmaps(
    keypoints: Tensor, grid: tuple[np.ndarray, np.ndarray], *, sigma: float
) -> Tensor:
    """Heatmaps (N, h, w, K+1); ``grid`` is the cell centres' y (h,) and x (w,)."""
    rows, columns = grid
    x = keypoints[..., 0][:, :, None, :]  # (N, P, 1, K)
    y = keypoints[..., 1][:, :, None, :]
    labelled = ops.cast(keypoints[..., 2] > 0, "float32")[:, :, None, :]
    # A Gaussian is the product of one along x and one along y: h + w exponentials, not h * w.
    across = ops.exp(ops.square(columns[:, None] - x) * (-0.5 / sigma**2)) * labelled
    down = ops.exp(ops.square(rows[:, None] - y) * (-0.5 / sigma**2))  # (N, P, h, K)

    def add_person(person: Tensor, heat: Tensor) -> Tensor:
        one_down = ops.take(down, person, axis=1)[:, :, None, :]
        return ops.maximum(heat, one_down * ops.take(across, person, axis=1)[:, None, :, :])

    batch, people, joints = _sizes(keypoints)
    heat = ops.zeros((batch, len(rows), len(columns), joints), "float32")
    heat = ops.fori_loop(0, people, add_person, heat)
    heat = ops.where(heat < LEAST_HEAT, ops.zeros_like(heat), heat)
    background = ops.clip(1 - ops.max(heat, axis=-1, keepdims=True), 0, 1)
    return ops.concatenate([heat, background], axis=-1)


def _draw_pafs(
    keypoints: Tensor,
    grid: tuple[np.ndarray, np.ndarray],
    *,
    limbs: Sequence[tuple[int, int]],
    limb_width: float,
) -> Tensor:
    """PAFs (N, h, w, 2L); ``grid`` is the cell centres' y (h,) and x (w,)."""
    rows, columns = grid
    starts = ops.take(keypoints, np.array([start for start, _ in limbs], np.int32), axis=2)
    ends = ops.take(keypoints, np.array([end for _, end in limbs], np.int32), axis=2)
    span = ends[..., :2] - starts[..., :2]  # (N, P, L, 2)
    length = ops.sqrt(ops.sum(ops.square(span), axis=-1))
    drawn = (starts[..., 2] > 0) & (ends[..., 2] > 0) & (length > LEAST_LENGTH)
    unit = span / ops.maximum(length, LEAST_LENGTH)[..., None]
    x, y = unit[..., 0][:, :, None, :], unit[..., 1][:, :, None, :]  # (N, P, 1, L)
    middle = (starts[..., :2] + ends[..., :2]) / 2
    from_x = columns[:, None] - middle[..., 0][:, :, None, :]  # (N, P, w, L)
    from_y = rows[:, None] - middle[..., 1][:, :, None, :]  # (N, P, h, L)
    # How far a cell is along the limb and beside it: each a part of its column and one of its row.
    along, beside = (from_x * x, from_y * y), (from_x * y, from_y * -x)
    # A limb that is not drawn reaches nowhere: no cell is closer to it than -infinity.
    reach = ops.where(drawn, length / 2, ops.full_like(length, -np.inf))[:, :, None, :]

    def add_person(person: Tensor, sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        def cells(of_columns: Tensor, of_rows: Tensor) -> Tensor:
            one = ops.take(of_columns, person, axis=1)[:, None, :, :]
            return ops.abs(one + ops.take(of_rows, person, axis=1)[:, :, None, :])

        past = cells(*along) - ops.take(reach, person, axis=1)[:, None]
        inside = ops.cast(ops.maximum(past, cells(*beside)) <= limb_width, "float32")
        one_x, one_y = ops.take(x, person, axis=1)[:, None], ops.take(y, person, axis=1)[:, None]
        return sums[0] + inside * one_x, sums[1] + inside * one_y, sums[2] + inside

    batch, people, _ = _sizes(keypoints)
    none = ops.zeros((batch, len(rows), len(columns), len(limbs)), "float32")
    sum_x, sum_y, count = ops.fori_loop(0, people, add_person, (none, none, none))
    share = 1 / ops.maximum(count, 1)
    fields = ops.stack([sum_x * share, sum_y * share], axis=-1)  # (N, h, w, L, 2)
    return ops.reshape(fields, (-1, len(rows), len(columns), 2 * len(limbs)))


def _sizes(keypoints: Tensor) -> tuple[Any, Any, int]:
    """N, P and K; N and P are tensors where a traced function leaves them open."""
    batch, people, joints, _ = ops.shape(keypoints)
    return batch, people, joints
