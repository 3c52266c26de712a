"""From an annotation file to the plan of its records: who is a main person, and what goes where."""

import dataclasses
import functools
import multiprocessing
import random
import signal
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.data.masks import mask_name, needs_mask, store_mask
from bpnet.errors import DataError
from bpnet.spec.dataset import DataFilteringParams

SHUFFLE_SEED = 42  # TAO's
MASKS_A_PROCESS = 64  # below it, starting a process costs more than it saves

Item = TypeVar("Item")


@dataclass(frozen=True)
class Summary:
    """What a conversion made of an annotation file.

    Attributes:
        images: Images in the file.
        images_used: Images with a record.
        records: Records, one for each main person.
        people: People in the file with at least one labelled keypoint.
        keypoints: Labelled keypoints of those people, by keypoint name.
        dropped_images: Images without a record, by reason.
        dropped_people: People who are no main person, by reason.
        missing_images: Referenced image files that do not exist.
    """

    images: int
    images_used: int
    records: int
    people: int
    keypoints: dict[str, int]
    dropped_images: dict[str, int]
    dropped_people: dict[str, int]
    missing_images: list[str]


@dataclass(frozen=True)
class Plan:
    """The images that get records, each with the places of its main people, and a summary."""

    images: tuple[tuple[CocoImage, tuple[int, ...]], ...]
    summary: Summary


def plan_records(
    dataset: CocoDataset,
    filters: DataFilteringParams,
    *,
    every_person: bool,
    missing: Collection[str] = (),
) -> Plan:
    """Which records a dataset makes.

    Args:
        dataset: The images and their annotations.
        filters: Who may be a main person.
        every_person: One record for each main person; otherwise for the first of each image.
        missing: File names of images that do not exist; they get no record.
    """
    images: list[tuple[CocoImage, tuple[int, ...]]] = []
    dropped_images, dropped_people = Counter[str](), Counter[str]()
    for image in dataset.images:
        if image.file_name in missing:
            dropped_images["image file is missing"] += 1
            continue
        mains, dropped = choose_main_people(image, filters)
        dropped_people.update(dropped.values())
        if not every_person:
            dropped_people["not the first main person of the image"] += len(mains[1:])
            mains = mains[:1]
        if mains:
            images.append((image, tuple(mains)))
        else:
            dropped_images["no main person" if image.annotations else "no annotations"] += 1
    labelled = [
        one
        for image in dataset.images
        for one in image.annotations
        if one.num_keypoints > 0 and not one.crowd
    ]
    counts = sum((one.visibility > 0 for one in labelled), np.zeros(len(dataset.keypoints), int))
    summary = Summary(
        images=len(dataset.images),
        images_used=len(images),
        records=sum(len(mains) for _, mains in images),
        people=len(labelled),
        keypoints=dict(zip(dataset.keypoints, counts.tolist(), strict=True)),
        dropped_images=dict(sorted(dropped_images.items())),
        dropped_people=dict(sorted((+dropped_people).items())),
        missing_images=sorted(missing),
    )
    return Plan(tuple(images), summary)


def choose_main_people(
    image: CocoImage, filters: DataFilteringParams
) -> tuple[list[int], dict[int, str]]:
    """The main people of an image, who each get a record.

    Returns:
        The places of the main people among the annotations, in annotation order, and why each
        other annotation is none.
    """
    least_area = filters.min_acceptable_height * filters.min_acceptable_width
    mains: list[int] = []
    dropped: dict[int, str] = {}
    for place, person in enumerate(image.annotations):
        if person.crowd:
            dropped[place] = "crowd"
        elif person.num_keypoints < filters.min_acceptable_kpts:
            few = "too few keypoints" if person.num_keypoints > 0 else "no keypoints"
            dropped[place] = few
        elif person.area < least_area:
            dropped[place] = "too small"
        elif any(
            _distance_ratio(image, place, main) < filters.min_acceptable_interperson_dist_ratio
            for main in mains
        ):
            dropped[place] = "too close to another main person"
        else:
            mains.append(place)
    return mains, dropped


