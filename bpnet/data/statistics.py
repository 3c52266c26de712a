"""What a dataset holds: who is labelled, how large and where. Plain counts, nothing is drawn."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bpnet.data.coco import CocoDataset
from bpnet.data.keypoints import KeypointReader
from bpnet.errors import DataError
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec

if TYPE_CHECKING:
    from bpnet.data.records import PoseRecord

HEIGHT_BINS = 40
CENTRE_BINS = 24  # a side
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class LabelledImage:
    """The P labelled people of one image.

    Attributes:
        height: Of the image, pixels.
        width: Of the image, pixels.
        visible: (P, K) bool, keypoints that are labelled and can be seen.
        labelled: (P, K) bool, keypoints that are labelled, visible or not.
        heights: (P,) box heights, pixels.
        centers: (P, 2) box centres, x and y in pixels.
    """

    height: int
    width: int
    visible: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    heights: NDArray[np.float64]
    centers: NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Counts (B,) between edges (B+1,), and percentiles of the values themselves."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    percentiles: dict[int, float]

    @classmethod
    def of(cls, values: NDArray[np.float64], bins: int) -> "Histogram":
        """From 0 to the greatest of the values (N,), at least one."""
        counts, edges = np.histogram(values, bins, range=(0.0, max(float(values.max()), 1e-6)))
        found = np.percentile(values, PERCENTILES)
        percentiles = dict(zip(PERCENTILES, found.tolist(), strict=True))
        return cls(edges, counts.astype(np.int64), percentiles)


@dataclass(frozen=True)
class Statistics:
    """What a dataset holds.

    Attributes:
        images: How many there are.
        people: How many of them are labelled.
        keypoints: The K names.
        visible: (K,) labelled people of whom the keypoint is labelled and visible.
        hidden: (K,) of whom it is labelled but hidden.
        heights: Of the people's boxes, pixels.
        shares: The same as a part of their image's height.
        centres: (rows, columns) counts of box centres over the image's height and width.
        people_per_image: (M+1,) images with 0, 1, ... M people.
    """

    images: int
    people: int
    keypoints: tuple[str, ...]
    visible: NDArray[np.int64]
    hidden: NDArray[np.int64]
    heights: Histogram
    shares: Histogram
    centres: NDArray[np.int64]
    people_per_image: NDArray[np.int64]

    @property
    def unlabelled(self) -> NDArray[np.int64]:
        """(K,) people of whom the keypoint is not labelled."""
        return self.people - self.visible - self.hidden


def images_of_dataset(
    dataset: CocoDataset, spec: DatasetSpec, skeleton: Skeleton
) -> Iterator[LabelledImage]:
    """The images of an annotation file, with the people that records would hold."""
    readers = _readers(skeleton, spec)
    for image in dataset.images:
        people = [one for one in image.annotations if one.labelled]
        joints = [np.column_stack([one.xy, one.visibility]) for one in people]
        visible, labelled = _flags(
            readers, np.array(joints, np.float64).reshape(len(people), len(dataset.keypoints), 3)
        )
        yield LabelledImage(
            height=image.height,
            width=image.width,
            visible=visible,
            labelled=labelled,
            heights=np.array([one.bbox[3] for one in people], np.float64),
            centers=np.array([one.center for one in people], np.float64).reshape(-1, 2),
        )


def images_of_records(
    records: Iterable["PoseRecord"], specs: Mapping[str, DatasetSpec], skeleton: Skeleton
) -> Iterator[LabelledImage]:
    """The images of records, each once, though each of its main people has a record.

    Raises:
        DataError: A record is of a dataset without a spec, or does not fit it.
    """
    readers = {name: _readers(skeleton, spec) for name, spec in specs.items()}
    seen = set[tuple[str, str]]()
    for record in records:
        name = (record.dataset, record.image_path)
        if record.dataset not in readers:
            raise DataError(
                f"the record of {record.image_path} is of dataset {record.dataset}, of which "
                f"there is no dataset spec ({', '.join(readers)})"
            )
        if name in seen:
            continue
        seen.add(name)
        visible, labelled = _flags(readers[record.dataset], record.joints)
        yield LabelledImage(
            height=record.height,
            width=record.width,
            visible=visible,
            labelled=labelled,
            heights=record.scales,
            centers=record.centers,
        )


def summarise(images: Iterable[LabelledImage], keypoints: tuple[str, ...]) -> Statistics:
    """The statistics of images whose people have these keypoints.

    Raises:
        DataError: There is nobody.
    """
    visible, hidden = (np.zeros(len(keypoints), np.int64) for _ in range(2))
    centres = np.zeros((CENTRE_BINS, CENTRE_BINS), np.int64)
    counts: list[int] = []
    heights: list[NDArray[np.float64]] = []
    shares: list[NDArray[np.float64]] = []
    for image in images:
        counts.append(len(image.heights))
        visible += image.visible.sum(axis=0)
        hidden += (image.labelled & ~image.visible).sum(axis=0)
        heights.append(image.heights)
        shares.append(image.heights / image.height)
        # Boxes may reach out of their image; a centre outside counts at the edge.
        place = image.centers / (image.width, image.height) * CENTRE_BINS
        column, row = np.clip(place.astype(np.int64), 0, CENTRE_BINS - 1).T
        np.add.at(centres, (row, column), 1)
    if sum(counts) == 0:
        raise DataError(f"none of the {len(counts)} images has a labelled person to count")
    return Statistics(
        images=len(counts),
        people=sum(counts),
        keypoints=keypoints,
        visible=visible,
        hidden=hidden,
        heights=Histogram.of(np.concatenate(heights), HEIGHT_BINS),
        shares=Histogram.of(np.concatenate(shares), HEIGHT_BINS),
        centres=centres,
        people_per_image=np.bincount(counts).astype(np.int64),
    )


def statistics_dict(statistics: Statistics) -> dict[str, Any]:
    """The statistics as JSON can hold them."""
    table = zip(
        statistics.keypoints,
        statistics.visible.tolist(),
        statistics.hidden.tolist(),
        statistics.unlabelled.tolist(),
        strict=True,
    )
    return {
        "images": statistics.images,
        "people": statistics.people,
        "keypoints": {
            name: {"visible": seen, "hidden": hidden, "unlabelled": rest}
            for name, seen, hidden, rest in table
        },
        "height_px": _histogram_dict(statistics.heights),
        "height_share": _histogram_dict(statistics.shares),
        "centres": statistics.centres.tolist(),
        "people_per_image": statistics.people_per_image.tolist(),
    }


def statistics_text(statistics: Statistics) -> str:
    """The statistics as lines for people."""
    per_image = statistics.people_per_image
    lines = [
        f"images     {statistics.images}, {per_image[0]} of them without a labelled person",
        f"people     {statistics.people}, {statistics.people / statistics.images:.1f} an image, "
        f"at most {len(per_image) - 1}",
        f"height     {_spread(statistics.heights, '{:.0f}')} pixels",
        f"           {_spread(statistics.shares, '{:.2f}')} of the image's",
        "keypoints   visible   hidden  unlabelled",
    ]
    for name, *counts in zip(
        statistics.keypoints,
        statistics.visible,
        statistics.hidden,
        statistics.unlabelled,
        strict=True,
    ):
        seen, hidden, rest = (f"{100 * count / statistics.people:.1f} %" for count in counts)
        lines.append(f"           {seen:>8} {hidden:>8} {rest:>11}  {name}")
    return "\n".join(lines)


def _readers(skeleton: Skeleton, spec: DatasetSpec) -> tuple[KeypointReader, KeypointReader]:
    """One that reads visible joints only, and one that reads all labelled joints."""
    labelled = KeypointReader.build(skeleton, spec)
    meanings = spec.visibility_flags.mapping
    flags = spec.visibility_flags.value
    visible = tuple(value for name, value in flags.items() if meanings[name] == "visible")
    return dataclasses.replace(labelled, flags=visible), labelled


def _flags(
    readers: tuple[KeypointReader, KeypointReader], joints: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each keypoint (P, K) is visible, and whether it is labelled."""
    visible, labelled = (reader.read(joints)[..., 2] > 0 for reader in readers)
    return visible, labelled


def _spread(histogram: Histogram, form: str) -> str:
    """The median, and where nine tenths of the values lie."""
    low, _, middle, _, high = (form.format(histogram.percentiles[one]) for one in PERCENTILES)
    return f"median {middle}, 90 % from {low} to {high}"


def _histogram_dict(histogram: Histogram) -> dict[str, Any]:
    return {
        "edges": [round(edge, 6) for edge in histogram.edges.tolist()],
        "counts": histogram.counts.tolist(),
        "percentiles": {str(one): round(at, 6) for one, at in histogram.percentiles.items()},
    }
