"""One drawn person: a posed body in clothes, painted part by part, far parts first."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.posed_body import KEYPOINTS, Array, Body

# Body parts, by the number that stands in the owner map.
TORSO, HEAD, NECK = 0, 1, 2
LEFT_UPPER_ARM, LEFT_FOREARM, RIGHT_UPPER_ARM, RIGHT_FOREARM = 3, 4, 5, 6
LEFT_THIGH, LEFT_SHIN, RIGHT_THIGH, RIGHT_SHIN = 7, 8, 9, 10
PARTS = 16  # numbers kept for each person in the owner map

# The parts on which each keypoint lies: one of them at its pixel, and the keypoint is visible.
OWN_PARTS: tuple[tuple[int, ...], ...] = (
    (HEAD,),
    (HEAD,),
    (HEAD,),
    (HEAD,),
    (HEAD,),
    (TORSO, LEFT_UPPER_ARM),
    (TORSO, RIGHT_UPPER_ARM),
    (LEFT_UPPER_ARM, LEFT_FOREARM),
    (RIGHT_UPPER_ARM, RIGHT_FOREARM),
    (LEFT_FOREARM,),
    (RIGHT_FOREARM,),
    (TORSO, LEFT_THIGH),
    (TORSO, RIGHT_THIGH),
    (LEFT_THIGH, LEFT_SHIN),
    (RIGHT_THIGH, RIGHT_SHIN),
    (LEFT_SHIN,),
    (RIGHT_SHIN,),
)


@dataclass(frozen=True)
class Outfit:
    """Colours (RGB, 0..255) and cut of a person's clothes."""

    skin: Array
    hair: Array
    shirt: Array
    trousers: Array
    shoes: Array
    trim: Array
    long_sleeves: bool
    long_trousers: bool
    pattern: int  # 0 plain, 1 stripes across, 2 stripes along, 3 checks
    hat: bool


def random_outfit(rng: np.random.Generator) -> Outfit:
    """Clothes, skin and hair."""
    tone = rng.uniform(0, 1)
    skin = (1 - tone) * np.array([241, 205, 178.0]) + tone * np.array([78, 50, 36.0])
    hair = np.array([[35, 26, 22], [92, 60, 34], [170, 130, 70], [130, 130, 130], [140, 60, 30]])
    return Outfit(
        skin=skin * rng.uniform(0.9, 1.05),
        hair=hair[rng.integers(len(hair))] * rng.uniform(0.7, 1.2),
        shirt=rng.uniform(20, 245, 3),
        trousers=rng.uniform(15, 200, 3),
        shoes=rng.uniform(10, 230, 3),
        trim=rng.uniform(20, 245, 3),
        long_sleeves=bool(rng.random() < 0.5),
        long_trousers=bool(rng.random() < 0.7),
        pattern=int(rng.choice([0, 0, 0, 0, 0, 1, 2, 3])),
        hat=bool(rng.random() < 0.15),
    )


