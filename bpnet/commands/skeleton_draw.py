"""A skeleton as a picture: a labelled pose or its limbs spread out, and the names beside it."""

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.commands.skeleton_graph import graph_distances
from bpnet.commands.skeleton_labels import People
from bpnet.drawing import draw_persons, keypoint_colours
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import SIDE, Skeleton

SIDE_LENGTH, MARGIN = 900, 90  # of the square with the figure, pixels
ROW, TEXT, SMALL = 27, 0.55, 0.5  # pixels of a line of names; scales of the font
FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, SOFT, PAPER = (30, 30, 30), (120, 120, 120), (255, 255, 255)  # RGB
RING = (205, 205, 215)  # RGB
STARTS, STEPS = 5, 120  # of the layout: tries, and improvements of each
EVEN = 0.35  # of a turn, how far a mirror pair's own direction counts


def draw_skeleton(
    skeleton: Skeleton, people: People | None = None, *, turn: float = 0.0
) -> NDArray[np.uint8]:
    """The picture, (H, W, 3) uint8 RGB.

    Args:
        skeleton: What to draw.
        people: Labels with the skeleton's keypoints: the clearest pose among them is drawn, with
            rings at the distance where OKS is 0.61. None: the limbs are spread out.
        turn: Degrees that the figure is turned clockwise.
    """
    chosen = None if people is None else _clearest(people, skeleton)
    if people is None or chosen is None:
        xy, found, scale = spread_out(skeleton), np.ones(len(skeleton.keypoints), bool), 0.0
        said = f"{skeleton.name}: limbs spread out, not a pose"
    else:
        xy, found = people.xy[chosen].astype(np.float64), people.labelled[chosen]
        scale = float(people.scale[chosen])
        said = f"{skeleton.name}: a labelled pose; rings: a label that far off has OKS 0.61"
    placed, factor = _fit(_turned(xy, turn), found)
    figure = np.full((SIDE_LENGTH, SIDE_LENGTH, 3), PAPER, np.uint8)
    if scale:
        for index in np.flatnonzero(found).tolist():
            radius = 2 * skeleton.sigmas[index] * scale * factor  # k = 2 sigma, d = k x scale
            _circle(figure, placed[index], radius)
    person = PersonKeypoints(
        placed[None].astype(np.float32),
        found[None].astype(np.float32),
        np.ones(1, np.float32),
    )
    figure = draw_persons(figure, person, skeleton)
    for index in np.flatnonzero(found).tolist():
        _number(figure, placed, found, index, skeleton)
    _write(figure, said, (14, 26), INK, TEXT)
    return np.concatenate([figure, _names(skeleton, found)], axis=1)


def spread_out(skeleton: Skeleton) -> NDArray[np.float64]:
    """(K, 2) places, so that keypoints are as far apart as there are limbs between them.

    Stress majorization (Gansner, Koren, North, "Graph drawing by stress majorization", 2004), the
    best of some starts. Left keypoints are put on the right, as on a person who looks at us, and
    the first keypoint at the top.
    """
    count = len(skeleton.keypoints)
    steps = graph_distances(skeleton.limbs, count)
    finite = steps[np.isfinite(steps)].max(initial=1.0)
    wanted = np.where(np.isfinite(steps), steps, finite + 1)
    sides = np.array([_side(name) for name in skeleton.keypoints])
    best, least = np.zeros((count, 2)), math.inf
    for seed in range(STARTS):
        xy = np.random.default_rng(seed).normal(size=(count, 2))
        xy[:, 0] += 3 * sides
        xy, stress = _settle(xy, wanted)
        if stress < least:
            best, least = xy, stress
    best = best - best.mean(axis=0)
    up = best[0] - best[1:].mean(axis=0) if count > 1 else np.array([0.0, -1.0])
    across = (best * sides[:, None]).sum(axis=0)
    if np.linalg.norm(across) > EVEN * np.abs(sides).sum():  # left and right tell what is across
        best = _turned(best, -math.degrees(math.atan2(across[1], across[0])))
        if best[0, 1] > best[:, 1].mean():
            best[:, 1] *= -1
    else:
        best = _turned(best, -90 - math.degrees(math.atan2(up[1], up[0])))
    return best


