"""Persons -> COCO results -> average precision, by pycocotools."""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpnet.data.coco import CocoDataset
from bpnet.errors import DataError
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton

MOST_PERSONS = 20  # of an image, as COCO's keypoint evaluation counts


@dataclass(frozen=True)
class CocoMetrics:
    """COCO's ten keypoint figures, 0..1; -1 where no labelled person is of that size.

    ``ap`` and ``ar`` average over OKS thresholds 0.50 to 0.95; ``m`` and ``l`` are medium and large
    people (areas from 32x32 to 96x96 pixels, and larger).
    """

    ap: float
    ap50: float
    ap75: float
    ap_m: float
    ap_l: float
    ar: float
    ar50: float
    ar75: float
    ar_m: float
    ar_l: float

    def rows(self) -> list[tuple[str, str, str, int, float]]:
        """A row a figure: metric, IoU, area, maxDets, score."""
        kinds = [
            ("0.50:0.95", "all"),
            ("0.50", "all"),
            ("0.75", "all"),
            ("0.50:0.95", "medium"),
            ("0.50:0.95", "large"),
        ]
        precision = (self.ap, self.ap50, self.ap75, self.ap_m, self.ap_l)
        recall = (self.ar, self.ar50, self.ar75, self.ar_m, self.ar_l)
        return [
            (metric, iou, area, MOST_PERSONS, score)
            for metric, scores in (("AP", precision), ("AR", recall))
            for (iou, area), score in zip(kinds, scores, strict=True)
        ]

    def kpi(self) -> dict[str, float]:
        """The figures under TAO's names, as ``status.json`` carries them."""
        names = ["0.50:0.95_all", "0.5", "0.75", "0.50:0.95_medium", "0.50:0.95_large"]
        labels = [f"{metric}_{name}" for metric in ("AP", "AR") for name in names]
        return {label: row[4] for label, row in zip(labels, self.rows(), strict=True)}

    def lines(self) -> list[str]:
        """The figures as pycocotools prints them, n/a where there is nothing to measure."""
        title = {"AP": "Average Precision", "AR": "Average Recall   "}
        return [
            f" {title[metric]}  ({metric}) @[ IoU={iou:<9} | area={area:>6} | maxDets={most:>3} ]"
            f" = {'n/a' if score < 0 else f'{score:0.3f}'}"
            for metric, iou, area, most, score in self.rows()
        ]


def evaluate_persons(
    persons: Mapping[int, PersonKeypoints],
    dataset: CocoDataset,
    skeleton: Skeleton,
    *,
    image_ids: Iterable[int] | None = None,
) -> CocoMetrics:
    """How well ``persons`` match the people that ``dataset`` labels.

    Keypoints are matched by name, and each counts with the skeleton's sigma of that name; the
    skeleton's own keypoints (a derived neck) are left out.

    Args:
        persons: by image id, in pixels of the image as stored; an image without entry has none.
        dataset: the annotations.
        skeleton: of ``persons``.
        image_ids: the images that count; None: all of ``dataset``.

    Raises:
        DataError: The skeleton has none of the dataset's keypoints, or the dataset is empty.
    """
    chosen = None if image_ids is None else set(image_ids)
    images = [image for image in dataset.images if chosen is None or image.id in chosen]
    if not images:
        raise DataError("the annotation file lists no images, so there is nothing to evaluate")
    truth = _load(_ground_truth(dataset, {image.id for image in images}))
    results = _load(_with_shapes(coco_results(persons, dataset, skeleton), truth.dataset))
    evaluation = COCOeval(truth, results, "keypoints")
    evaluation.params.kpt_oks_sigmas = oks_sigmas(dataset.keypoints, skeleton)
    evaluation.params.imgIds = sorted(image.id for image in images)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return CocoMetrics(*(float(value) for value in evaluation.stats))


