"""Drawn people: a COCO-format dataset of articulated figures, for the quickstart and the tests.

Each image is a pure function of the seed, the split and its number, so any number of processes
draws the same files.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.drawn_person import OWN_PARTS, PARTS, Painter, paint_person, random_outfit
from bpnet.data.posed_body import KEYPOINTS, NEIGHBOUR, Body, random_body
from bpnet.errors import DataError
from bpnet.files import replacing

GENERATOR_VERSION = "1"  # changes with every change to the pictures: figures compare within one

SKELETON = (
    (16, 14),
    (14, 12),
    (17, 15),
    (15, 13),
    (12, 13),
    (6, 12),
    (7, 13),
    (6, 7),
    (6, 8),
    (7, 9),
    (8, 10),
    (9, 11),
    (2, 3),
    (1, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
    (5, 7),
)

CROWD = -2  # owner of a crowd's pixels
THING = -3  # owner of an object's pixels


@dataclass(frozen=True)
class Person:
    """One person of a scene, numbered from the far ones on; small ones are not labelled."""

    body: Body
    number: int
    labelled: bool


def render_dataset(
    folder: Path,
    *,
    split: str,
    images: int,
    seed: int,
    size: tuple[int, int] = (288, 384),
    workers: int = 2,
) -> Iterator[int]:
    """Draw ``images`` pictures into ``folder/split`` and their labels into ``folder/annotations``.

    Yields the number of pictures done, so that a caller can show progress; the annotation file
    ``person_keypoints_<split>.json`` is written at the end.

    Args:
        folder: Root of the dataset.
        split: Name of the subset, such as ``train``; part of the seed.
        images: Number of pictures.
        seed: Seed of everything drawn.
        size: (height, width) of a picture, pixels.
        workers: Processes that draw.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        (folder / split).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder / split} cannot be written: {error.strerror}") from error
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    # Not by fork: OpenCV's threads are not in the copy, and it would wait for them for ever.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = pool.map(
            _render_file,
            [folder / split] * images,
            range(images),
            [(seed, split, size)] * images,
            chunksize=8,
        )
        for done, (record, people) in enumerate(jobs, start=1):
            records.append(record)
            annotations += [
                {"id": len(annotations) + n + 1, **person} for n, person in enumerate(people)
            ]
            yield done
    category = {
        "id": 1, "name": "person", "supercategory": "person",
        "keypoints": list(KEYPOINTS), "skeleton": [list(limb) for limb in SKELETON],
    }  # fmt: skip
    info = {"description": f"drawn people, generator {GENERATOR_VERSION}, seed {seed}"}
    labels = {"info": info, "images": records, "annotations": annotations, "categories": [category]}
    with replacing(folder / "annotations" / f"person_keypoints_{split}.json") as temporary:
        temporary.write_text(json.dumps(labels))


