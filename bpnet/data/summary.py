"""What a conversion made of an annotation file, in numbers."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bpnet.data.annotation import Annotation
from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.data.masks import count_boxes

SMALL, LARGE = 32**2, 96**2  # square pixels; https://cocodataset.org/#detection-eval
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True)
class Summary:
    """What a conversion made of an annotation file.

    Attributes:
        images: Images in the file.
        images_used: Images with a record.
        negatives: Those of them without people.
        records: Records, one for each main person and each negative.
        people: People in the file with at least one labelled keypoint.
        keypoints: Labelled keypoints of those people, by keypoint name.
        visibility: Keypoints of those people by raw visibility flag.
        sizes: Those people by area, as COCO divides them.
        heights: Percentiles of their box heights, pixels.
        keypoints_outside: Labelled keypoints that lie outside their image.
        boxes_as_regions: Annotations without a segmentation, whose box a mask draws.
        dropped_images: Images without a record, by reason.
        dropped_people: People who are no main person, by reason.
        left_out: File names of the images that were left out of the conversion, by reason.
    """

    images: int
    images_used: int
    negatives: int
    records: int
    people: int
    keypoints: dict[str, int]
    visibility: dict[str, int]
    sizes: dict[str, int]
    heights: dict[str, float]
    keypoints_outside: int
    boxes_as_regions: int
    dropped_images: dict[str, int]
    dropped_people: dict[str, int]
    left_out: dict[str, list[str]]


def summarise(
    dataset: CocoDataset,
    used: Sequence[tuple[CocoImage, tuple[int | None, ...]]],
    *,
    dropped_images: Mapping[str, int],
    dropped_people: Mapping[str, int],
    left_out: Mapping[int, str],
) -> Summary:
    """The summary of a conversion.

    Args:
        dataset: The annotation file.
        used: The images with records, each with the places of its main people; None: nobody.
        dropped_images: How many other images there are, by reason.
        dropped_people: How many people are no main person, by reason.
        left_out: The reason for which an image, by its id, was left out.
    """
    labelled = [
        (one, image) for image in dataset.images for one in image.annotations if one.labelled
    ]
    people = [one for one, _ in labelled]
    counts = sum((one.visibility > 0 for one in people), np.zeros(len(dataset.keypoints), int))
    names: dict[str, list[str]] = {}
    for image in dataset.images:
        if image.id in left_out:
            names.setdefault(left_out[image.id], []).append(image.file_name)
    return Summary(
        images=len(dataset.images),
        images_used=len(used),
        negatives=sum(mains == (None,) for _, mains in used),
        records=sum(len(mains) for _, mains in used),
        people=len(people),
        keypoints=dict(zip(dataset.keypoints, counts.tolist(), strict=True)),
        visibility=_count_flags(people),
        sizes=_count_sizes(people),
        heights=_heights(people),
        keypoints_outside=sum(count_outside(one, image) for one, image in labelled),
        boxes_as_regions=sum(count_boxes(image) for image in dataset.images),
        dropped_images=dict(sorted(dropped_images.items())),
        dropped_people=dict(sorted((+Counter(dropped_people)).items())),
        left_out={reason: sorted(names[reason]) for reason in sorted(names)},
    )


def count_outside(person: Annotation, image: CocoImage) -> int:
    """How many labelled keypoints lie outside the image; its edges, 0 and its size, are inside."""
    beyond = (person.xy < 0) | (person.xy > (image.width, image.height))
    return int(np.count_nonzero(beyond.any(axis=1) & (person.visibility > 0)))


def summary_text(summary: Summary) -> str:
    """The summary as lines for people."""
    lines = [
        f"images     {summary.images_used} of {summary.images} have records",
        f"records    {summary.records}",
        f"people     {summary.people} labelled",
    ]
    if summary.negatives:
        lines.insert(2, f"negatives  {summary.negatives} records of images without people")
    for title, counts in (
        ("keypoints", summary.keypoints),
        ("keypoints by visibility flag", summary.visibility),
        ("people by area", summary.sizes),
        ("images dropped", summary.dropped_images),
        ("people who are no main person", summary.dropped_people),
    ):
        if counts:
            lines.append(title)
            lines += [f"  {count:8d}  {name}" for name, count in counts.items()]
    if summary.heights:
        lines.append("box heights of people, pixels")
        lines.append("  " + "  ".join(f"{n} {value:g}" for n, value in summary.heights.items()))
    if summary.keypoints_outside:
        lines.append(f"keypoints outside their image  {summary.keypoints_outside}")
    if summary.boxes_as_regions:
        lines.append(f"boxes drawn in masks for want of a segmentation  {summary.boxes_as_regions}")
    return "\n".join(lines)


def summary_dict(summary: Summary) -> dict[str, object]:
    """The summary as JSON can hold it."""
    return dataclasses.asdict(summary)


def _count_flags(people: Sequence[Annotation]) -> dict[str, int]:
    flags = np.concatenate([np.zeros(0, np.int32), *(one.visibility for one in people)])
    found, counts = np.unique(flags, return_counts=True)
    return dict(zip(map(str, found.tolist()), counts.tolist(), strict=True))


def _count_sizes(people: Sequence[Annotation]) -> dict[str, int]:
    areas = np.array([one.area for one in people])
    small, large = int((areas < SMALL).sum()), int((areas >= LARGE).sum())
    return {
        "small (below 32 x 32 pixels)": small,
        "medium": len(areas) - small - large,
        "large (96 x 96 and above)": large,
    }


def _heights(people: Sequence[Annotation]) -> dict[str, float]:
    if not people:
        return {}
    values = np.percentile([one.bbox[3] for one in people], PERCENTILES)
    names = ["least", *(f"{part} %" for part in PERCENTILES[1:-1]), "greatest"]
    return {name: round(float(value), 1) for name, value in zip(names, values, strict=True)}
