"""Measure a model's COCO keypoint AP on a labelled dataset."""

import argparse
import csv
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    add_spec_options,
    at_least,
    print_dry_run,
    warn_of_missing,
)
from bpnet.commands.prediction import (
    RESULTS_DIR,
    add_model_options,
    missing_model,
    open_predictor,
    persons_block,
    pose_block,
    read_inference_spec,
    spec_block,
    write_json,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset
    from bpnet.evaluation import CocoMetrics
    from bpnet.inference.predictor import Predictor
    from bpnet.inference.validation import ValidationResult
    from bpnet.spec.dataset import DataSection, DatasetSpec
    from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

EPILOG = """examples:
  bpnet evaluate -m model.onnx -d coco_spec.json -r results
  bpnet evaluate -i infer_spec.yaml -m model.keras -d coco_spec.json -r results --limit 100

The images and annotations are those of test_data in the dataset spec. The results go to -r
(default: results): results.csv, detections.json, detections_coco_format.json, status.json.
An image that cannot be used is named and left out; the exit code is then 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_model_options(parser)
    parser.add_argument(
        "--dataset", choices=("coco",), default="coco", help="format of the annotations"
    )
    parser.add_argument(
        "-d", "--dataset_spec", type=Path, required=True, metavar="FILE", help="dataset spec"
    )
    parser.add_argument(
        "--limit", type=at_least(1), metavar="N", help="only the first N images (default: all)"
    )
    add_results(parser)
    add_key(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate a model; 1 if an image could not be used."""
    from bpnet.commands.status import status
    from bpnet.data.coco import read_subset

    spec = read_inference_spec(args)
    if args.dry_run:
        print_dry_run(spec)
    dataset_spec, section = _read_dataset_spec(args.dataset_spec)
    if args.dry_run:
        root = Path(dataset_spec.root_directory_path)
        labels, images = section.annotation_root_dir_path, section.images_root_dir_path
        missing = [path for path in (root / labels, root / images) if not path.exists()]
        warn_of_missing([*missing_model(args, spec), *missing])
        return ExitCode.DONE
    results_dir = args.results_dir or RESULTS_DIR
    with status(results_dir, "evaluate") as write_status:
        dataset, images_folder = read_subset(dataset_spec, section)
        predictor = open_predictor(args, spec)
        result = _validate(predictor, dataset, images_folder, limit=args.limit)
        _write_results(results_dir, predictor, result, dataset, images_folder, spec)
        write_status(kpi={**result.metrics.kpi(), **_milliseconds(predictor)})
        if result.failures:
            said = f"{len(result.failures)} images could not be used."
            write_status(status="FAILURE", message=said)
    _print_results(result, predictor, results_dir)
    return ExitCode.FAILED if result.failures else ExitCode.DONE


def _read_dataset_spec(path: Path) -> "tuple[DatasetSpec, DataSection]":
    """The dataset spec and its test subset."""
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec

    spec = read_spec(path, DatasetSpec)
    if spec.test_data is None:
        raise SpecError(f"{path} has no test_data, which evaluation uses")
    return spec, spec.test_data


def _validate(
    predictor: "Predictor", dataset: "CocoDataset", images_folder: Path, *, limit: int | None
) -> "ValidationResult":
    from tqdm import tqdm

    from bpnet.inference.validation import validate

    with tqdm(total=len(dataset.images[:limit]), unit="image", disable=None) as bar:
        return validate(predictor, dataset, images_folder, limit=limit, on_image=bar.update)


def _write_results(
    results_dir: Path,
    predictor: "Predictor",
    result: "ValidationResult",
    dataset: "CocoDataset",
    images_folder: Path,
    spec: "InferenceSpec | None",
) -> None:
    """``detections.json``, ``detections_coco_format.json`` and ``results.csv``."""
    from bpnet.evaluation import coco_results

    skeleton = predictor.backend.contract.skeleton
    images: list[dict[str, Any]] = []
    for image in dataset.images:
        entry: dict[str, Any] = {
            "full_image_path": str(images_folder / image.file_name),
            "image_id": image.id,
        }
        if image.id in result.persons:
            images.append(entry | persons_block(result.persons[image.id]))
        elif image.id in result.failures:
            images.append(entry | {"error": result.failures[image.id]})
    head = {**pose_block(skeleton), "inference_spec": spec_block(spec)}
    write_json(results_dir / "detections.json", {**head, "images": images})
    results = coco_results(result.persons, dataset, skeleton)
    write_json(results_dir / "detections_coco_format.json", results, indent=None)
    _write_table(results_dir / "results.csv", result.metrics)


def _write_table(path: Path, metrics: "CocoMetrics") -> None:
    """TAO's table: an index column, then metric, IoU, area, maxDets and score."""
    from bpnet.files import replacing

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", "metric", "IoU", "area", "maxDets", "score"])
    writer.writerows([index, *row] for index, row in enumerate(metrics.rows()))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _print_results(result: "ValidationResult", predictor: "Predictor", results_dir: Path) -> None:
    print(f"Keypoints of {len(result.persons)} images")
    for line in result.metrics.lines():
        print(line)
    spent = _milliseconds(predictor)
    print(f"ms an image: network {spent['network_ms']:.1f}, decoding {spent['decode_ms']:.2f}")
    print(f"results: {results_dir}")
    if result.failures:
        logger.error("%s images could not be used and are left out", len(result.failures))


def _milliseconds(predictor: "Predictor") -> dict[str, float]:
    """What an image has cost so far, on average."""
    seconds = predictor.seconds
    return {
        "network_ms": 1000 * seconds.network / seconds.images,
        "decode_ms": 1000 * seconds.decode / seconds.images,
    }