def coco_results(
    persons: Mapping[int, PersonKeypoints],
    dataset: CocoDataset,
    skeleton: Skeleton,
) -> list[dict[str, Any]]:
    """COCO's results: a block a person, its ``keypoints`` in the dataset's order.

    The third number of a keypoint is its score, 0 where it was not found.

    Args:
        persons: by image id, in pixels.
        dataset: the annotations.
        skeleton: of ``persons``.

    Raises:
        DataError: The skeleton has none of the dataset's keypoints.
    """
    keypoints = dataset.keypoints
    columns = [
        skeleton.keypoints.index(name) if name in skeleton.keypoints else None for name in keypoints
    ]
    if all(column is None for column in columns):
        raise DataError(
            f"the skeleton {skeleton.name} ({', '.join(skeleton.keypoints)}) has none of the "
            f"dataset's keypoints ({', '.join(keypoints)})"
        )
    results = []
    for image_id, people in persons.items():
        table = np.zeros((len(people), len(keypoints), 3), np.float64)
        for target, column in enumerate(columns):
            if column is not None:
                table[:, target, :2] = people.xy[:, column]
                table[:, target, 2] = people.score[:, column]
        results += [
            {
                "image_id": image_id,
                "category_id": dataset.category_id,
                "keypoints": [round(value, 4) for value in row.reshape(-1).tolist()],
                "score": float(score),
            }
            for row, score in zip(table, people.person_score, strict=True)
            if row[:, 2].any()
        ]
    return results


def labels_digest(dataset: CocoDataset, image_ids: Iterable[int]) -> str:
    """SHA-256 of all that an evaluation of these images takes from the labels."""
    document = json.dumps(_ground_truth(dataset, set(image_ids)), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def oks_sigmas(keypoints: tuple[str, ...], skeleton: Skeleton) -> NDArray[np.float64]:
    """OKS sigmas in the dataset's order; the skeleton's mean for names it does not know."""
    known = dict(zip(skeleton.keypoints, skeleton.sigmas, strict=True))
    mean = float(np.mean(skeleton.sigmas))
    return np.array([known.get(name, mean) for name in keypoints], np.float64)


def _ground_truth(dataset: CocoDataset, image_ids: set[int]) -> dict[str, Any]:
    """The annotations of these images as one COCO document."""
    images = [image for image in dataset.images if image.id in image_ids]
    annotations = [
        {
            "id": number,  # pycocotools takes id 0 for "not matched"
            "image_id": image.id,
            "category_id": dataset.category_id,
            "keypoints": np.column_stack([label.xy, label.visibility]).reshape(-1).tolist(),
            "num_keypoints": label.num_keypoints,
            "bbox": label.bbox.tolist(),
            "area": label.area,
            "iscrowd": int(label.crowd),
        }
        for number, (image, label) in enumerate(
            ((image, label) for image in images for label in image.annotations), start=1
        )
    ]
    return {
        "images": [
            {"id": image.id, "height": image.height, "width": image.width} for image in images
        ],
        "annotations": annotations,
        "categories": [
            {"id": dataset.category_id, "name": "person", "keypoints": list(dataset.keypoints)}
        ],
    }


def _with_shapes(results: list[dict[str, Any]], truth: dict[str, Any]) -> dict[str, Any]:
    """The results as a COCO document, box and area as pycocotools' ``loadRes`` makes them."""
    known = {image["id"] for image in truth["images"]}
    annotations: list[dict[str, Any]] = []
    for result in results:
        if result["image_id"] not in known:
            continue
        xy = np.array(result["keypoints"]).reshape(-1, 3)[:, :2]
        low, high = xy.min(axis=0), xy.max(axis=0)
        annotations.append(
            {
                **result,
                "id": len(annotations) + 1,
                "bbox": [*low.tolist(), *(high - low).tolist()],
                "area": float(np.prod(high - low)),
            }
        )
    return {**truth, "annotations": annotations}


def _load(document: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = document
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
