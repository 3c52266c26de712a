"""A predictor on a labelled dataset: from image files to average precision."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.errors import DataError
from bpnet.evaluation import CocoMetrics, evaluate_persons
from bpnet.inference.files import FileResult, predict_files
from bpnet.inference.predictor import Predictor
from bpnet.pose.persons import PersonKeypoints

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValidationResult:
    """What a predictor found in a dataset, and how good it is.

    Attributes:
        metrics: Over the images that could be read.
        persons: By image id.
        failures: A sentence for each image that could not be used, by image id.
    """

    metrics: CocoMetrics
    persons: dict[int, PersonKeypoints]
    failures: dict[int, str]


def validate(
    predictor: Predictor,
    dataset: CocoDataset,
    images_folder: Path,
    *,
    limit: int | None = None,
    on_image: Callable[[], object] | None = None,
) -> ValidationResult:
    """Run ``predictor`` on the images of ``dataset`` and compare with its labels.

    Images are read as stored, without turning them by EXIF, since the labels are in those pixels.
    Images that cannot be used are named in the log and left out.

    Args:
        predictor: The network and its decoder.
        dataset: The labels.
        images_folder: What the dataset's file names are below.
        limit: only the first so many images.
        on_image: called after each image.

    Raises:
        DataError: There is no image, none can be used, or the keypoints do not fit.
    """
    images = dataset.images[:limit]
    if not images:
        raise DataError("the annotation file lists no images, so there is nothing to evaluate")
    persons: dict[int, PersonKeypoints] = {}
    failures: dict[int, str] = {}
    paths = (images_folder / image.file_name for image in images)
    results = predict_files(predictor, paths, upright=False)
    for image, result in zip(images, results, strict=True):
        failure = result.failure or _size_fault(image, result)
        if failure or result.persons is None:
            failures[image.id] = failure or ""
            logger.error("%s", failure)
        else:
            persons[image.id] = result.persons
        if on_image is not None:
            on_image()
    if not persons:
        raise DataError(
            f"none of the {len(images)} images could be used; the first: {failures[images[0].id]}"
        )
    metrics = evaluate_persons(
        persons, dataset, predictor.backend.contract.skeleton, image_ids=persons
    )
    return ValidationResult(metrics, persons, failures)


def _size_fault(image: CocoImage, result: FileResult) -> str | None:
    """Why the labels cannot be in the pixels of the file, or None."""
    if result.image is None or result.image.shape[:2] == (image.height, image.width):
        return None
    height, width = result.image.shape[:2]
    return (
        f"{result.path} is {width}x{height} pixels, but its labels are for "
        f"{image.width}x{image.height}"
    )
