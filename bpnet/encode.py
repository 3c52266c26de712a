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
# People drawn at once. One after the other would keep a GPU waiting for ever new small kernels,
# all at once would need a crowd's worth of memory.
PEOPLE_AT_ONCE = 8

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
    scales: Tensor | None = None,
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
        scales: (N, P) factors on each person's ``sigma`` and ``limb_width``, as ``person_scales``
            makes them; None for 1.

    Returns:
        Heatmaps (N, h, w, K+1) and PAFs (N, h, w, 2L), float32.
    """
    keypoints = ops.cast(keypoints, "float32")
    if scales is None:
        scales = ops.ones_like(keypoints[:, :, 0, 0])
    scales = ops.cast(scales, "float32")[:, :, None, None]  # (N, P, 1, 1)
    rows = map_to_input(np.arange(map_height, dtype=np.float32), stride)
    columns = map_to_input(np.arange(map_width, dtype=np.float32), stride)
    grid = (rows, columns)
    heatmaps = _draw_heatmaps(keypoints, grid, sigma=sigma * scales)
    return heatmaps, _draw_pafs(keypoints, grid, limbs=limbs, limb_width=limb_width * scales)


def person_scales(keypoints: Tensor, *, reference: float, least: float, most: float) -> Tensor:
    """How much larger (N, P) each person is than ``reference``, within limits.

    A person is as large as the longer side of the box around the labelled keypoints.

    Args:
        keypoints: (N, P, K, 3), as ``draw_maps`` takes them.
        reference: Size of a person of scale 1, input pixels.
        least: Least scale, also of people with fewer than two keypoints.
        most: Greatest scale.
    """
    keypoints = ops.cast(keypoints, "float32")
    xy, labelled = keypoints[..., :2], keypoints[..., 2:] > 0
    far = ops.full_like(xy, np.inf)
    longest = ops.max(ops.where(labelled, xy, -far), axis=2)
    longest = ops.max(longest - ops.min(ops.where(labelled, xy, far), axis=2), axis=-1)
    return ops.clip(longest / reference, least, most)  # nobody's -infinity becomes the least


def _draw_heatmaps(
    keypoints: Tensor, grid: tuple[np.ndarray, np.ndarray], *, sigma: Tensor
) -> Tensor:
    """Heatmaps (N, h, w, K+1).

    Args:
        keypoints: (N, P, K, 3).
        grid: The cell centres' y (h,) and x (w,).
        sigma: (N, P, 1, 1).
    """
    rows, columns = grid
    x = keypoints[..., 0][:, :, None, :]  # (N, P, 1, K)
    y = keypoints[..., 1][:, :, None, :]
    labelled = ops.cast(keypoints[..., 2] > 0, "float32")[:, :, None, :]
    # A Gaussian is the product of one along x and one along y: h + w exponentials, not h * w.
    across = ops.exp(-0.5 * ops.square((columns[:, None] - x) / sigma)) * labelled
    down = ops.exp(-0.5 * ops.square((rows[:, None] - y) / sigma))  # (N, P, h, K)

    def add_people(turn: Tensor, heat: Tensor) -> Tensor:
        # People drawn twice do no harm to a maximum.
        some, _ = _next_people(keypoints, turn)
        products = _take(down, some)[:, :, :, None] * _take(across, some)[:, :, None]
        return ops.maximum(heat, ops.max(products, axis=1))

    batch, _, joints = _sizes(keypoints)
    heat = ops.zeros((batch, len(rows), len(columns), joints), "float32")
    heat = ops.fori_loop(0, _turns(keypoints), add_people, heat)
    heat = ops.where(heat < LEAST_HEAT, ops.zeros_like(heat), heat)
    background = ops.clip(1 - ops.max(heat, axis=-1, keepdims=True), 0, 1)
    return ops.concatenate([heat, background], axis=-1)


def _draw_pafs(
    keypoints: Tensor,
    grid: tuple[np.ndarray, np.ndarray],
    *,
    limbs: Sequence[tuple[int, int]],
    limb_width: Tensor,
) -> Tensor:
    """PAFs (N, h, w, 2L).

    Args:
        keypoints: (N, P, K, 3).
        grid: The cell centres' y (h,) and x (w,).
        limbs: L pairs of keypoint numbers.
        limb_width: (N, P, 1, 1).
    """
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
    reach, width = reach + limb_width, ops.zeros_like(reach) + limb_width

    def add_people(turn: Tensor, sums: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        some, new = _next_people(keypoints, turn)

        def cells(of_columns: Tensor, of_rows: Tensor) -> Tensor:
            return ops.abs(
                _take(of_columns, some)[:, :, None] + _take(of_rows, some)[:, :, :, None]
            )

        def limb(values: Tensor) -> Tensor:
            return _take(values, some)[:, :, None]  # (N, C, 1, 1, L)

        inside = (cells(*along) <= limb(reach)) & (cells(*beside) <= limb(width))
        share = ops.cast(inside & new, "float32")  # (N, C, h, w, L)
        return (
            sums[0] + ops.sum(share * limb(x), axis=1),
            sums[1] + ops.sum(share * limb(y), axis=1),
            sums[2] + ops.sum(share, axis=1),
        )

    batch, _, _ = _sizes(keypoints)
    none = ops.zeros((batch, len(rows), len(columns), len(limbs)), "float32")
    sum_x, sum_y, count = ops.fori_loop(0, _turns(keypoints), add_people, (none, none, none))
    share = 1 / ops.maximum(count, 1)
    fields = ops.stack([sum_x * share, sum_y * share], axis=-1)  # (N, h, w, L, 2)
    return ops.reshape(fields, (-1, len(rows), len(columns), 2 * len(limbs)))


def _at_once(keypoints: Tensor) -> Any:
    """How many people are drawn in a turn, C."""
    people = _sizes(keypoints)[1]
    if isinstance(people, int):
        return min(people, PEOPLE_AT_ONCE)
    return ops.minimum(people, PEOPLE_AT_ONCE)


def _turns(keypoints: Tensor) -> Any:
    """How often ``_next_people`` is asked until all have been drawn; nobody takes no turn."""
    at_once = _at_once(keypoints)
    at_once = max(at_once, 1) if isinstance(at_once, int) else ops.maximum(at_once, 1)
    return -(-_sizes(keypoints)[1] // at_once)


def _next_people(keypoints: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Which people (C,) are drawn in a turn, and whether (C, 1, 1, 1) not before."""
    at_once, last = _at_once(keypoints), _sizes(keypoints)[1] - 1
    people = turn * at_once + ops.arange(at_once, dtype="int32")
    return ops.minimum(people, last), (people <= last)[:, None, None, None]


def _take(values: Tensor, people: Tensor) -> Tensor:
    """The values (N, C, ...) of some people."""
    return ops.take(values, people, axis=1)


def _sizes(keypoints: Tensor) -> tuple[Any, Any, int]:
    """N, P and K; N and P are tensors where a traced function leaves them open."""
    batch, people, joints, _ = ops.shape(keypoints)
    return batch, people, joints
