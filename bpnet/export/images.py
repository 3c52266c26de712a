"""Photos as network inputs, for calibration and for comparing an export with what was trained."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.data.coco import CocoDataset
from bpnet.errors import DataError
from bpnet.inference.preprocess import PAD_VALUE, InputFit, fit_image
from bpnet.inference.sources import list_images, read_image


def choose_images(folder: Path, count: int) -> list[Path]:
    """``count`` images of ``folder``, evenly spaced over its sorted names: always the same ones.

    Raises:
        DataError: The folder is not there, or holds fewer images.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; give one with {count} photos like those that the network "
            "will see"
        )
    found = list_images(folder, input_type="dir").paths
    if len(found) < count:
        raise DataError(
            f"{folder} holds {len(found)} images, but {count} are asked for; add images or ask "
            "for fewer"
        )
    return [found[index * len(found) // count] for index in range(count)]


def choose_labelled(
    dataset: CocoDataset,
    count: int,
    *,
    min_persons: int,
    min_keypoints: int,
    seed: int | None = None,
) -> tuple[list[str], int]:
    """Images with enough people who have enough labelled keypoints; always the same ones.

    Args:
        dataset: Images and their annotations.
        count: How many to choose; all that fit where there are fewer.
        min_persons: Least people with so many labelled keypoints; crowd regions do not count.
        min_keypoints: Least labelled keypoints of such a person.
        seed: Of a choice at random; None: evenly spaced over the annotation file.

    Returns:
        The file names, in the order of the file, and how many images fit.
    """
    fitting = []
    for image in dataset.images:
        labelled = [int((one.visibility > 0).sum()) for one in image.annotations if not one.crowd]
        if sum(keypoints >= min_keypoints for keypoints in labelled) >= min_persons:
            fitting.append(image.file_name)
    count = min(count, len(fitting))
    if seed is None:
        chosen = [index * len(fitting) // count for index in range(count)]
    else:
        drawn = np.random.default_rng(seed).choice(len(fitting), count, replace=False)
        chosen = sorted(drawn.tolist())
    return [fitting[index] for index in chosen], len(fitting)


def read_fitted(
    paths: Iterable[Path], *, height: int, width: int, pad_value: int = PAD_VALUE
) -> Iterator[NDArray[np.uint8]]:
    """The images (height, width, 3) uint8 RGB, padded as inference does (``pad_image_input``).

    Raises:
        DataError: An image cannot be read.
    """
    fit = InputFit(height, width, "pad_image_input", pad_value, multiple=1)
    for path in paths:
        yield fit_image(read_image(path), fit).image


def drawn_images(count: int, *, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Images of soft random blobs, the same every time, for where no photos are given."""
    generator = np.random.default_rng(0)
    coarse = (max(2, height // 32), max(2, width // 32), 3)
    return [
        np.asarray(
            cv2.resize(
                generator.integers(0, 256, coarse, dtype=np.uint8),
                (width, height),
                interpolation=cv2.INTER_LINEAR,
            ),
            dtype=np.uint8,
        )
        for _ in range(count)
    ]