def split_records(
    images: Sequence[tuple[CocoImage, tuple[int, ...]]], *, partitions: int, shards: int
) -> dict[str, list[tuple[CocoImage, int]]]:
    """The records (image, main person) of each file, by what the file's name ends with.

    All records of an image are in one partition, so partitions can serve as folds. Partitions
    take images in turn and are shuffled, always the same way; shards are equal slices.

    Args:
        images: Images and their main people.
        partitions: Number of partitions; 0: one, not named in the file names.
        shards: Number of shards of a partition; 0: one, not named in the file names.

    Raises:
        DataError: There are fewer images or records than files to fill.
    """
    files: dict[str, list[tuple[CocoImage, int]]] = {}
    count = max(partitions, 1)
    for partition in range(count):
        fold = f"-fold-{partition:03d}-of-{partitions:03d}" if partitions else ""
        records = [(image, main) for image, mains in images[partition::count] for main in mains]
        if len(records) < max(shards, 1):
            raise DataError(
                f"partition {partition} has {len(records)} records for {max(shards, 1)} file(s); "
                "ask for fewer partitions or shards"
            )
        random.Random(SHUFFLE_SEED).shuffle(records)
        if not shards:
            files[fold] = records
            continue
        size = len(records) // shards
        for shard in range(shards):
            end = (shard + 1) * size if shard < shards - 1 else len(records)
            files[f"{fold}-shard-{shard:05d}-of-{shards:05d}"] = records[shard * size : end]
    return files


def find_masks(images: Iterable[CocoImage], folder: Path) -> tuple[set[int], int]:
    """The ids of the images whose mask file exists, and how many lack a mask that they need."""
    needed = [image for image in images if needs_mask(image)]
    found = {image.id for image in needed if (folder / mask_name(image.file_name)).is_file()}
    return found, len(needed) - len(found)


def write_masks(
    images: Iterable[CocoImage], folder: Path, *, workers: int
) -> tuple[set[int], Counter[str]]:
    """Write the masks that are not valid everywhere, a PNG file each, in parallel processes.

    Returns:
        The ids of the images that have a mask file, and how many files were drawn, kept from
        before or left out because every pixel counts.

    Raises:
        DataError: Two images share a mask file, a segmentation cannot be decoded, or a file cannot
            be written.
    """
    needed = [image for image in images if needs_mask(image)]
    _check_names(needed)
    store = functools.partial(_store, folder=folder)
    bar = functools.partial(tqdm, total=len(needed), desc="masks", unit="image", disable=None)
    workers = min(workers, len(needed) // MASKS_A_PROCESS)
    if workers < 2:
        outcomes = [store(image) for image in bar(needed)]
    else:
        # New processes, not copies of this one: its threads and TensorFlow would not survive that.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupt)
        try:
            outcomes = list(bar(pool.map(store, needed, chunksize=16)))
        except BrokenProcessPool as error:
            raise DataError(
                "a process that draws masks was killed, perhaps for want of memory; "
                "run again with --workers 1, finished masks are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    stored = {image.id for image, end in zip(needed, outcomes, strict=True) if end != "all valid"}
    return stored, Counter(outcomes)


def summary_text(summary: Summary) -> str:
    """The summary as lines for people."""
    lines = [
        f"images     {summary.images_used} of {summary.images} have records",
        f"records    {summary.records}",
        f"people     {summary.people} labelled",
    ]
    for title, counts in (
        ("keypoints", summary.keypoints),
        ("images dropped", summary.dropped_images),
        ("people who are no main person", summary.dropped_people),
    ):
        if counts:
            lines.append(title)
            lines += [f"  {count:8d}  {name}" for name, count in counts.items()]
    return "\n".join(lines)


def summary_dict(summary: Summary) -> dict[str, object]:
    """The summary as JSON can hold it."""
    return dataclasses.asdict(summary)


def _distance_ratio(image: CocoImage, person: int, main: int) -> float:
    """How far a person's centre is from a main person's, in longer sides of the main's box."""
    accepted = image.annotations[main]
    distance = float(np.hypot(*(image.annotations[person].center - accepted.center)))
    return distance / max(float(accepted.bbox[2:].max()), 1e-9)


def _check_names(images: Sequence[CocoImage]) -> None:
    owners: dict[str, CocoImage] = {}
    for image in images:
        owner = owners.setdefault(mask_name(image.file_name), image)
        if owner is not image:
            raise DataError(
                f"images {owner.id} ({owner.file_name}) and {image.id} ({image.file_name}) would "
                f"share the mask file {mask_name(image.file_name)}; rename one of them"
            )


def _store(image: CocoImage, *, folder: Path) -> str:
    return store_mask(image, folder / mask_name(image.file_name))


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent process, which stops this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
