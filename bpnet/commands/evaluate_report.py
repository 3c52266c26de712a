"""report.html of an evaluation: figures, errors, and the worst images drawn."""

import logging
from pathlib import Path

from bpnet import __version__
from bpnet.commands.evaluate_outputs import Evaluation
from bpnet.commands.evaluate_pictures import describe_image, draw_image
from bpnet.diagnosis.diagnosis import Diagnosis, points
from bpnet.diagnosis.errors import KEYPOINT_KINDS
from bpnet.diagnosis.groups import GroupFigures
from bpnet.diagnosis.keypoints import PCK_SHARES
from bpnet.errors import DataError
from bpnet.report import Bar, Curve, Page

logger = logging.getLogger(__name__)

FAILURES_SHOWN = 50

ERRORS = (
    "After Ronchi and Perona (ICCV 2017). Of people who were found, a labelled keypoint is a "
    "jitter where the found one is near it, but farther than labellers differ (OKS term 0.5 to "
    "0.85); an inversion where it is at the other side's keypoint of the same person; a swap where "
    "it is at that of another person; a miss where it is near none, or not found. A cost is the AP "
    "that correcting this kind alone would add; costs do not add up. The last column corrects each "
    "kind and those above it; what then lacks to 100 is less than labellers differ by."
)
KEYPOINTS = (
    "AP of a keypoint: COCO's keypoint AP with that keypoint only. PCK@a: labelled keypoints that "
    "are found within a times the longer side of the person's box; those of missed people count as "
    "wrong."
)
GROUPS = (
    "Crowd index as of CrowdPose (CVPR 2019): the mean over an image's people of the number of "
    "others' keypoints in a person's box over their own. Crowding and number of people group "
    "images; size groups people, by the area of their label."
)
PICTURES = (
    "Labels on the left, detections on the right. Red boxes: people who were missed, and false "
    "positives. Grey boxes: labels that do not count. The images with the most missed people, "
    "false positives and lost OKS come first."
)


def write_report(path: Path, evaluation: Evaluation, *, worst: int) -> None:
    """Write the page.

    Args:
        path: of the page.
        evaluation: what it says.
        worst: how many of the worst images are drawn.

    Raises:
        DataError: It cannot be written.
    """
    found, diagnosis = evaluation.found, evaluation.diagnosis
    page = Page(f"bpnet evaluate: {found.model.get('file', 'detections')}")
    people = "" if diagnosis is None else f", {diagnosis.errors.people:,} labelled people"
    page.paragraph(
        f"AP {points(evaluation.metrics.ap)} (AP50 {points(evaluation.metrics.ap50)}) on "
        f"{len(found.persons):,} images{people}."
    )
    shard = found.making.get("shard")
    if shard:
        page.paragraph(f"Shard {shard[0]} of {shard[1]}: these are the figures of a part only.")
    _add_failures(page, evaluation)
    page.table(
        ("COCO keypoints", "OKS", "people", "points"),
        [(row[0], row[1], row[2], points(row[4])) for row in evaluation.metrics.rows()],
    )
    if diagnosis is not None:
        _add_errors(page, diagnosis)
        _add_keypoints(page, diagnosis)
        _add_groups(page, diagnosis)
        _add_curves(page, diagnosis)
    _add_timing(page, evaluation)
    if diagnosis is not None and worst:
        _add_pictures(page, evaluation, diagnosis, worst)
    _add_making(page, evaluation)
    page.write(path)


def _add_failures(page: Page, evaluation: Evaluation) -> None:
    failures = evaluation.found.failures
    if not failures:
        return
    page.heading("Images that could not be used")
    page.paragraph(f"{len(failures):,} images are left out of all figures.")
    rows = [(said,) for said in list(failures.values())[:FAILURES_SHOWN]]
    if len(failures) > FAILURES_SHOWN:
        rows.append((f"and {len(failures) - FAILURES_SHOWN:,} more",))
    page.table(("why",), rows)


def _add_errors(page: Page, diagnosis: Diagnosis) -> None:
    errors = diagnosis.errors
    page.heading("Errors, and the AP that each kind costs")
    rows = diagnosis.error_rows()
    costs = [max(kind.alone - errors.ap, 0) if errors.ap >= 0 else 0.0 for kind in errors.kinds]
    longest = max(*costs, 1e-9)
    page.bars(
        [
            Bar(row[0], (cost / longest,), f"{row[2]} points")
            for row, cost in zip(rows, costs, strict=True)
        ]
    )
    page.table(("kind", "count", "cost, points", "AP without it", "and without those above"), rows)
    page.paragraph(
        f"Of {errors.labelled:,} labelled keypoints of people who were found, {errors.good:,} are "
        "right (OKS term of 0.85 or more)."
    )
    page.paragraph(ERRORS, note=True)


