"""What an evaluation writes: TAO's files, and every figure as JSON."""

import csv
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.evaluate_baseline import Baseline
from bpnet.commands.evaluate_sources import DETECTIONS, MAKING, Detections
from bpnet.commands.prediction import persons_block, pose_block, write_json

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset
    from bpnet.diagnosis.diagnosis import Diagnosis
    from bpnet.evaluation import CocoMetrics

EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """People, how good they are, and what is wrong with them.

    Attributes:
        found: The people.
        dataset: The labels.
        images_folder: What the dataset's file names are below.
        metrics: COCO's figures, over the images that could be used.
        diagnosis: What is wrong; None where nobody asked.
        seconds: That metrics and diagnosis took.
    """

    found: Detections
    dataset: "CocoDataset"
    images_folder: Path
    metrics: "CocoMetrics"
    diagnosis: "Diagnosis | None"
    seconds: float

    def kpi(self) -> dict[str, float]:
        """The figures of status.json: TAO's, and ms an image of each step."""
        spent = self.found.milliseconds
        steps = {f"{step}_ms": spent[step] for step in ("network", "decode") if step in spent}
        return {**self.metrics.kpi(), **steps}

    def as_baseline(self, max_drop: float) -> Baseline:
        """The baseline that this evaluation is for later ones."""
        from bpnet.evaluation import labels_digest

        images = [image.id for image in self.found.images]
        return Baseline(
            metrics=self.metrics.kpi(),
            max_drop=max_drop,
            images=len(images),
            labels_sha256=labels_digest(self.dataset, images),
            model=self.found.model,
        )


def write_outputs(results_dir: Path, evaluation: Evaluation) -> None:
    """Write every file of an evaluation but status.json and the report.

    Raises:
        DataError: One cannot be written.
    """
    from bpnet.evaluation import coco_results

    found = evaluation.found
    write_json(results_dir / DETECTIONS, _detections(evaluation))
    results = coco_results(found.persons, evaluation.dataset, found.skeleton)
    write_json(results_dir / "detections_coco_format.json", results, indent=None)
    _write_table(results_dir / "results.csv", evaluation.metrics)
    write_json(results_dir / EVALUATION, _figures(evaluation))


def _detections(evaluation: Evaluation) -> dict[str, Any]:
    found, folder = evaluation.found, evaluation.images_folder
    images: list[dict[str, Any]] = []
    for image in found.images:
        entry: dict[str, Any] = {
            "full_image_path": str(folder / image.file_name),
            "image_id": image.id,
        }
        if image.id in found.persons:
            images.append(entry | persons_block(found.persons[image.id]))
        elif image.id in found.failures:
            images.append(entry | {"error": found.failures[image.id]})
    making = {MAKING: found.making} if found.making else {}
    head = {**pose_block(found.skeleton), "inference_spec": found.inference_spec, **making}
    return {**head, "images": images}


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """evaluation.json: every figure of the report."""
    found, diagnosis = evaluation.found, evaluation.diagnosis
    return {
        "images": len(found.persons),
        "failures": len(found.failures),
        "model": found.model or None,
        "labels_sha256": evaluation.as_baseline(0).labels_sha256,
        "metrics": dataclasses.asdict(evaluation.metrics),
        "ms_an_image": found.milliseconds,
        **({} if diagnosis is None else diagnosis.to_dict()),
    }


def _write_table(path: Path, metrics: "CocoMetrics") -> None:
    """TAO's table: an index column, then metric, IoU, area, maxDets and score."""
    from bpnet.files import replacing

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", "metric", "IoU", "area", "maxDets", "score"])
    writer.writerows([index, *row] for index, row in enumerate(metrics.rows()))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
