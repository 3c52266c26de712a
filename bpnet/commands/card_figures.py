"""The measured part of a model card: accuracy, protocol, precisions, speed, limits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bpnet.commands.card_facts import Measured, Model
from bpnet.commands.card_markdown import table
from bpnet.diagnosis.keypoints import PCK_SHARES

METRICS = (
    ("AP", "ap"),
    ("AP50", "ap50"),
    ("AP75", "ap75"),
    ("AP medium", "ap_m"),
    ("AP large", "ap_l"),
    ("AR", "ar"),
)
PROTOCOL = (
    ("input_shape", "input"),
    ("keep_aspect_ratio_mode", "aspect ratio"),
    ("flip_test", "flip test"),
    ("multi_scale_inference", "several scales"),
    ("scales", "scales"),
    ("heatmap_threshold", "keypoint threshold"),
    ("paf_threshold", "PAF threshold"),
)
WEAKEST = 3  # keypoints named among the limits
GROUPS = {"sizes": "size", "crowding": "crowding", "people": "images of"}
GAP = 0.05  # of AP below that of all: a group that is named as a limit


def label_of(measured: Measured, models: Sequence[Model]) -> str:
    """The model that an evaluation is of, by its digest."""
    said = measured.model
    for model in models:
        if said.get("sha256") == model.sha256:
            return f"`{model.path.name}` ({model.contract.precision})"
    if said.get("sha256") in [model.contract.extra.get("source_sha256") for model in models]:
        return f"`{said['file']}` (the trained network)"
    return f"`{said['file']}` (another file)" if said else "detections of an unnamed model"


def main_of(models: Sequence[Model], evaluations: Sequence[Measured]) -> Measured | None:
    """The evaluation of the first model, else the first evaluation."""
    own = [one for one in evaluations if one.model.get("sha256") == models[0].sha256]
    return next(iter([*own, *evaluations]), None)


def accuracy_table(models: Sequence[Model], evaluations: Sequence[Measured]) -> list[str]:
    """A line for each evaluation."""
    rows = [
        [label_of(one, models), str(one.figures.get("images", "?"))]
        + [_points(one.metrics.get(key)) for _, key in METRICS]
        for one in evaluations
    ]
    return [*table(("model", "images", *(title for title, _ in METRICS)), rows)]


def protocol_table(models: Sequence[Model], evaluations: Sequence[Measured]) -> list[str]:
    """How each evaluation fed the network and read its maps."""
    rows = []
    for one in evaluations:
        said = [
            f"{title} {_plain(one.protocol[key])}"
            for key, title in PROTOCOL
            if one.protocol.get(key) is not None
        ]
        decoder = (one.protocol.get("decoder") or {}).get("preset")
        said += [f"decoder {decoder}"] if decoder else []
        settings = "; ".join(said) or "as the model's metadata say, one scale, no flip"
        rows.append([label_of(one, models), settings, str(one.figures.get("labels_sha256", "?"))])
    return [*table(("model", "protocol", "SHA-256 of the labels"), rows)]


def keypoint_table(measured: Measured) -> list[str]:
    """AP and PCK of each keypoint; nothing where the evaluation has no report."""
    keypoints = measured.figures.get("keypoints") or []
    rows = [
        [one["name"], str(one["labelled"]), _points(one["ap"]), _points(one["pck"][0])]
        for one in keypoints
    ]
    titles = ("keypoint", "labelled", "AP alone", f"PCK@{PCK_SHARES[0]:g}")
    return [*table(titles, rows)] if rows else []


def errors_table(measured: Measured) -> list[str]:
    """What each kind of error costs; nothing where the evaluation has no report."""
    errors = measured.figures.get("errors") or {}
    base = errors.get("ap")
    rows = [
        [one["kind"], str(one["count"]), f"{100 * (one['alone'] - base):+.1f}"]
        for one in errors.get("kinds", [])
        if base is not None
    ]
    return [*table(("error", "count", "AP if it were mended"), rows)] if rows else []


def precision_table(models: Sequence[Model], evaluations: Sequence[Measured]) -> list[str]:
    """A line for each file: its size, and its AP by evaluation, else as export measured it."""
    rows = []
    for model in models:
        extra = model.contract.extra
        own = [one for one in evaluations if one.model.get("sha256") == model.sha256]
        measured = _points(own[0].metrics.get("ap")) if own else "-"
        verified = "-"
        if extra.get("ap_exported"):
            ends = extra.get("ap_difference_interval", "").split()
            interval = " to ".join(f"{100 * float(end):+.1f}" for end in ends)
            after, before = 100 * float(extra["ap_exported"]), 100 * float(extra["ap"])
            verified = f"{after:.1f} ({before:.1f} trained; 95 %: {interval})"
        size = f"{model.size / 1e6:.2f}"
        cosine = extra.get("maps_cosine", "-")
        row = [f"`{model.path.name}`", model.contract.precision, size, measured, verified, cosine]
        rows.append(row)
    titles = ("file", "precision", "MB", "AP", "AP at export", "cosine of maps to the trained")
    verified_on = sorted({model.contract.extra.get("dataset", "") for model in models} - {""})
    notes = [f"AP at export is of {'; '.join(verified_on)}."] if verified_on else []
    return [*table(titles, rows), *(["", *notes] if notes else [])]


def speed_table(models: Sequence[Model], benchmarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each benchmark of one of the models; nothing where there is none."""
    names = [model.path.name for model in models]
    rows = []
    for benchmark in benchmarks:
        machine = benchmark.get("machine") or {}
        where = f"{machine.get('platform', '?')}, {machine.get('cores', '?')} cores"
        for one in benchmark["results"]:
            name = Path(str(one.get("model"))).name
            if name not in names:
                continue
            threads = one.get("threads") or "all"
            rows.append(
                [
                    f"`{name}`",
                    f"{where}; {one['runs_on']}, {threads} threads",
                    f"{one['height']} x {one['width']}",
                    str(one["batch"]),
                    f"{one['call_ms']['median']:.1f}",
                    f"{one['ms']['decode']['median']:.2f}",
                    f"{one['images_per_s']['median']:.0f}",
                ]
            )
    titles = ("file", "runs on", "input", "batch", "ms a call", "ms decoding", "images/s")
    return [*table(titles, rows)] if rows else []


def measured_limits(measured: Measured) -> list[str]:
    """Groups of people and keypoints that the model is weaker on than on all."""
    whole = float(measured.metrics["ap"])
    found = []
    for group, title in GROUPS.items():
        for one in measured.figures.get(group) or []:
            if one["people"] and 0 <= one["ap"] < whole - GAP:
                said = f"{one['people']} people in {one['images']} images"
                found.append(
                    f"{title} {one['name']}: AP {_points(one['ap'])}, against {_points(whole)} "
                    f"over all ({said})"
                )
    keypoints = [one for one in measured.figures.get("keypoints") or [] if one["labelled"]]
    weakest = sorted(keypoints, key=lambda one: float(one["ap"]))[:WEAKEST]
    if weakest:
        names = ", ".join(f"{one['name']} ({_points(one['ap'])})" for one in weakest)
        found.append(f"the keypoints with the lowest AP: {names}")
    if measured.figures.get("failures"):
        found.append(f"{measured.figures['failures']} images could not be used in the evaluation")
    return found


def _points(share: float | None) -> str:
    """A share as points; COCO's -1, of nobody, as a dash."""
    return "-" if share is None or share < 0 else f"{100 * share:.1f}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " x ".join(f"{item:g}" for item in value)
    return str(value)
