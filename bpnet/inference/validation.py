"""A predictor on a labelled dataset: from image files to average precision."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.errors import DataError
from bpnet.evaluation import CocoMetrics, evaluate_persons
from bpnet.inference.frames import Frame
from bpnet.inference.labelled import read_labelled
from bpnet.inference.pipeline import run
from bpnet.inference.predictor import Predictor
from bpnet.inference.stages import StageTimes
from bpnet.pose.persons import PersonKeypoints

STEPS = ("read", "prepare", "network", "decode")  # of the pipeline, that run side by side

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectedPeople:
    """What a predictor found in images of a dataset.

    Attributes:
        persons: By image id, in pixels of the image as stored.
        failures: A sentence for each image that could not be used, by image id.
        seconds: Work of each of ``STEPS``, and ``all``: from the first image to the last.
    """

    persons: dict[int, PersonKeypoints]
    failures: dict[int, str]
    seconds: dict[str, float]


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

    Args:
        predictor: The network and its decoder.
        dataset: The labels.
        images_folder: What the dataset's file names are below.
        limit: only the first so many images.
        on_image: called after each image.

    Raises:
        DataError: There is no image, none can be used, or the keypoints do not fit.
    """
    found = detect_people(predictor, dataset.images[:limit], images_folder, on_image=on_image)
    skeleton = predictor.backend.contract.skeleton
    metrics = evaluate_persons(found.persons, dataset, skeleton, image_ids=found.persons)
    return ValidationResult(metrics, found.persons, found.failures)


def detect_people(
    predictor: Predictor,
    images: Sequence[CocoImage],
    images_folder: Path,
    *,
    on_image: Callable[[], object] | None = None,
) -> DetectedPeople:
    """The people that ``predictor`` finds in ``images``.

    Images are read as stored, without turning them by EXIF, since the labels are in those pixels.
    Images that cannot be used are named in the log and left out.

    Args:
        predictor: The network and its decoder.
        images: Of a dataset.
        images_folder: What their file names are below.
        on_image: called after each image.

    Raises:
        DataError: There is no image, or none can be used.
    """
    if not images:
        raise DataError("the annotation file lists no images, so there is nothing to evaluate")
    persons: dict[int, PersonKeypoints] = {}
    failures: dict[int, str] = {}
    source = _LabelledImages(images, images_folder, count=len(images))
    times, began = StageTimes(), time.perf_counter()
    for result in run(predictor, [source], times=times):
        image = images[result.frame.index]
        if result.persons is None:
            failures[image.id] = result.failure or ""
            logger.error("%s", result.failure)
        else:
            persons[image.id] = result.persons
        if on_image is not None:
            on_image()
    if not persons:
        raise DataError(
            f"none of the {len(images)} images could be used; the first: {failures[images[0].id]}"
        )
    steps = {name: getattr(times, name).seconds for name in STEPS}
    return DetectedPeople(persons, failures, {**steps, "all": time.perf_counter() - began})


@dataclass
class _LabelledImages:
    """The image files of a dataset as a source of frames."""

    images: Sequence[CocoImage]
    folder: Path
    count: int | None
    name: str = "the dataset's images"
    moving: bool = False
    frame_rate: float | None = None
    header: dict[str, Any] = field(default_factory=dict)
    dropped: int = 0

    def __iter__(self) -> Iterator[Frame]:
        """A frame an image, in the dataset's order."""
        for index, image in enumerate(self.images):
            record = {"full_image_path": str(self.folder / image.file_name)}
            try:
                yield Frame(read_labelled(image, self.folder), index, record=record)
            except DataError as error:
                yield Frame(None, index, record=record, failure=str(error))

    def close(self) -> None:
        """Nothing is open between images."""