def _render_file(
    folder: Path, number: int, job: tuple[int, str, tuple[int, int]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw picture ``number`` of a split, write it, and return its COCO image and annotations."""
    seed, split, size = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, *split.encode(), number])
    image, people = render_scene(rng, size)
    name = f"{number:06d}.jpg"
    quality = int(rng.integers(82, 96))
    # Not by imwrite, which says nothing of a disk that is full.
    jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    with replacing(folder / name) as temporary:
        temporary.write_bytes(jpeg.tobytes())
    record = {"id": number + 1, "file_name": name, "height": size[0], "width": size[1]}
    return record, [{"image_id": number + 1, "category_id": 1, **person} for person in people]


def render_scene(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """One picture (H, W, 3) RGB uint8 and the COCO annotations of its people."""
    painter = Painter(draw_background(rng, size))
    if rng.random() < 0.12:
        _paint_crowd(rng, painter, size)
    people = _place_people(rng, size)
    for person in people:
        paint_person(painter, person.body, random_outfit(rng), person=person.number)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.83, 0.14, 0.03]))):
        _paint_thing(rng, painter, size)
    annotations = [a for person in people if (a := _annotate(person, painter, size)) is not None]
    annotations += _crowd_annotation(painter)
    return photograph(rng, painter.image), annotations


def draw_background(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """A textured backdrop: a gradient, clouds of noise at several scales, shapes and lines."""
    height, width = size
    top, bottom = rng.uniform(30, 230, 3), rng.uniform(30, 230, 3)
    ramp = np.linspace(0, 1, height)[:, None, None]
    image = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3)).astype(np.float32)
    for cells in (3, 9, 27, 80):
        noise = rng.normal(
            0, rng.uniform(3, 14), (cells, cells * width // height, 3 if cells < 27 else 1)
        )
        cloud = cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        image = image + (cloud if cloud.ndim == 3 else cloud[..., None])
    canvas = np.ascontiguousarray(image, dtype=np.float32)
    for _ in range(int(rng.integers(2, 12))):
        colour = [float(c) for c in rng.uniform(10, 245, 3)]
        a, b = (rng.uniform(-0.1, 1.1, 2) * [width, height] for _ in range(2))
        first, second = (tuple(int(v) for v in point) for point in (a, b))
        kind = rng.integers(3)
        if kind == 0:
            cv2.rectangle(
                canvas, first, second, colour, -1 if rng.random() < 0.6 else 3, cv2.LINE_AA
            )
        elif kind == 1:
            cv2.line(canvas, first, second, colour, int(rng.integers(1, 14)), cv2.LINE_AA)
        else:
            cv2.circle(
                canvas, first, int(rng.uniform(0.02, 0.15) * height), colour, -1, cv2.LINE_AA
            )
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 1.6)), dtype=np.float32)


def _place_people(rng: np.random.Generator, size: tuple[int, int]) -> list[Person]:
    """People of a scene, far ones first; small ones carry no keypoints."""
    height, width = size
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.36, 0.32, 0.17, 0.09, 0.06]))
    tallest = (0.95, 0.95, 0.85, 0.75, 0.7)[count - 1]
    placed: list[tuple[float, tuple[float, float], bool]] = []
    for _ in range(count):
        part = float(rng.uniform(0.3, tallest))
        room = rng.uniform(0.05, 0.95, 3) * width  # of three places, the freest
        taken = np.array([at[0] for _, at, _ in placed] or [-width])
        x = float(room[np.abs(room[:, None] - taken).min(1).argmax()])
        middle = rng.uniform(part / 2, 1 - part / 2)
        if rng.random() < 0.15:  # partly outside the frame
            middle += rng.uniform(0.1, 0.4) * part * rng.choice([-1, 1, 1])
            part = min(0.95, part * 1.25)
        if placed and rng.random() < 0.055:  # close to another
            near, (near_x, near_y), _ = placed[-1]
            part = float(np.clip(near * rng.uniform(0.85, 1.15), 0.3, 0.95))
            x, middle = near_x + rng.uniform(-0.16, 0.16) * near * height, near_y / height
        placed.append((part, (x, float(middle * height)), True))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.8, 0.14, 0.06]))):  # too small for the map
        place = (float(rng.uniform(0, width)), float(rng.uniform(0.2, 0.9) * height))
        placed.append((float(rng.uniform(0.07, 0.14)), place, False))
    placed.sort(key=lambda one: one[0])
    return [
        Person(random_body(rng, height=part * height, centre=centre), number, labelled)
        for number, (part, centre, labelled) in enumerate(placed)
    ]


def _paint_crowd(rng: np.random.Generator, painter: Painter, size: tuple[int, int]) -> None:
    """A group too dense to label; its pixels belong to CROWD."""
    height, width = size
    x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.2, 0.6) * height
    for _ in range(int(rng.integers(6, 13))):
        at = (float(x + rng.normal(0, 0.1) * width), float(y + rng.normal(0, 0.03) * height))
        body = random_body(rng, height=float(rng.uniform(0.12, 0.22) * height), centre=at)
        paint_person(painter, body, random_outfit(rng), person=0)
    painter.owner[painter.owner >= 0] = CROWD


def _paint_thing(rng: np.random.Generator, painter: Painter, size: tuple[int, int]) -> None:
    """Something in the foreground that hides what is behind it."""
    height, width = size
    x, w = rng.uniform(0, width), rng.uniform(0.03, 0.16) * width
    y, h = rng.uniform(0.4, 1) * height, rng.uniform(0.15, 0.7) * height
    corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    painter.fill(
        corners, rng.uniform(20, 230, 3), owner=THING, axis=np.stack([corners[0], corners[3]])
    )


def photograph(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Light, blur and sensor noise."""
    lit: NDArray[np.floating] = (image - 128) * rng.uniform(0.75, 1.15) + 128 + rng.uniform(-25, 25)
    if rng.random() < 0.5:
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.4, 1.1)))
    lit = lit + rng.normal(0, rng.uniform(1, 5), lit.shape)
    return np.clip(lit, 0, 255).astype(np.uint8)


