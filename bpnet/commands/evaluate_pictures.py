"""The images of an evaluation's report: labels beside detections."""

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.commands.evaluate_outputs import Evaluation
from bpnet.data.coco import CocoImage
from bpnet.diagnosis.errors import KINDS, ImageErrors
from bpnet.drawing import draw_persons, resize_to
from bpnet.inference.labelled import read_labelled
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

PANEL = 560  # pixels, the longer side of each panel
GAP = 6
WRONG, IGNORED = (225, 25, 60), (150, 150, 150)  # RGB


def describe_image(errors: ImageErrors) -> str:
    """What is wrong in an image, in words."""
    plurals = {"miss": "misses", "missed person": "missed people"}
    counts = [(errors.count(kind), kind) for kind in reversed(KINDS)]
    said = [
        f"{count} {kind if count == 1 else plurals.get(kind, kind + 's')}"
        for count, kind in counts
        if count
    ]
    oks = sorted(errors.oks[errors.person >= 0].tolist())
    if oks:
        said.append(f"OKS of people found {oks[0]:.2f} to {oks[-1]:.2f}")
    return ", ".join(said)


def draw_image(errors: ImageErrors, evaluation: Evaluation) -> NDArray[np.uint8]:
    """Labels and detections of an image side by side, (H, W, 3) uint8 RGB.

    Raises:
        DataError: The image cannot be read.
    """
    found, image = evaluation.found, errors.comparison.image
    small = resize_to(read_labelled(image, evaluation.images_folder), PANEL)
    scale = PANEL / max(image.height, image.width)
    truth = _labelled(image, evaluation.dataset.keypoints, found.skeleton)
    left = draw_persons(small, _scaled(truth, scale), found.skeleton)
    right = draw_persons(small, _scaled(found.persons[image.id], scale), found.skeleton)
    labels = errors.comparison.labels
    for box, missed, ignored in zip(labels.bbox, errors.missed, labels.ignored, strict=True):
        if missed or ignored:
            _draw_box(left, box * scale, WRONG if missed else IGNORED)
    detections = errors.comparison.found
    for index in np.flatnonzero(errors.false_positive).tolist():
        xy = detections.xy[index][detections.present[index]]
        box = np.concatenate([xy.min(axis=0) - 4, np.ptp(xy, axis=0) + 8])
        _draw_box(right, box * scale, WRONG)
    between = np.full((small.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([left, between, right], axis=1)


def _labelled(image: CocoImage, keypoints: tuple[str, ...], skeleton: Skeleton) -> PersonKeypoints:
    """The labelled people with the keypoints of ``skeleton``, the derived ones derived."""
    people = [one for one in image.annotations if (one.visibility > 0).any()]
    xy = np.zeros((len(people), len(skeleton.keypoints), 2), np.float32)
    score = np.zeros(xy.shape[:2], np.float32)
    column = {name: index for index, name in enumerate(keypoints)}
    for row, one in enumerate(people):
        for target, name in enumerate(skeleton.keypoints):
            names = [name] if name in column else list(skeleton.derived.get(name, ()))
            places = [column[each] for each in names if each in column]
            if places and len(places) == len(names) and (one.visibility[places] > 0).all():
                xy[row, target] = one.xy[places].mean(axis=0)
                score[row, target] = 1
    return PersonKeypoints(xy, score, np.ones(len(people), np.float32))


def _scaled(persons: PersonKeypoints, scale: float) -> PersonKeypoints:
    """The people in an image resized by ``scale``, pixel centres staying on pixel centres."""
    xy = (persons.xy + 0.5) * np.float32(scale) - 0.5
    return PersonKeypoints(xy.astype(np.float32), persons.score, persons.person_score)


def _draw_box(
    drawing: NDArray[np.uint8], box: NDArray[np.float64], colour: tuple[int, int, int]
) -> None:
    """A box x, y, width, height in pixels of ``drawing``, kept within it."""
    height, width = drawing.shape[:2]
    low = np.clip(box[:2], 1, [width - 2, height - 2]).round().astype(int).tolist()
    high = np.clip(box[:2] + box[2:], 1, [width - 2, height - 2]).round().astype(int).tolist()
    cv2.rectangle(drawing, low, high, colour, 2, cv2.LINE_AA)
