"""People of many image files: reading ahead while the network runs."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError
from bpnet.inference.predictor import Predictor, PreparedImage
from bpnet.inference.sources import read_image
from bpnet.pose.persons import PersonKeypoints


@dataclass(frozen=True)
class FileResult:
    """What came of one image file.

    Attributes:
        path: The file.
        image: (H, W, 3) uint8 RGB; None where it could not be used.
        persons: In pixels of ``image``; None where it could not be used.
        failure: Why it could not be used, a sentence that names the file.
    """

    path: Path
    image: NDArray[np.uint8] | None = None
    persons: PersonKeypoints | None = None
    failure: str | None = None


@dataclass(frozen=True)
class _ReadImage:
    image: NDArray[np.uint8]
    prepared: PreparedImage


def predict_files(
    predictor: Predictor, paths: Iterable[Path], *, upright: bool = True
) -> Iterator[FileResult]:
    """The result of each file, in order; a file that cannot be used does not stop the rest.

    Args:
        predictor: Its batch size is the number of files in memory at once, times two.
        paths: The files.
        upright: turn images as their EXIF orientation says; False for COCO data.
    """
    remaining = iter(paths)
    size = predictor.batch_size
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[tuple[Path, Future[_ReadImage | str]]] = deque()
        while True:
            for path in islice(remaining, 2 * size - len(waiting)):
                waiting.append((path, pool.submit(_read, path, predictor, upright)))
            if not waiting:
                return
            batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            yield from _predict_batch(
                predictor, [(path, future.result()) for path, future in batch]
            )


def _read(path: Path, predictor: Predictor, upright: bool) -> _ReadImage | str:
    """The image and its network inputs, or the sentence that says why not."""
    try:
        image = read_image(path, upright=upright)
    except DataError as error:
        return str(error)
    try:
        return _ReadImage(image, predictor.prepare(image))
    except DataError as error:
        return f"{path}: {error}"


def _predict_batch(
    predictor: Predictor, batch: list[tuple[Path, _ReadImage | str]]
) -> Iterator[FileResult]:
    prepared = [read.prepared for _, read in batch if isinstance(read, _ReadImage)]
    persons = iter(predictor.decode(predictor.infer(prepared), prepared) if prepared else [])
    for path, read in batch:
        if isinstance(read, _ReadImage):
            yield FileResult(path, read.image, next(persons))
        else:
            yield FileResult(path, failure=read)
