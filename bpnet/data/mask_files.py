"""The mask files of a dataset, drawn by several processes."""

import functools
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

from tqdm import tqdm

from bpnet.data.coco import CocoImage
from bpnet.data.faults import Faults
from bpnet.data.masks import SegmentationError, mask_name, needs_mask, store_mask
from bpnet.data.storage import address, is_file, remove_leftovers
from bpnet.errors import DataError

MASKS_A_PROCESS = 64  # below it, starting a process costs more than it saves


def find_masks(images: Iterable[CocoImage], folder: Path) -> tuple[set[int], set[int]]:
    """The ids of the images whose mask file exists, and of those that lack one they need.

    Raises:
        DataError: The folder cannot be read.
    """
    needed = [image for image in images if needs_mask(image)]
    try:
        found = {image.id for image in needed if is_file(folder / mask_name(image.file_name))}
    except OSError as error:
        raise DataError(f"{address(folder)} cannot be read: {error.strerror}") from error
    return found, {image.id for image in needed} - found


def write_masks(
    images: Iterable[CocoImage], folder: Path, *, workers: int, annotations: Path
) -> tuple[set[int], Counter[str]]:
    """Write the masks that are not valid everywhere, a PNG file each, in parallel processes.

    Args:
        images: The images of a dataset.
        folder: The mask folder.
        workers: The number of processes.
        annotations: The annotation file, for the report of its faults.

    Returns:
        The ids of the images that have a mask file, and how many files were drawn, kept from
        before or left out because every pixel counts.

    Raises:
        DataError: Images share a mask file or segmentations cannot be decoded, all of which are
            named; or a file cannot be written.
    """
    needed = [image for image in images if needs_mask(image)]
    _check_names(needed, annotations)
    _clean(needed, folder)
    faults = Faults(annotations)
    outcomes: list[str] = []
    for image, outcome in zip(needed, _store_all(needed, folder, workers), strict=True):
        if isinstance(outcome, SegmentationError):
            faults.add(f"image {image.id}: {outcome}")
        outcomes.append(str(outcome))
    faults.check()
    stored = {image.id for image, end in zip(needed, outcomes, strict=True) if end != "all valid"}
    return stored, Counter(outcomes)


def _store_all(
    needed: Sequence[CocoImage], folder: Path, workers: int
) -> list[str | SegmentationError]:
    """What became of each image's mask, in order."""
    store = functools.partial(_store, folder=folder)
    bar = functools.partial(tqdm, total=len(needed), desc="masks", unit="image", disable=None)
    workers = min(workers, len(needed) // MASKS_A_PROCESS)
    if workers < 2:
        return [store(image) for image in bar(needed)]
    # New processes, not copies of this one: its threads and TensorFlow would not survive that.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    try:
        return list(bar(pool.map(store, needed, chunksize=16)))
    except BrokenProcessPool as error:
        raise DataError(
            "a process that draws masks was killed, perhaps for want of memory; "
            "run again with --workers 1, finished masks are kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _store(image: CocoImage, *, folder: Path) -> str | SegmentationError:
    try:
        return store_mask(image, folder / mask_name(image.file_name))
    except SegmentationError as error:  # to be reported with the others
        return error


def _check_names(images: Sequence[CocoImage], annotations: Path) -> None:
    owners: dict[str, CocoImage] = {}
    faults = Faults(annotations)
    for image in images:
        owner = owners.setdefault(mask_name(image.file_name), image)
        if owner is not image:
            faults.add(
                f"images {owner.id} ({owner.file_name}) and {image.id} ({image.file_name}) would "
                f"share the mask file {mask_name(image.file_name)}; rename one of them"
            )
    faults.check()


def _clean(images: Sequence[CocoImage], folder: Path) -> None:
    """Remove what a killed run left half-written beside the masks."""
    try:
        for parent in {(folder / image.file_name).parent for image in images}:
            remove_leftovers(parent)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent process, which stops this one; end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