def _add_keypoints(page: Page, diagnosis: Diagnosis) -> None:
    page.heading("Keypoints")
    counts = diagnosis.errors.by_keypoint
    bars = []
    for figures, row in zip(diagnosis.keypoints, counts.tolist(), strict=True):
        total = max(sum(row), 1)
        shares = tuple(count / total for count in (row[0], *row[1:]))
        bars.append(
            Bar(figures.name, shares, f"{100 * row[0] / total:.0f} %" if any(row) else "n/a")
        )
    page.bars(bars, key=("right", *KEYPOINT_KINDS))
    page.paragraph("Labelled keypoints of people who were found; the number: right.", note=True)
    names = [f"PCK@{share:g}" for share in PCK_SHARES]
    rows = [
        (
            figures.name,
            f"{figures.labelled:,}",
            points(figures.ap),
            *map(points, figures.pck),
            *(f"{count:,}" for count in row[1:]),
        )
        for figures, row in zip(diagnosis.keypoints, counts.tolist(), strict=True)
    ]
    totals = [f"{count:,}" for count in counts[:, 1:].sum(axis=0).tolist()]
    labelled = sum(figures.labelled for figures in diagnosis.keypoints)
    rows.append(("all", f"{labelled:,}", "", *map(points, diagnosis.pck), *totals))
    page.table(("keypoint", "labelled", "AP", *names, *KEYPOINT_KINDS), rows)
    page.paragraph(KEYPOINTS, note=True)


def _add_groups(page: Page, diagnosis: Diagnosis) -> None:
    page.heading("Crowding and size")
    for title, groups in (
        ("crowding", diagnosis.crowding),
        ("people in the image", diagnosis.people),
        ("size of the person", diagnosis.sizes),
    ):
        page.bars([Bar(one.name, (max(one.ap, 0),), f"AP {points(one.ap)}") for one in groups])
        page.table((title, "images", "people", "AP", "AR"), [_group_row(one) for one in groups])
    page.paragraph(GROUPS, note=True)


def _group_row(group: GroupFigures) -> tuple[str, ...]:
    counts = (f"{group.images:,}", f"{group.people:,}")
    return (group.name, *counts, points(group.ap), points(group.ar))


def _add_curves(page: Page, diagnosis: Diagnosis) -> None:
    curve = diagnosis.curve
    if not curve.people:
        return
    page.heading("Precision over recall")
    recalls = [number / 100 for number in range(101)]
    page.curves(
        [
            Curve(f"OKS {threshold:.2f}", tuple(zip(recalls, row, strict=True)))
            for threshold, row in zip(
                (0.5, 0.75, 0.9), curve.precision[[0, 5, 8]].tolist(), strict=True
            )
        ],
        across="recall",
        up="precision",
        alt="Precision over recall at three thresholds of OKS",
    )


def _add_timing(page: Page, evaluation: Evaluation) -> None:
    spent = evaluation.found.milliseconds
    page.heading("Time")
    if spent:
        together = max(sum(ms for step, ms in spent.items() if step != "all"), 1e-9)
        bars = [
            Bar(step, (ms / together,), f"{ms:.2f} ms")
            for step, ms in spent.items()
            if step != "all"
        ]
        page.bars(bars)
        page.paragraph(
            "Of an image, on average. The steps run side by side: from the first image to the last "
            f"it was {spent['all']:.2f} ms an image, {1000 / max(spent['all'], 1e-9):.1f} images/s."
        )
    page.paragraph(f"Figures and errors took {evaluation.seconds:.1f} s.", note=True)


def _add_pictures(page: Page, evaluation: Evaluation, diagnosis: Diagnosis, worst: int) -> None:
    chosen = diagnosis.worst(worst)
    if not chosen:
        return
    page.heading("The worst images")
    page.paragraph(PICTURES, note=True)
    for errors in chosen:
        image = errors.comparison.image
        caption = f"{image.file_name}: {describe_image(errors)}"
        try:
            picture = draw_image(errors, evaluation)
        except DataError as error:
            logger.warning("not drawn in the report: %s", error)
            page.paragraph(f"{caption} (not drawn: {error})")
            continue
        page.picture(picture, alt=f"{image.file_name}: labels and detections", caption=caption)


def _add_making(page: Page, evaluation: Evaluation) -> None:
    found, skeleton = evaluation.found, evaluation.found.skeleton
    page.heading("How it was made")
    rows = [
        ("bpnet", __version__),
        ("model", found.model.get("file", "none: detections made before")),
        ("its SHA-256", found.model.get("sha256", "")),
        ("labels' SHA-256", evaluation.as_baseline(0).labels_sha256),
        ("skeleton", f"{skeleton.name}: {', '.join(skeleton.keypoints)}"),
        ("OKS sigmas", ", ".join(f"{sigma:g}" for sigma in skeleton.sigmas)),
    ]
    spec = found.inference_spec if isinstance(found.inference_spec, dict) else {}
    rows += [(str(key), str(value)) for key, value in spec.items() if value is not None]
    page.facts(rows)