def _annotate(person: Person, painter: Painter, size: tuple[int, int]) -> dict[str, Any] | None:
    """The COCO annotation of a person, None where nothing of it is seen."""
    part = painter.owner - person.number * PARTS
    mask = ((part >= 0) & (part < PARTS)).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = [c[:, 0].astype(float).ravel().tolist() for c in contours if len(c) >= 4]
    if not polygons:
        return None
    rows, columns = np.nonzero(mask)
    box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    flags = keypoint_flags(person.body, part, size) if person.labelled else np.zeros(17, int)
    xy = np.where(flags[:, None] > 0, np.round(person.body.xy, 2), 0)
    keypoints = np.concatenate([xy, flags[:, None]], 1).ravel().tolist()
    return {
        "bbox": box, "area": float(mask.sum()), "iscrowd": 0, "segmentation": polygons,
        "num_keypoints": int((flags > 0).sum()), "keypoints": keypoints,
    }  # fmt: skip


def keypoint_flags(body: Body, part: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int_]:
    """COCO flags (17,): 2 seen, 1 hidden but clear where, 0 outside, or hidden and unclear."""
    height, width = size
    cells = np.round(body.xy).astype(int)
    inside = np.all((cells >= 0) & (cells < [width, height]), axis=1)
    flags = np.zeros(17, int)
    owners = np.full(17, -1)
    owners[inside] = part[cells[inside, 1], cells[inside, 0]]
    for k in range(17):
        if inside[k] and owners[k] in OWN_PARTS[k] and body.facing[k]:
            flags[k] = 2
    for k in range(5, 17):
        own_body = 0 <= owners[k] < PARTS
        if inside[k] and flags[k] == 0 and (own_body or flags[NEIGHBOUR[k]] == 2):
            flags[k] = 1
    return flags


def _crowd_annotation(painter: Painter) -> list[dict[str, Any]]:
    """The crowd's region as COCO's uncompressed run lengths, column by column; none without one."""
    mask = painter.owner == CROWD
    if not mask.any():
        return []
    column_wise = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(column_wise)) + 1
    runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    counts = [0, *runs] if column_wise[0] else runs
    rows, columns = np.nonzero(mask)
    box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return [{
        "bbox": box, "area": float(mask.sum()), "iscrowd": 1,
        "num_keypoints": 0, "keypoints": [0] * 51,
        "segmentation": {"size": list(mask.shape), "counts": counts},
    }]  # fmt: skip


def count_difficulty(annotation_file: Path) -> dict[str, float]:
    """How hard a drawn set is, each a share from 0 to 1.

    ``hidden``: labelled people's keypoints that are not plainly seen; ``overlapping``: labelled
    people whose box overlaps another's by IoU > 0.3; ``unlabelled``: people without keypoints.
    """
    labels = json.loads(annotation_file.read_text())
    people = [a for a in labels["annotations"] if not a["iscrowd"]]
    labelled = [a for a in people if a["num_keypoints"]]
    flags = np.array([a["keypoints"][2::3] for a in labelled])
    by_image: dict[int, list[list[float]]] = {}
    for person in labelled:
        by_image.setdefault(person["image_id"], []).append(person["bbox"])
    overlapping = sum(_overlapping(np.array(boxes)) for boxes in by_image.values())
    return {
        "hidden": float((flags < 2).mean()),
        "overlapping": overlapping / len(labelled),
        "unlabelled": 1 - len(labelled) / len(people),
    }


def _overlapping(boxes: NDArray[np.float64]) -> int:
    """How many of the boxes (n, 4) overlap another by IoU > 0.3."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    area = np.prod(np.clip(shared, 0, None), axis=2)
    whole = np.prod(boxes[:, 2:], axis=1)
    overlap = area / (whole[:, None] + whole[None] - area)
    np.fill_diagonal(overlap, 0)
    return int((overlap > 0.3).any(1).sum())
