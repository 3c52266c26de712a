"""The decoder's stages once more, slow and plain, and maps of people whose places are known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet.decode import DecoderSettings
from bpnet.pose.maps import PoseMaps, input_to_map
from bpnet.pose.skeleton import Skeleton

Points = NDArray[np.float64]


def skeleton_of(keypoints: int, limbs: Sequence[tuple[int, int]]) -> Skeleton:
    names = tuple(f"keypoint{index}" for index in range(keypoints))
    black = ((0, 0, 0),) * len(limbs)
    return Skeleton(
        "test", names, tuple(limbs), tuple(range(keypoints)), (0.05,) * keypoints, {}, black
    )


def around(heatmap: Points, y: int, x: int) -> list[tuple[int, int]]:
    """The neighbours of a cell that lie in the map."""
    height, width = heatmap.shape
    return [
        (ny, nx)
        for ny in range(max(y - 1, 0), min(y + 2, height))
        for nx in range(max(x - 1, 0), min(x + 2, width))
        if (ny, nx) != (y, x)
    ]


def find_cells(heatmap: Points) -> list[tuple[int, int]]:
    """y and x of the first cell of every plateau of (H, W) that nothing beside it tops."""
    cells = []
    visited = set()
    for y, x in np.ndindex(*heatmap.shape):
        if (y, x) in visited or heatmap[y, x] <= 0:
            continue
        plateau = [(y, x)]
        for cell in plateau:
            for neighbour in around(heatmap, *cell):
                if heatmap[neighbour] == heatmap[y, x] and neighbour not in plateau:
                    plateau.append(neighbour)
        visited |= set(plateau)
        if all(heatmap[n] <= heatmap[y, x] for cell in plateau for n in around(heatmap, *cell)):
            cells.append((y, x))
    return cells


def find_peaks(heatmap: Points, threshold: float) -> list[tuple[float, float, float]]:
    """x, y and score of every peak of (H, W), in reading order of their cells."""
    tops = [refine_cell(heatmap, y, x) for y, x in find_cells(heatmap)]
    return [top for top in tops if top[2] >= threshold]


def refine_cell(heatmap: Points, y: int, x: int) -> tuple[float, float, float]:
    """x, y and score of the Gaussian's top around a cell."""
    column, gain_x = find_top(heatmap[y], x)
    row, gain_y = find_top(heatmap[:, x], y)
    return column, row, heatmap[y, x] * gain_x * gain_y


def find_top(line: Points, index: int) -> tuple[float, float]:
    """Place and relative height of the Gaussian through a cell of a line and its neighbours."""
    if not 0 < index < len(line) - 1:
        return index, 1.0
    values = np.maximum(line[index - 1 : index + 2], line[index] / 100)
    square, slope, level = np.polyfit([-1, 0, 1], np.log(values), 2)
    if abs(square) < 1e-9:
        return index, 1.0
    offset = -slope / (2 * square)
    return index + offset, np.exp(square * offset**2 + slope * offset + level) / line[index]


def score_limb(
    paf: Points,
    start: Points,
    end: Points,
    settings: DecoderSettings,
    *,
    scale: float = 1.0,
    height: float | None = None,
) -> float:
    """The score of a limb between two points of a PAF (H', W', 2); 0: no limb.

    Args:
        paf: the field.
        start: x, y in cells of the PAF.
        end: likewise.
        settings: how to sample and to judge.
        scale: PAF cells a heatmap cell.
        height: the input's height in PAF cells, default: the PAF's own.
    """
    length = max(float(np.hypot(*(end - start))), 1e-6)
    wanted = int(min(length / scale * settings.samples_per_cell + 1, settings.max_samples))
    samples = max(wanted, settings.min_samples)
    last = np.array(paf.shape[1::-1]) - 1.0  # of x and y
    start, end, direction = np.clip(start, 0, last), np.clip(end, 0, last), (end - start) / length
    dots = []
    for part in np.linspace(0, 1, samples):
        x, y = start + part * (end - start)
        left, top = int(x), int(y)
        right, bottom = min(left + 1, paf.shape[1] - 1), min(top + 1, paf.shape[0] - 1)
        u, v = x - left, y - top
        vector = (1 - v) * ((1 - u) * paf[top, left] + u * paf[top, right])
        vector = vector + v * ((1 - u) * paf[bottom, left] + u * paf[bottom, right])
        dots.append(float(vector @ direction))
    agreeing = np.count_nonzero(np.array(dots) >= settings.paf_threshold)
    score = float(np.mean(dots)) if agreeing >= settings.min_sample_share * samples - 1e-4 else -1.0
    if length / scale < settings.short_limb:
        return max(score, settings.short_limb_score)
    longest = settings.length_limit * (paf.shape[0] if height is None else height)
    return max(score * min(longest / length, 1), 0.0)


def draw_maps(
    people: Sequence[Points],
    limbs: Sequence[tuple[int, int]],
    size: tuple[int, int],
    *,
    heatmap_stride: int = 8,
    paf_stride: int = 8,
    sigma: float = 7.0,
) -> PoseMaps:
    """Maps of people (K, 2) in pixels of an input of ``size`` (height, width)."""
    keypoints = len(people[0])
    rows, columns = np.mgrid[: size[0] // heatmap_stride, : size[1] // heatmap_stride]
    heatmaps = np.zeros((*rows.shape, keypoints + 1), np.float32)
    for person in people:
        for index, (x, y) in enumerate(input_to_map(person, heatmap_stride)):
            square = (columns - x) ** 2 + (rows - y) ** 2
            drawn = np.exp(-square * heatmap_stride**2 / (2 * sigma**2))
            heatmaps[..., index] = np.maximum(heatmaps[..., index], drawn)
    rows, columns = np.mgrid[: size[0] // paf_stride, : size[1] // paf_stride]
    pafs = np.zeros((*rows.shape, 2 * len(limbs)), np.float32)
    for person in people:
        cells = input_to_map(person, paf_stride)
        for index, (first, second) in enumerate(limbs):
            way = cells[second] - cells[first]
            unit = way / np.hypot(*way)
            x, y = columns - cells[first][0], rows - cells[first][1]
            along, beside = x * unit[0] + y * unit[1], np.abs(x * unit[1] - y * unit[0])
            margin = 8 / paf_stride
            near = (along > -margin) & (along < np.hypot(*way) + margin) & (beside < margin)
            pafs[near, 2 * index : 2 * index + 2] = unit
    return PoseMaps(heatmaps, pafs, heatmap_stride, paf_stride)