class Painter:
    """A picture in the making, and who owns each of its pixels.

    Attributes:
        image: (H, W, 3) float32, RGB 0..255.
        owner: (H, W) int32, person * PARTS + part, or -1.
    """

    def __init__(self, image: NDArray[np.float32]) -> None:
        self.image = image
        self.owner: NDArray[np.int32] = np.full(image.shape[:2], -1, np.int32)

    def fill(
        self,
        polygon: Array,
        colour: Array,
        *,
        owner: int,
        axis: Array | None = None,
        pattern: int = 0,
        trim: Array | None = None,
    ) -> None:
        """Paint a convex polygon (n, 2), pixels; ``axis`` (2, 2) gives it a round, lit side."""
        height, width = self.owner.shape
        low = np.maximum(np.floor(polygon.min(0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(polygon.max(0)).astype(int) + 2, [width, height])
        if (high <= low).any():
            return
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        points = np.round((polygon - low) * 16).astype(np.int32)
        cv2.fillConvexPoly(mask, points, 255, cv2.LINE_AA, 4)
        paint = np.broadcast_to(colour.astype(np.float32), (*mask.shape, 3))
        if axis is not None:
            paint = _lit(paint, low, axis, polygon, pattern, colour if trim is None else trim)
        alpha = mask[..., None].astype(np.float32) / 255
        self.image[box] += (paint - self.image[box]) * alpha
        self.owner[box][mask > 127] = owner


def _lit(
    paint: NDArray[np.float32],
    low: NDArray[np.int_],
    axis: Array,
    polygon: Array,
    pattern: int,
    trim: Array,
) -> NDArray[np.float32]:
    """``paint`` with a pattern along ``axis`` and darker toward the polygon's sides."""
    along: Array = axis[1] - axis[0]
    length = float(np.hypot(*along)) + 1e-6
    along = along / length
    across: Array = np.array([-along[1], along[0]])
    radius = np.abs((polygon - axis[0]) @ across).max() + 1e-6
    rows, columns = np.indices(paint.shape[:2])
    x, y = columns + low[0] - axis[0][0], rows + low[1] - axis[0][1]
    u = (x * across[0] + y * across[1]) / radius
    t = (x * along[0] + y * along[1]) / radius
    if pattern:
        stripe = np.floor(t * 2.5) if pattern == 1 else np.floor(u * 2.5)
        if pattern == 3:
            stripe = np.floor(t * 2) + np.floor(u * 2)
        paint = np.where((stripe % 2 == 0)[..., None], paint, trim.astype(np.float32))
    shade = 1.08 - 0.5 * u * u - 0.1 * u
    return np.asarray(paint * shade[..., None], dtype=np.float32)


def _hull(*circles: tuple[Array, float]) -> Array:
    """The convex hull of circles: a limb, a trunk."""
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    points = np.concatenate([centre[:2] + ring * radius for centre, radius in circles])
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], dtype=np.float64)


def paint_person(painter: Painter, body: Body, outfit: Outfit, *, person: int) -> None:
    """Paint a body, its far parts first; ``person`` numbers it in the owner map."""
    p, h, base = body.points, body.height, person * PARTS
    jobs: list[tuple[float, int]] = [(p["pelvis"][2] * 0.5 + p["neck"][2] * 0.5, TORSO)]
    jobs.append((p["head"][2] + 0.01 * h, HEAD))
    jobs.append((p["neck"][2] - 0.03 * h, NECK))
    limbs = {
        LEFT_UPPER_ARM: ("left_shoulder", "left_elbow"), LEFT_FOREARM: ("left_elbow", "left_hand"),
        RIGHT_UPPER_ARM: ("right_shoulder", "right_elbow"),
        RIGHT_FOREARM: ("right_elbow", "right_hand"),
        LEFT_THIGH: ("left_hip", "left_knee"), LEFT_SHIN: ("left_knee", "left_ankle"),
        RIGHT_THIGH: ("right_hip", "right_knee"), RIGHT_SHIN: ("right_knee", "right_ankle"),
    }  # fmt: skip
    for part, (start, end) in limbs.items():
        near = 0.02 * h if part in (LEFT_FOREARM, RIGHT_FOREARM) else 0.0
        jobs.append((0.3 * p[start][2] + 0.7 * p[end][2] + near, part))
    for _, part in sorted(jobs):
        if part == TORSO:
            _paint_torso(painter, body, outfit, base)
        elif part == HEAD:
            _paint_head(painter, body, outfit, base + HEAD)
        elif part == NECK:
            neck = _hull((p["neck"], 0.034 * h), (p["head"], 0.034 * h))
            painter.fill(neck, outfit.skin * 0.85, owner=base + NECK)
        else:
            _paint_limb(painter, body, outfit, part, limbs[part], base)


def _paint_torso(painter: Painter, body: Body, outfit: Outfit, base: int) -> None:
    p, h = body.points, body.height
    hips = _hull((p["left_hip"], 0.062 * h), (p["right_hip"], 0.062 * h))
    painter.fill(hips, outfit.trousers * 0.92, owner=base + TORSO)
    trunk = _hull(
        (p["left_shoulder"], 0.042 * h),
        (p["right_shoulder"], 0.042 * h),
        (p["left_hip"] * 0.92 + p["neck"] * 0.08, 0.05 * h),
        (p["right_hip"] * 0.92 + p["neck"] * 0.08, 0.05 * h),
    )
    axis = np.stack([p["neck"][:2], p["pelvis"][:2]])
    painter.fill(
        trunk, outfit.shirt, owner=base + TORSO, axis=axis, pattern=outfit.pattern, trim=outfit.trim
    )
    if body.forward[2] > 0.2:  # a badge on the chest: the front is not the back
        chest = p["neck"] * 0.7 + p["pelvis"] * 0.3 + np.array([body.forward[0] * 0.05 * h, 0, 0])
        painter.fill(_hull((chest, 0.022 * h)), outfit.trim, owner=base + TORSO)


