"""What ``bpnet skeleton check`` says of a skeleton file."""

from collections.abc import Iterator, Mapping

import numpy as np

from bpnet.commands.skeleton_graph import graph_distances, parts_of
from bpnet.commands.skeleton_labels import People
from bpnet.data.dataset_check import Finding
from bpnet.pose.skeleton import OTHER_SIGMA, SIDE, Skeleton

USUAL_SIGMAS = (0.015, 0.15)  # COCO's go from 0.025 to 0.107
RARE = 0.01  # of the people: a keypoint with fewer labels is hardly learned
STRAYS = 1.5  # times larger or smaller than measured: a sigma worth a look


def check_skeleton(skeleton: Skeleton, people: People | None = None) -> list[Finding]:
    """What is wrong, or looks wrong.

    Args:
        skeleton: As the file makes it, its defaults filled in.
        people: Labels to look into, with the skeleton's keypoints; None: none.
    """
    findings = [*_connections(skeleton), *_sides(skeleton), *_sigmas(skeleton)]
    if people is not None:
        findings += _labels(skeleton, people)
    return findings


def describe(
    skeleton: Skeleton,
    people: People | None,
    measured: Mapping[str, tuple[float, int]] | None,
) -> Iterator[str]:
    """The skeleton as a table, a line a keypoint.

    Args:
        skeleton: The skeleton.
        people: Labels, for a column that says how many people have the keypoint; None: none.
        measured: Sigma and number of labels, of ``measure_sigmas``; None: none.
    """
    yield (
        f"{skeleton.name}: {len(skeleton.keypoints)} keypoints, {len(skeleton.limbs)} limbs; "
        f"heat_channels: {skeleton.heatmap_channels}, paf_channels: {skeleton.paf_channels}"
    )
    head = ["", "keypoint", "limbs", "mirror", "sigma"]
    head += ["labelled"] if people is not None else []
    head += ["measured"] if measured is not None else []
    rows = [head]
    for index, name in enumerate(skeleton.keypoints):
        limbs = sum(index in limb for limb in skeleton.limbs)
        other = skeleton.mirror[index]
        means = skeleton.derived.get(name)
        row = [str(index + 1), f"{name} = mean of {', '.join(means)}" if means else name]
        row += [str(limbs), "-" if other == index else skeleton.keypoints[other]]
        row += [f"{skeleton.sigmas[index]:.4g}"]
        if people is not None:
            row.append(f"{100 * float(people.labelled[:, index].mean()):.0f} %")
        if measured is not None:
            row.append(_measured(name, skeleton.sigmas[index], measured))
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  " + "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
    if people is not None:
        yield f"  {len(people.xy)} people with keypoints"


def _measured(name: str, sigma: float, measured: Mapping[str, tuple[float, int]]) -> str:
    if name not in measured:
        return "too few labels"
    found, count = measured[name]
    if not found:
        return f"{count} labels, all the same"
    apart = max(found / sigma, sigma / found)
    look = f"; {apart:.1f} times apart" if apart > STRAYS else ""
    return f"{found:.4f} of {count} labels{look}"


def _connections(skeleton: Skeleton) -> Iterator[Finding]:
    if not skeleton.limbs:
        yield Finding(True, "there are no limbs, so no person can be put together")
        return
    linked = {index for limb in skeleton.limbs for index in limb}
    for index, name in enumerate(skeleton.keypoints):
        if index not in linked:
            yield Finding(True, f"no limb reaches {name}, so no person will have it")
    steps = graph_distances(skeleton.limbs, len(skeleton.keypoints))
    parts = [part for part in parts_of(steps) if len(part) > 1]
    if len(parts) > 1:
        names = "; ".join(", ".join(skeleton.keypoints[i] for i in part) for part in parts)
        yield Finding(
            True,
            f"the limbs make {len(parts)} parts that nothing connects, so that a person is found "
            f"as several: {names}",
        )


def _sides(skeleton: Skeleton) -> Iterator[Finding]:
    names, mirror = skeleton.keypoints, skeleton.mirror
    for index, name in enumerate(names):
        if mirror[index] == index and SIDE.search(name):
            yield Finding(
                False, f"{name} sounds like one of two sides, but the mirror image leaves it alone"
            )
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    for start, end in skeleton.limbs:
        other = frozenset((mirror[start], mirror[end]))
        if other not in limbs:
            pair = ", ".join(names[index] for index in sorted(other))
            yield Finding(
                False, f"limb {names[start]}, {names[end]} has no mirror image: add {pair}"
            )


def _sigmas(skeleton: Skeleton) -> Iterator[Finding]:
    names = skeleton.keypoints
    low, high = USUAL_SIGMAS
    guessed = sum(sigma == OTHER_SIGMA for sigma in skeleton.sigmas)
    if guessed:
        yield Finding(
            False,
            f"{guessed} of {len(names)} keypoints have the sigma {OTHER_SIGMA}, which is a guess, "
            "and AP depends on it: label some people twice, and give the files to --repeated",
        )
    for index, (name, sigma) in enumerate(zip(names, skeleton.sigmas, strict=True)):
        if not low <= sigma <= high:
            yield Finding(
                False,
                f"the sigma of {name}, {sigma:g}, is not between {low} and {high}; AP "
                f"counts it as {'very strict' if sigma < low else 'hardly ever wrong'}",
            )
        other = skeleton.mirror[index]
        if index < other and sigma != skeleton.sigmas[other]:
            yield Finding(
                False, f"{name} and {names[other]} are mirror images with different sigmas"
            )


def _labels(skeleton: Skeleton, people: People) -> Iterator[Finding]:
    count = people.labelled.sum(axis=0)
    for index, name in enumerate(skeleton.keypoints):
        if count[index] == 0:
            yield Finding(True, f"nobody has a label of {name}, so it cannot be learned")
        elif count[index] < RARE * len(people.xy):
            yield Finding(False, f"only {count[index]} of {len(people.xy)} people have {name}")
    for start, end in skeleton.limbs:
        both = people.labelled[:, start] & people.labelled[:, end]
        if not both.any() and count[start] and count[end]:
            ends = f"{skeleton.keypoints[start]}, {skeleton.keypoints[end]}"
            yield Finding(True, f"nobody has both ends of limb {ends}, so it cannot be learned")
        elif both.any():
            same = np.all(people.xy[both, start] == people.xy[both, end], axis=-1)
            if same.mean() > 0.5:
                ends = f"{skeleton.keypoints[start]}, {skeleton.keypoints[end]}"
                yield Finding(False, f"limb {ends} has no length in most labels")
