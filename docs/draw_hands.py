"""Draw hands with 21 labelled keypoints, to try bpnet on a skeleton that is no person's.

python docs/draw_hands.py hands

writes hands/train and hands/val, pictures of one or two hands each, and COCO annotation files
hands/annotations/train.json and val.json.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.files import replacing

FINGERS = ("thumb", "index", "middle", "ring", "little")
KEYPOINTS = ("wrist", *(f"{finger}_{joint}" for finger in FINGERS for joint in (1, 2, 3, 4)))
LIMBS = [
    (1 if joint == 1 else first + joint - 1, first + joint)
    for first in range(1, 21, 4)
    for joint in (1, 2, 3, 4)
]  # pairs of keypoint numbers, from 1
SPREAD = (-50.0, -22.0, -5.0, 12.0, 28.0)  # degrees between the hand's axis and each finger
PALM = (0.35, 0.55, 0.58, 0.55, 0.5)  # wrist to each finger's first joint, in hand lengths
BONES = (0.17, 0.13, 0.1)  # along a finger, in hand lengths
HEIGHT, WIDTH = 192, 256  # pixels


def draw_picture(
    random: np.random.Generator,
) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]]:
    """A picture (H, W, 3) BGR and the keypoints (21, 2) of its hands, x and y in pixels."""
    low = random.integers(40, 180, 3)
    picture = random.integers(low - 15, low + 15, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    hands = []
    for column in range(random.integers(1, 3)):
        centre = (70 + 115 * column + random.uniform(-8, 8), HEIGHT / 2 + random.uniform(-12, 12))
        hand = pose_hand(random, centre, length=random.uniform(90, 130))
        draw_hand(picture, hand, skin=random.integers((60, 90, 140), (150, 190, 245)))
        hands.append(hand)
    return picture, hands


def pose_hand(
    random: np.random.Generator, centre: tuple[float, float], *, length: float
) -> NDArray[np.float64]:
    """Keypoints (21, 2) of a hand about ``centre``, ``length`` pixels long."""
    upright = random.uniform(-25, 25)
    curl = random.uniform(0, 18)
    points = [np.zeros(2)]
    for finger, reach in enumerate(PALM):
        angle = upright + SPREAD[finger] + random.uniform(-4, 4)
        points.append(points[0] + reach * _direction(angle))
        for bone in BONES:
            angle += curl + random.uniform(-6, 6)
            points.append(points[-1] + bone * _direction(angle))
    hand = np.array(points) * length
    return np.asarray(hand - hand.mean(axis=0) + centre)


def draw_hand(picture: NDArray[np.uint8], hand: NDArray[np.float64], *, skin: Any) -> None:
    """Draw a hand's bones and joints onto ``picture``."""
    colour = tuple(int(value) for value in skin)
    dark = tuple(value * 2 // 3 for value in colour)
    places = [(round(x * 8), round(y * 8)) for x, y in hand]  # eighths of a pixel
    palm = np.array([places[i] for i in (0, 1, 5, 9, 13, 17)])
    cv2.fillPoly(picture, [palm], colour, cv2.LINE_AA, 3)
    for start, end in LIMBS:
        cv2.line(picture, places[start - 1], places[end - 1], colour, 7, cv2.LINE_AA, 3)
    for place in places:
        cv2.circle(picture, place, 12, dark, -1, cv2.LINE_AA, 3)


def write_subset(folder: Path, name: str, count: int, seed: int) -> None:
    """Draw ``count`` pictures, and label them."""
    random = np.random.default_rng((seed, *name.encode()))
    (folder / name).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        picture, hands = draw_picture(random)
        file_name = f"{number:05d}.jpg"
        done, data = cv2.imencode(".jpg", picture)
        assert done
        with replacing(folder / name / file_name) as temporary:
            temporary.write_bytes(data.tobytes())
        images.append({"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH})
        annotations += [
            _annotation(hand, number, len(annotations) + i) for i, hand in enumerate(hands)
        ]
    category = {"id": 1, "name": "hand", "keypoints": KEYPOINTS, "skeleton": LIMBS}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations").mkdir(exist_ok=True)
    with replacing(folder / "annotations" / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(document))


def _annotation(hand: NDArray[np.float64], image: int, number: int) -> dict[str, Any]:
    last = np.array([WIDTH - 1, HEIGHT - 1])
    inside = np.all((hand >= 0) & (hand <= last), axis=1)
    flags = np.where(inside, 2, 0)
    shown = np.where(inside[:, None], hand, 0).round(2)
    left, top = hand.clip(0, last).min(axis=0)
    width, height = hand.clip(0, last).max(axis=0) - (left, top)
    return {
        "id": number + 1,
        "image_id": image,
        "category_id": 1,
        "keypoints": np.column_stack([shown, flags]).ravel().tolist(),
        "num_keypoints": int(inside.sum()),
        "bbox": [round(float(value), 2) for value in (left, top, width, height)],
        "area": round(float(width * height), 2),
        "iscrowd": 0,
    }


def _direction(degrees: float) -> NDArray[np.float64]:
    """Unit vector (x, y) at an angle from upwards, clockwise."""
    return np.array([math.sin(math.radians(degrees)), -math.cos(math.radians(degrees))])


def main() -> int:
    """Draw both subsets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--images", type=int, default=1500, help="to train on (default: 1500)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    write_subset(args.folder, "train", args.images, args.seed)
    write_subset(args.folder, "val", max(1, args.images // 10), args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
