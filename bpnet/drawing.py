"""People and maps drawn on images. Images are (H, W, 3) uint8 RGB; none is changed in place."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.pose.maps import PoseMaps
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel
IGNORED = (225, 25, 60)  # RGB over what does not count
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT = 21  # pixels of a digit at scale 1
LEAST_HEIGHT, GREATEST_HEIGHT = 10, 48  # pixels of a digit, as far as the image has room
NO_ID = (225, 225, 225)  # RGB of a label without an id
GOLDEN = 0.618034  # turns of the hue circle from one id to the next: neighbours look different
WAYS = (0, -1, 1, -2, 2, -3, 3)  # where a label may go, in its heights, if another is in its place

Box = tuple[int, int, int, int]  # left, top, right, bottom, pixels


def draw_persons(
    image: NDArray[np.uint8],
    persons: PersonKeypoints,
    skeleton: Skeleton,
    *,
    scores: bool = False,
) -> NDArray[np.uint8]:
    """``image`` with ``persons`` (in its pixels) as coloured limbs and dots.

    Line width follows the image's and each person's size; keypoints that were not found and their
    limbs are left out. Where people have ids, a label above each says it, in a colour of its own.

    Args:
        image: (H, W, 3) uint8 RGB.
        persons: The people; an id of -1 is not written.
        skeleton: Their limbs and colours.
        scores: write each person's score, too.
    """
    drawing = image.copy()
    dots = keypoint_colours(skeleton)
    order = np.argsort(persons.person_score, kind="stable")  # the most certain on top
    for index in order:
        _draw_person(drawing, persons.xy[index], persons.score[index] > 0, skeleton, dots)
    if scores or persons.ids is not None:
        _draw_labels(drawing, persons, scores=scores)
    return drawing


def draw_mask(image: NDArray[np.uint8], mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``image`` with a red veil over what does not count in the loss.

    Args:
        image: (H, W, 3), the network input or a source image.
        mask: (h, w), 1 where a cell counts, 0 where not; each cell is drawn as the square it is.
    """
    size = image.shape[1::-1]
    cells = cv2.resize(np.clip(mask, 0, 1), size, interpolation=cv2.INTER_NEAREST)
    veil = (1 - np.asarray(cells, np.float32))[..., None] * np.float32(0.6)
    mixed = image * (1 - veil) + np.array(IGNORED, np.float32) * veil
    return np.asarray(np.round(mixed), np.uint8)


