"""Labels beside detections, image by image, as arrays, and the similarity of the one to the other.

K are the dataset's keypoints, in its order; a keypoint that the skeleton lacks is never found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpnet.data.coco import CocoDataset, CocoImage
from bpnet.evaluation import MOST_PERSONS, coco_results, oks_sigmas
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The G labelled people and crowd regions of one image.

    Attributes:
        xy: (G, K, 2) pixels.
        labelled: (G, K).
        area: (G,) square pixels.
        bbox: (G, 4) x, y, width, height, pixels.
        crowd: (G,) regions of many people.
        ignored: (G,) crowd regions, and people without a labelled keypoint: nobody has to find
            them, and who finds them is not wrong.
    """

    xy: Floats
    labelled: Booleans
    area: Floats
    bbox: Floats
    crowd: Booleans
    ignored: Booleans

    def only(self, kept: Booleans) -> "Labels":
        """The people where ``kept`` (G,) is true."""
        return Labels(
            xy=self.xy[kept],
            labelled=self.labelled[kept],
            area=self.area[kept],
            bbox=self.bbox[kept],
            crowd=self.crowd[kept],
            ignored=self.ignored[kept],
        )


@dataclass(frozen=True)
class Found:
    """The D detections of one image that count, the most certain first.

    Attributes:
        xy: (D, K, 2) pixels, (0, 0) where a keypoint was not found.
        present: (D, K) which keypoints were found.
        score: (D,).
    """

    xy: Floats
    present: Booleans
    score: Floats

    @property
    def area(self) -> Floats:
        """(D,) of the box around all K points, square pixels, as pycocotools' loadRes has it."""
        return np.asarray(np.prod(np.ptp(self.xy, axis=1), axis=-1), np.float64)

    def only(self, kept: Booleans) -> "Found":
        """The detections where ``kept`` (D,) is true."""
        return Found(self.xy[kept], self.present[kept], self.score[kept])


@dataclass(frozen=True)
class Comparison:
    """One image: its labels and what was found in it."""

    image: CocoImage
    labels: Labels
    found: Found

    def of_keypoints(self, columns: Sequence[int]) -> "Comparison":
        """The same with these keypoints only; who has none of them labelled is ignored.

        Detections without any of them are left out.
        """
        chosen = list(columns)
        labelled = self.labels.labelled[:, chosen]
        labels = replace(
            self.labels,
            xy=self.labels.xy[:, chosen],
            labelled=labelled,
            ignored=self.labels.ignored | ~np.asarray(labelled.any(axis=1), np.bool_),
        )
        present = self.found.present[:, chosen]
        found = Found(self.found.xy[:, chosen], present, self.found.score)
        return Comparison(self.image, labels, found.only(np.asarray(present.any(axis=1))))


def compare(
    persons: Mapping[int, PersonKeypoints],
    dataset: CocoDataset,
    skeleton: Skeleton,
    *,
    image_ids: Iterable[int],
) -> tuple[Comparison, ...]:
    """The images ``image_ids`` in the order of their ids, which is COCO's evaluation's.

    Args:
        persons: by image id, in pixels; an image without entry has none.
        dataset: the annotations.
        skeleton: of ``persons``.
        image_ids: the images that count.

    Raises:
        DataError: The skeleton has none of the dataset's keypoints.
    """
    chosen = set(image_ids)
    images = sorted((one for one in dataset.images if one.id in chosen), key=lambda one: one.id)
    results: dict[int, list[tuple[list[float], float]]] = {one.id: [] for one in images}
    for result in coco_results(persons, dataset, skeleton):
        if result["image_id"] in results:
            results[result["image_id"]].append((result["keypoints"], result["score"]))
    keypoints = len(dataset.keypoints)
    return tuple(
        Comparison(one, _labels(one, keypoints), _found(results[one.id], keypoints))
        for one in images
    )


def similarity(labels: Labels, found: Found, sigmas: Floats) -> Floats:
    """OKS (D, G) of each detection with each label, as COCO defines it.

    https://cocodataset.org/#keypoints-eval. For a label without keypoints the distance is that to
    its box, enlarged to three times its sides.

    Args:
        labels: of one image.
        found: of the same image.
        sigmas: (K,) of the keypoints.
    """
    terms = keypoint_similarity(labels, found, sigmas)
    counts = labels.labelled | ~labels.labelled.any(axis=1, keepdims=True)  # (G, K)
    return np.asarray((terms * counts).sum(axis=-1) / counts.sum(axis=-1), np.float64)


def keypoint_similarity(labels: Labels, found: Found, sigmas: Floats) -> Floats:
    """The K terms of OKS, (D, G, K), each 0..1; the mean over labelled keypoints is the OKS."""
    offset = found.xy[:, None] - labels.xy[None]  # (D, G, K, 2)
    bare = ~np.asarray(labels.labelled.any(axis=1), np.bool_)
    if bare.any():
        corner, size = labels.bbox[bare, None, :2], labels.bbox[bare, None, 2:]  # (B, 1, 2)
        before = corner - size - found.xy[:, None]
        offset[:, bare] = np.maximum(before, 0) + np.maximum(-before - 3 * size, 0)
    scale = (2 * sigmas) ** 2 * (labels.area[:, None] + np.spacing(1)) * 2  # (G, K)
    return np.asarray(np.exp(-(offset**2).sum(axis=-1) / scale), np.float64)


def dataset_sigmas(dataset: CocoDataset, skeleton: Skeleton) -> Floats:
    """(K,) OKS sigmas of the dataset's keypoints."""
    return oks_sigmas(dataset.keypoints, skeleton)


def dataset_mirror(dataset: CocoDataset, skeleton: Skeleton) -> tuple[int, ...]:
    """For each keypoint of the dataset, the one of the other side; itself where there is none."""
    names = dataset.keypoints
    mirror = list(range(len(names)))
    for index, name in enumerate(names):
        if name in skeleton.keypoints:
            other = skeleton.keypoints[skeleton.mirror[skeleton.keypoints.index(name)]]
            mirror[index] = names.index(other) if other in names else index
    return tuple(mirror)


def _labels(image: CocoImage, keypoints: int) -> Labels:
    people = image.annotations
    labelled = np.array([one.visibility > 0 for one in people], np.bool_).reshape(-1, keypoints)
    crowd = np.array([one.crowd for one in people], np.bool_)
    return Labels(
        xy=np.array([one.xy for one in people], np.float64).reshape(-1, keypoints, 2),
        labelled=labelled,
        area=np.array([one.area for one in people], np.float64),
        bbox=np.array([one.bbox for one in people], np.float64).reshape(-1, 4),
        crowd=crowd,
        ignored=crowd | np.array([one.num_keypoints == 0 for one in people], np.bool_),
    )


def _found(results: Sequence[tuple[Sequence[float], float]], keypoints: int) -> Found:
    score = np.array([score for _, score in results], np.float64)
    order = np.argsort(-score, kind="stable")[:MOST_PERSONS]
    table = np.array([row for row, _ in results], np.float64).reshape(-1, keypoints, 3)[order]
    present = (table != 0).any(axis=-1)
    return Found(xy=table[..., :2], present=present, score=score[order])