def _paint_limb(
    painter: Painter, body: Body, outfit: Outfit, part: int, ends: tuple[str, str], base: int
) -> None:
    p, h = body.points, body.height
    start, end = p[ends[0]], p[ends[1]]
    axis = np.stack([start[:2], end[:2]])
    arm = part in (LEFT_UPPER_ARM, RIGHT_UPPER_ARM, LEFT_FOREARM, RIGHT_FOREARM)
    upper = part in (LEFT_UPPER_ARM, RIGHT_UPPER_ARM, LEFT_THIGH, RIGHT_THIGH)
    radii = {
        (True, True): (0.04, 0.03), (True, False): (0.03, 0.021),
        (False, True): (0.06, 0.042), (False, False): (0.042, 0.027),
    }[arm, upper]  # fmt: skip
    covered = upper or (outfit.long_sleeves if arm else outfit.long_trousers)
    cloth = outfit.shirt * 0.88 if arm else outfit.trousers  # a sleeve stands out from its trunk
    shape = _hull((start, radii[0] * h), (end, radii[1] * h))
    if arm and not upper:  # the sleeve or the bare forearm ends at the wrist, the hand goes on
        wrist = p[ends[0].replace("elbow", "wrist")]
        hand = _hull((wrist, 0.02 * h), (end, 0.023 * h))
        painter.fill(hand, outfit.skin, owner=base + part)
        shape = _hull((start, radii[0] * h), (wrist, radii[1] * h))
    elif not arm and not upper:
        toe = p[ends[1].replace("ankle", "toe")]
        shoe = _hull((end, 0.028 * h), (toe, 0.02 * h))
        painter.fill(shoe, outfit.shoes, owner=base + part)
    pattern = outfit.pattern if arm and covered else 0
    painter.fill(
        shape,
        cloth if covered else outfit.skin,
        owner=base + part,
        axis=axis,
        pattern=pattern,
        trim=outfit.trim,
    )


def _paint_head(painter: Painter, body: Body, outfit: Outfit, owner: int) -> None:
    p, h = body.points, body.height
    up = p["crown"] - p["head"]
    back = np.array([*(-body.forward[:2]), 0.0]) * h
    hair = _hull(
        (p["head"] + back * 0.014 + up * 0.25, 0.072 * h), (p["head"] + back * 0.02, 0.066 * h)
    )
    face = _hull(
        (p["head"] - back * 0.02 + up * 0.1, 0.058 * h),
        (p["head"] - back * 0.02 - up * 0.4, 0.045 * h),
    )
    shapes = [(hair, outfit.hair), (face, outfit.skin)]
    axis = np.stack([p["crown"][:2], p["head"][:2]])
    for shape, colour in shapes if body.forward[2] > -0.1 else shapes[::-1]:
        painter.fill(shape, colour, owner=owner, axis=axis)
    seen = dict(zip(KEYPOINTS, body.facing, strict=True))
    for name in ("left_ear", "right_ear"):
        if seen[name]:
            painter.fill(_hull((p[name], 0.016 * h)), outfit.skin * 0.8, owner=owner)
    for name in ("left_eye", "right_eye"):
        if seen[name] and body.forward[2] > 0:
            painter.fill(_hull((p[name], 0.013 * h)), np.array([240.0] * 3), owner=owner)
            painter.fill(_hull((p[name], 0.0075 * h)), np.array([25.0] * 3), owner=owner)
    if seen["nose"] and body.forward[2] > -0.1:
        painter.fill(_hull((p["nose"], 0.011 * h)), outfit.skin * 0.72, owner=owner)
    if outfit.hat:
        brim = _hull((p["crown"] - up * 0.15, 0.062 * h), (p["crown"] + up * 0.25, 0.045 * h))
        painter.fill(brim, outfit.trim, owner=owner, axis=axis)
