"""From an annotation file to the plan of its records: who is a main person, and what goes where."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.data.summary import Summary, summarise
from bpnet.errors import DataError
from bpnet.spec.dataset import DataFilteringParams

SHUFFLE_SEED = 42  # TAO's

# An image and the places of its main people among its annotations; (None,) for a negative.
Used: TypeAlias = tuple[CocoImage, tuple[int | None, ...]]


@dataclass(frozen=True)
class Plan:
    """The images that get records, each with the places of its main people, and a summary."""

    images: tuple[Used, ...]
    summary: Summary


def plan_records(
    dataset: CocoDataset,
    filters: DataFilteringParams,
    *,
    every_person: bool,
    include_negatives: bool = False,
    left_out: Mapping[int, str] | None = None,
) -> Plan:
    """Which records a dataset makes.

    Args:
        dataset: The images and their annotations.
        filters: Who may be a main person.
        every_person: One record for each main person; otherwise for the first of each image.
        include_negatives: A record without people for each image that has no annotation at all.
            (An image whose people are all too small or unlabelled is no negative: they are there.)
        left_out: Why an image, by its id, gets no record.
    """
    left_out = left_out or {}
    used: list[Used] = []
    dropped_images, dropped_people = Counter[str](), Counter[str]()
    for image in dataset.images:
        if image.id in left_out:
            dropped_images[left_out[image.id]] += 1
            continue
        mains, dropped = choose_main_people(image, filters)
        dropped_people.update(dropped.values())
        if not every_person:
            dropped_people["not the first main person of the image"] += len(mains[1:])
            mains = mains[:1]
        if mains:
            used.append((image, tuple(mains)))
        elif include_negatives and not image.annotations:
            used.append((image, (None,)))
        else:
            dropped_images["no main person" if image.annotations else "no annotations"] += 1
    summary = summarise(
        dataset,
        used,
        dropped_images=dropped_images,
        dropped_people=dropped_people,
        left_out=left_out,
    )
    return Plan(tuple(used), summary)


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
    images: Sequence[Used], *, partitions: int, shards: int
) -> dict[str, list[tuple[CocoImage, int | None]]]:
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
    files: dict[str, list[tuple[CocoImage, int | None]]] = {}
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


def _distance_ratio(image: CocoImage, person: int, main: int) -> float:
    """How far a person's centre is from a main person's, in longer sides of the main's box."""
    accepted = image.annotations[main]
    distance = float(np.hypot(*(image.annotations[person].center - accepted.center)))
    return distance / max(float(accepted.bbox[2:].max()), 1e-9)
