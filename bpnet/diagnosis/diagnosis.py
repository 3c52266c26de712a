"""Everything that an evaluation says besides COCO's ten figures."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bpnet.data.coco import CocoDataset
from bpnet.diagnosis.comparison import compare, dataset_mirror, dataset_sigmas
from bpnet.diagnosis.errors import (
    KEYPOINT_KINDS,
    ErrorBreakdown,
    ImageErrors,
    break_down,
    find_errors,
)
from bpnet.diagnosis.groups import (
    GroupFigures,
    measure_crowding,
    measure_people,
    measure_sizes,
)
from bpnet.diagnosis.keypoints import KeypointFigures, measure_keypoints, total_pck
from bpnet.diagnosis.precision import PrecisionRecall, accumulate, match_image
from bpnet.pose.persons import PersonKeypoints
from bpnet.pose.skeleton import Skeleton


@dataclass(frozen=True)
class Diagnosis:
    """What is right and wrong, by kind, keypoint, crowding and size.

    Attributes:
        errors: Kinds of error and what each costs.
        keypoints: Figures of each keypoint.
        pck: Over all keypoints.
        crowding: By crowd index.
        people: By people in the image.
        sizes: By size of the person.
        curve: Precision over recall.
        images: What is wrong in each image, in the order of their ids.
    """

    errors: ErrorBreakdown
    keypoints: tuple[KeypointFigures, ...]
    pck: tuple[float, ...]
    crowding: tuple[GroupFigures, ...]
    people: tuple[GroupFigures, ...]
    sizes: tuple[GroupFigures, ...]
    curve: PrecisionRecall
    images: tuple[ImageErrors, ...]

    def worst(self, count: int) -> list[ImageErrors]:
        """The images with the most to lose: missed people, false positives, and 1 - OKS of others.

        Images without any error are left out.
        """
        ranked = sorted(self.images, key=lambda one: (-lost(one), one.comparison.image.id))
        return [one for one in ranked[:count] if lost(one) > 0]

    def error_rows(self) -> list[tuple[str, str, str, str, str]]:
        """A row a kind of error: its name, count, cost, and AP without it, and without those above.

        Costs and APs are in points (hundredths), n/a where nobody would be left to count.
        """
        ap = self.errors.ap
        return [
            (
                kind.kind,
                f"{kind.count:,}",
                f"{100 * (kind.alone - ap):.1f}" if min(kind.alone, ap) >= 0 else "n/a",
                points(kind.alone),
                points(kind.together),
            )
            for kind in self.errors.kinds
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON can hold them, without the images'."""
        names = ("good", *KEYPOINT_KINDS)
        kinds = [dataclasses.asdict(kind) for kind in self.errors.kinds]
        return {
            "errors": {
                "ap": self.errors.ap,
                "people": self.errors.people,
                "keypoints_of_found_people": self.errors.labelled,
                "good": self.errors.good,
                "kinds": kinds,
            },
            "keypoints": [
                dataclasses.asdict(figures) | dict(zip(names, counts, strict=True))
                for figures, counts in zip(
                    self.keypoints, self.errors.by_keypoint.tolist(), strict=True
                )
            ],
            "pck": self.pck,
            "crowding": [dataclasses.asdict(group) for group in self.crowding],
            "people": [dataclasses.asdict(group) for group in self.people],
            "sizes": [dataclasses.asdict(group) for group in self.sizes],
        }


def points(share: float) -> str:
    """A figure of 0..1 in points (hundredths); n/a where there was nothing to measure."""
    return "n/a" if share < 0 else f"{100 * share:.1f}"


def diagnose(
    persons: Mapping[int, PersonKeypoints],
    dataset: CocoDataset,
    skeleton: Skeleton,
    *,
    image_ids: Iterable[int],
) -> Diagnosis:
    """What is right and wrong with ``persons`` in the images ``image_ids``.

    Args:
        persons: by image id, in pixels; an image without entry has none.
        dataset: the annotations.
        skeleton: of ``persons``.
        image_ids: the images that count.

    Raises:
        DataError: The skeleton has none of the dataset's keypoints.
    """
    images = compare(persons, dataset, skeleton, image_ids=image_ids)
    sigmas, mirror = dataset_sigmas(dataset, skeleton), dataset_mirror(dataset, skeleton)
    errors = tuple(find_errors(image, sigmas, mirror) for image in images)
    matches = [match_image(image, sigmas) for image in images]
    return Diagnosis(
        errors=break_down(errors, sigmas),
        keypoints=measure_keypoints(errors, dataset.keypoints, sigmas),
        pck=total_pck(errors, len(dataset.keypoints)),
        crowding=measure_crowding(images, matches),
        people=measure_people(matches),
        sizes=measure_sizes(images, sigmas),
        curve=accumulate(matches),
        images=errors,
    )


def lost(errors: ImageErrors) -> float:
    """Missed people and false positives, each 1, and 1 - OKS of each person who was found."""
    found = errors.oks[errors.person >= 0]
    return float(errors.missed.sum() + errors.false_positive.sum() + np.sum(1 - found))
