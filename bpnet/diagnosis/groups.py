"""AP where people are crowded and where they are not, and by their size.

The crowd index is CrowdPose's (Li et al., CVPR 2019, https://arxiv.org/abs/1812.00324): of an
image, the mean over its people of the number of other people's labelled keypoints in a person's
box, over the number of their own in it. CrowdPose calls an index up to 0.1 easy, up to 0.8 medium,
and above it hard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpnet.diagnosis.comparison import Comparison, Floats, Labels
from bpnet.diagnosis.precision import Matches, accumulate, match_image

CROWDING = (
    ("easy: crowd index up to 0.1", 0.0, 0.1),
    ("medium: 0.1 to 0.8", 0.1, 0.8),
    ("hard: above 0.8", 0.8, np.inf),
)
PEOPLE = (
    ("1 person", 1, 1),
    ("2 to 4 people", 2, 4),
    ("5 people or more", 5, np.inf),
)
SIZES = (  # sides of a square of the person's area, pixels
    ("small: below 32x32 pixels", 0, 32),
    ("medium: 32x32 to 96x96", 32, 96),
    ("large: 96x96 to 192x192", 96, 192),
    ("very large: above 192x192", 192, 1e5),
)


@dataclass(frozen=True)
class GroupFigures:
    """One group of images, or of people.

    Attributes:
        name: What they have in common.
        images: Images in which they are.
        people: Labelled people that count.
        ap: Average precision, 0..1; -1 where there is nobody.
        ar: Average recall, likewise.
    """

    name: str
    images: int
    people: int
    ap: float
    ar: float


def crowd_index(labels: Labels) -> float:
    """CrowdPose's index of one image: 0 where nobody's box holds another's keypoint.

    People without a labelled keypoint in their own box are left out.
    """
    people = labels.only(~labels.ignored)
    low, high = (
        people.bbox[:, None, None, :2],
        people.bbox[:, None, None, :2] + (people.bbox[:, None, None, 2:]),
    )
    inside = ((people.xy >= low) & (people.xy <= high)).all(axis=-1)  # (box, person, K)
    counts = (inside & people.labelled).sum(axis=-1)  # (box, person)
    own = np.diagonal(counts)
    known = own > 0
    if not known.any():
        return 0.0
    return float(((counts.sum(axis=1) - own)[known] / own[known]).mean())


def measure_crowding(
    images: Sequence[Comparison], matches: Sequence[Matches]
) -> tuple[GroupFigures, ...]:
    """A group a level of ``CROWDING``; images without people that count are in none.

    Args:
        images: in the order of their ids.
        matches: which detections of each are right.
    """
    indexed = [
        (crowd_index(image.labels), one)
        for image, one in zip(images, matches, strict=True)
        if one.people
    ]
    return tuple(
        _measure(name, [one for index, one in indexed if _between(index, low, high)])
        for name, low, high in CROWDING
    )


def measure_people(matches: Sequence[Matches]) -> tuple[GroupFigures, ...]:
    """A group for each number of people of ``PEOPLE``; images in the order of their ids."""
    return tuple(
        _measure(name, [one for one in matches if low <= one.people <= high])
        for name, low, high in PEOPLE
    )


def measure_sizes(images: Sequence[Comparison], sigmas: Floats) -> tuple[GroupFigures, ...]:
    """A group of people for each size of ``SIZES``, each over all images, as COCO has M and L."""
    figures = []
    for name, low, high in SIZES:
        area = (float(low) ** 2, float(high) ** 2)
        matches = [match_image(image, sigmas, area=area) for image in images]
        found = accumulate(matches)
        with_any = sum(one.people > 0 for one in matches)
        figures.append(GroupFigures(name, with_any, found.people, found.ap, found.ar))
    return tuple(figures)


def _between(index: float, low: float, high: float) -> bool:
    return low < index <= high or index == low == 0


def _measure(name: str, images: Sequence[Matches]) -> GroupFigures:
    found = accumulate(images)
    return GroupFigures(name, len(images), found.people, found.ap, found.ar)