def _settle(
    xy: NDArray[np.float64], wanted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Places (K, 2) after some steps towards the ``wanted`` distances (K, K), and their stress."""
    count = len(xy)
    away = ~np.eye(count, dtype=bool)
    weights = np.where(away, 1 / np.maximum(wanted, 1e-9) ** 2, 0)
    laplacian = np.diag(weights.sum(axis=1)) - weights
    inverse = np.linalg.pinv(laplacian)
    for _ in range(STEPS):
        apart = np.maximum(np.linalg.norm(xy[:, None] - xy[None], axis=-1), 1e-9)
        pull = np.where(away, -weights * wanted / apart, 0)
        np.fill_diagonal(pull, -pull.sum(axis=1))
        xy = inverse @ (pull @ xy)
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    return xy, float((weights * (apart - wanted) ** 2).sum())


def _clearest(people: People, skeleton: Skeleton) -> int | None:
    """Of the larger people with the most keypoints the one whose limbs cross least.

    Among several it is the one that is stretched out most; None where nobody has two keypoints.
    """
    count = people.labelled.sum(axis=1)
    if count.max(initial=0) < 2:
        return None
    most = np.flatnonzero(count == count.max())
    most = most[people.scale[most] >= np.median(people.scale[most])]

    def clutter(index: int) -> tuple[int, float]:
        there, xy = people.labelled[index], people.xy[index].astype(np.float64)
        limbs = [(a, b) for a, b in skeleton.limbs if there[a] and there[b]]
        length = sum(float(np.linalg.norm(xy[a] - xy[b])) for a, b in limbs)
        return _crossings(xy, limbs), -length / float(people.scale[index])

    return int(min(most.tolist(), key=clutter))


def _crossings(xy: NDArray[np.float64], limbs: Sequence[tuple[int, int]]) -> int:
    """How many pairs of limbs cross that have no end in common."""
    pairs = [
        (one, other) for one, other in itertools.combinations(limbs, 2) if not set(one) & set(other)
    ]
    if not pairs:
        return 0
    ends = xy[np.array(pairs)]  # (pairs, limb, end, 2)

    def side(start: int, limb: int, end: int) -> NDArray[np.float64]:
        along = ends[:, limb, 1] - ends[:, limb, 0]
        off = ends[:, start, end] - ends[:, limb, 0]
        return np.asarray(along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0], np.float64)

    apart = (side(1, 0, 0) * side(1, 0, 1) < 0) & (side(0, 1, 0) * side(0, 1, 1) < 0)
    return int(apart.sum())


def _side(name: str) -> int:
    """1 for the left, -1 for the right, 0 for neither."""
    found = SIDE.search(name)
    return 0 if found is None else {"l": 1, "r": -1}[found.group()[0].lower()]


def _turned(xy: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Points (K, 2) turned clockwise, y down."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.asarray(xy @ np.array([[cosine, sine], [-sine, cosine]]), np.float64)


def _fit(xy: NDArray[np.float64], found: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """The points in the square, and by how much they grew."""
    low, high = xy[found].min(axis=0), xy[found].max(axis=0)
    factor = (SIDE_LENGTH - 2 * MARGIN) / max(float((high - low).max()), 1e-6)
    placed = (xy - (low + high) / 2) * factor + SIDE_LENGTH / 2
    return np.where(found[:, None], placed, 0), factor


def _circle(image: NDArray[np.uint8], centre: NDArray[np.float64], radius: float) -> None:
    x, y = (round(float(value)) for value in centre)
    cv2.circle(image, (x, y), max(1, round(radius)), RING, 2, cv2.LINE_AA)


def _number(
    image: NDArray[np.uint8],
    placed: NDArray[np.float64],
    found: NDArray[np.bool_],
    index: int,
    skeleton: Skeleton,
) -> None:
    """The keypoint's number beside its dot, in the widest gap between its limbs."""
    others = [sum(limb) - index for limb in skeleton.limbs if index in limb]
    steps = [placed[other] - placed[index] for other in others if found[other]]
    angles = sorted(math.atan2(float(y), float(x)) for x, y in steps) or [0.8 * math.pi]
    gaps = [
        ((angle - before) % math.tau or math.tau, before)
        for before, angle in zip([angles[-1], *angles], angles, strict=False)
    ]
    width_of_gap, before = max(gaps)
    middle = before + width_of_gap / 2
    x, y = placed[index] + 24 * np.array([math.cos(middle), math.sin(middle)])
    text = str(index + 1)
    (width, height), _ = cv2.getTextSize(text, FONT, TEXT, 1)
    _write(image, text, (round(float(x) - width / 2), round(float(y) + height / 2)), INK, TEXT)


def _names(skeleton: Skeleton, found: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The keypoints' numbers, names, mirror images and sigmas, in columns."""
    lines = [_line(skeleton, index, bool(found[index])) for index in range(len(found))]
    rows = (SIDE_LENGTH - 60) // ROW
    columns = [range(start, min(start + rows, len(lines))) for start in range(0, len(lines), rows)]
    widths = [max(_width(lines[index]) for index in column) + 60 for column in columns]
    image = np.full((SIDE_LENGTH, sum(widths), 3), PAPER, np.uint8)
    colours = keypoint_colours(skeleton)
    left = 0
    for column, width in zip(columns, widths, strict=True):
        for row, index in enumerate(column):
            y = 44 + row * ROW
            cv2.circle(image, (left + 16, y - 5), 8, INK, -1, cv2.LINE_AA)
            cv2.circle(image, (left + 16, y - 5), 7, colours[index], -1, cv2.LINE_AA)
            _write(image, lines[index], (left + 34, y), INK if found[index] else SOFT, SMALL)
        left += width
    return image


def _line(skeleton: Skeleton, index: int, there: bool) -> str:
    other = skeleton.mirror[index]
    mirrored = f" <> {other + 1}" if other != index else ""
    missing = "" if there else "  (not labelled here)"
    name = skeleton.keypoints[index].encode("ascii", "replace").decode()
    return f"{index + 1} {name}{mirrored}  sigma {skeleton.sigmas[index]:.3f}{missing}"


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, SMALL, 1)[0][0])


def _write(
    image: NDArray[np.uint8],
    text: str,
    place: Sequence[int],
    colour: tuple[int, int, int],
    scale: float,
) -> None:
    safe = text.encode("ascii", "replace").decode()  # the font knows no other letters
    cv2.putText(image, safe, (place[0], place[1]), FONT, scale, colour, 1, cv2.LINE_AA)