def draw_heatmaps(
    image: NDArray[np.uint8], maps: PoseMaps, skeleton: Skeleton | None = None
) -> NDArray[np.uint8]:
    """The network input ``image`` under the greatest keypoint heatmap value at each pixel.

    With a ``skeleton`` the colour says whose value it is, in ``keypoint_colours``; else how high.
    """
    if skeleton is None:
        strongest = np.ascontiguousarray(maps.heatmaps[..., :-1].max(axis=-1))
        value = _enlarge(strongest, image)
        colour = cv2.applyColorMap(np.round(value * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        return _blend(image, np.asarray(colour[..., ::-1], np.uint8), value)
    value = np.zeros(image.shape[:2], np.float32)
    owner = np.zeros(image.shape[:2], np.intp)
    for keypoint in range(len(skeleton.keypoints)):
        own = np.ascontiguousarray(maps.heatmaps[..., keypoint])
        own = _enlarge(own, image)
        owner[own > value] = keypoint
        value = np.maximum(value, own)
    return _blend(image, np.array(keypoint_colours(skeleton), np.uint8)[owner], value)


def draw_pafs(image: NDArray[np.uint8], maps: PoseMaps) -> NDArray[np.uint8]:
    """The network input ``image`` under the strongest limb field: hue is direction."""
    vectors = maps.pafs.reshape(*maps.pafs.shape[:2], -1, 2)
    length = np.linalg.norm(vectors, axis=-1)
    best = length.argmax(axis=-1)[..., None, None]
    strongest = np.take_along_axis(vectors, best, axis=2)[:, :, 0]  # (h, w, 2)
    size = image.shape[1::-1]
    x, y = (cv2.resize(np.ascontiguousarray(strongest[..., axis]), size) for axis in (0, 1))
    value = np.clip(np.hypot(x, y), 0, 1)
    hue = np.round((np.arctan2(y, x) + math.pi) / (2 * math.pi) * 179).astype(np.uint8)
    full = np.full_like(hue, 255)
    colour = cv2.cvtColor(np.dstack([hue, full, full]), cv2.COLOR_HSV2RGB)
    return _blend(image, np.asarray(colour, np.uint8), value)


def keypoint_colours(skeleton: Skeleton) -> tuple[tuple[int, int, int], ...]:
    """A colour (RGB) for each of the K keypoints: that of a limb of its own side of the body.

    Each takes a limb that no other has taken. Where there is none, one of a side shares the colour
    of a limb of that side, and one of the middle is white.
    """
    own: list[list[int]] = [[] for _ in skeleton.keypoints]
    for number, limb in enumerate(skeleton.limbs):
        for keypoint in limb:
            if _tells_side(limb, keypoint, skeleton.mirror):
                own[keypoint].append(number)
    taken = set[int]()
    colours = []
    for keypoint, limbs in enumerate(own):
        best = [number for number in limbs if number not in taken]
        if not best and skeleton.mirror[keypoint] != keypoint:
            best = limbs
        taken.update(best[:1])
        colours.append(skeleton.colors[best[0]] if best else (255, 255, 255))
    return tuple(colours)


def resize_to(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``image`` with a longer side of ``side`` pixels, its outer edges aligned."""
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], *, columns: int, cell: int = 320, gap: int = 6
) -> NDArray[np.uint8]:
    """The images in rows of ``columns`` on white, the longer side of each ``cell`` pixels."""
    small = [resize_to(image, cell) for image in images]
    rows = [small[start : start + columns] for start in range(0, len(small), columns)]
    heights = [max(image.shape[0] for image in row) for row in rows]
    width = columns * (cell + gap) + gap
    sheet = np.full((sum(heights) + gap * (len(rows) + 1), width, 3), 255, np.uint8)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            down = top + (height - image.shape[0]) // 2
            left = gap + column * (cell + gap) + (cell - image.shape[1]) // 2
            sheet[down : down + image.shape[0], left : left + image.shape[1]] = image
        top += height + gap
    return sheet


def _draw_person(
    drawing: NDArray[np.uint8],
    xy: NDArray[np.float32],
    found: NDArray[np.bool_],
    skeleton: Skeleton,
    dots: Sequence[tuple[int, int, int]],
) -> None:
    """Line width: pixels, by the image's size, thinner on small people."""
    extent = float(np.ptp(xy[found], axis=0).max()) if found.any() else 0.0
    width = max(1, round(min(min(drawing.shape[:2]) / 120, extent / 30)))
    for (start, end), colour in zip(skeleton.limbs, skeleton.colors, strict=True):
        if found[start] and found[end]:
            ends = _fixed(xy[start]), _fixed(xy[end])
            cv2.line(drawing, *ends, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)
    radius = min(0.65 * width + 0.8, max(extent / 50, 0.75)) * 2**SUBPIXEL_BITS
    rim = round(radius + min(2**SUBPIXEL_BITS, radius))
    for index in np.flatnonzero(found).tolist():
        centre = _fixed(xy[index])
        cv2.circle(drawing, centre, rim, (24, 24, 24), -1, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.circle(drawing, centre, round(radius), dots[index], -1, cv2.LINE_AA, SUBPIXEL_BITS)


def _tells_side(limb: tuple[int, int], keypoint: int, mirror: Sequence[int]) -> bool:
    """Whether a limb's colour is that of the side of ``keypoint``, one of its ends.

    A limb to the other side is coloured as one of both, one from the middle as the side it goes to.
    """
    other = sum(limb) - keypoint
    if mirror[keypoint] == keypoint:
        return mirror[other] == other
    return mirror[keypoint] != other


def _fixed(xy: NDArray[np.float32]) -> tuple[int, int]:
    """A point in OpenCV's fixed-point pixels, far outside points pulled to where it can draw."""
    x, y = np.clip(np.round(xy * 2**SUBPIXEL_BITS), -(2**20), 2**20)
    return int(x), int(y)


def _enlarge(values: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One heatmap (h, w), 0 to 1, at the size of the network input.

    Outer edges align, so cells stay put; cubic, so that a peak between cells stays there too.
    """
    large = cv2.resize(values, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 0, 1), np.float32)


def _blend(
    image: NDArray[np.uint8], colour: NDArray[np.uint8], weight: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """A darkened ``image`` with ``colour`` over it where ``weight`` (H, W) is high."""
    share = np.sqrt(weight)[..., None]
    mixed = image * np.float32(0.5) * (1 - share) + colour * share
    return np.asarray(np.round(mixed), np.uint8)


@dataclass(frozen=True)
class _Lettering:
    """How a label is written.

    Attributes:
        scale: Of OpenCV's font.
        width: Pixels of its strokes.
        height: Pixels of a digit.
        margin: Pixels around the text.
    """

    scale: float
    width: int
    height: int
    margin: int

    @classmethod
    def of_height(cls, height: float) -> "_Lettering":
        """Digits ``height`` pixels high."""
        scale = height / FONT_HEIGHT
        return cls(scale, max(1, round(height / 9)), round(height), max(2, round(height / 3.5)))

    def size(self, text: str) -> tuple[int, int]:
        """Width and height of a label, pixels."""
        (width, _), _ = cv2.getTextSize(text, FONT, self.scale, self.width)
        return width + 2 * self.margin, self.height + 2 * self.margin


def _draw_labels(drawing: NDArray[np.uint8], persons: PersonKeypoints, *, scores: bool) -> None:
    """Write ids, and scores where asked, above the people's heads, into ``drawing``.

    A label keeps inside the image and, where there is room, off the other labels.

    Args:
        drawing: (H, W, 3) uint8 RGB.
        persons: In its pixels; an id of -1 is not written.
        scores: write the person's score after the id.
    """
    taken: list[Box] = []
    for index in np.argsort(-persons.person_score, kind="stable").tolist():
        number = -1 if persons.ids is None else int(persons.ids[index])
        words = [str(number)] if number >= 0 else []
        words += [f"{float(persons.person_score[index]):.1f}"] if scores else []
        xy = persons.xy[index][persons.score[index] > 0]
        if not words or not len(xy):
            continue
        text = ": ".join(words)
        lettering = _lettering(drawing, xy, text)
        box = _place(xy, lettering.size(text), drawing.shape[1::-1], taken)
        taken.append(box)
        _write(drawing, box, text, lettering, id_colour(number) if number >= 0 else NO_ID)


def id_colour(number: int) -> tuple[int, int, int]:
    """The colour (RGB) of an id, the same in every frame and every video."""
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1.0, 0.7, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _lettering(drawing: NDArray[np.uint8], xy: NDArray[np.float32], text: str) -> _Lettering:
    """By the image's size, smaller on small people, legible as long as the image has room."""
    high, wide = drawing.shape[:2]
    extent = float(np.ptp(xy, axis=0).max())
    height = min(high / 26, max(extent / 9, LEAST_HEIGHT), GREATEST_HEIGHT)
    lettering = _Lettering.of_height(max(height, LEAST_HEIGHT))
    width, tall = lettering.size(text)
    room = min(wide / width, high / tall)
    return lettering if room >= 1 else _Lettering.of_height(max(1.0, lettering.height * room * 0.9))


def _place(
    xy: NDArray[np.float32], size: tuple[int, int], image: tuple[int, int], taken: list[Box]
) -> Box:
    """Where a label of ``size`` goes: above the head, the first place that is free."""
    width, height = size
    extent = float(np.ptp(xy, axis=0).max())
    top = float(xy[:, 1].min())
    head = xy[xy[:, 1] <= top + 0.15 * extent, 0]
    left = _clamp(float(head.min() + head.max()) / 2 - width / 2, image[0] - width)
    above = _clamp(top - max(1.6 * height, height + 0.06 * extent), image[1] - height)
    boxes = []
    for way in WAYS:
        upper = _clamp(above + way * (height + 1), image[1] - height)
        boxes.append((left, upper, left + width, upper + height))
    return next(
        (box for box in boxes if not any(_overlap(box, other) for other in taken)), boxes[0]
    )


def _clamp(value: float, most: int) -> int:
    return round(min(max(value, 0.0), max(most, 0)))


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(
    drawing: NDArray[np.uint8],
    box: Box,
    text: str,
    lettering: _Lettering,
    colour: tuple[int, int, int],
) -> None:
    left, top, right, bottom = box
    cv2.rectangle(drawing, (left, top), (right - 1, bottom - 1), colour, -1)
    cv2.rectangle(drawing, (left, top), (right - 1, bottom - 1), (24, 24, 24), 1)
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = (16, 16, 16) if light > 120 else (255, 255, 255)
    start = (left + lettering.margin, bottom - lettering.margin)
    cv2.putText(drawing, text, start, FONT, lettering.scale, ink, lettering.width, cv2.LINE_AA)
