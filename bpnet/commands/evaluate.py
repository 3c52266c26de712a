"""Measure a model's COCO keypoint AP on a labelled dataset, and say what it gets wrong."""

import argparse
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.evaluate_baseline import (
    MAX_DROP,
    Baseline,
    add_baseline_options,
    check_baseline,
    warn_of_unused_max_drop,
)
from bpnet.commands.evaluate_outputs import Evaluation, write_outputs
from bpnet.commands.evaluate_sources import (
    Detections,
    detect_with_model,
    merge_shards,
    read_detections,
)
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
    read_inference_spec,
    read_test_data,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset
    from bpnet.spec.dataset import DataSection, DatasetSpec
    from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

WORST = 12  # images drawn in a report

EPILOG = """examples:
  bpnet evaluate -m model.onnx -d coco_spec.json -r results
  bpnet evaluate -i infer_spec.yaml -m model.keras -d coco_spec.json -r results --limit 100
  bpnet evaluate --detections results/detections.json -d coco_spec.json -r again
  bpnet evaluate -m model.onnx -d coco_spec.json -r part1 --shard 1/2
  bpnet evaluate --merge part1 part2 -d coco_spec.json -r whole
  bpnet evaluate -m model.onnx -d coco_spec.json --baseline baseline.json --max_drop 0.2

The images and annotations are those of test_data in the dataset spec. The results go to -r
(default: results): results.csv, detections.json, detections_coco_format.json, status.json as TAO
has them; evaluation.json (every figure) and report.html.
An image that cannot be used is named and left out; the exit code is then 1. It is 3 where AP fell
below the baseline."""


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
    _add_sources(parser)
    add_baseline_options(
        parser,
        earlier="an earlier evaluation",
        max_drop=MAX_DROP,
        digests="the model and the labels",
    )
    _add_report(parser)
    add_results(parser)
    add_key(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 1 if an image could not be used, 3 if AP fell below the baseline."""
    from bpnet.commands.status import status

    _check_options(args)
    spec = read_inference_spec(args)
    if args.dry_run:
        print_dry_run(spec)
    dataset_spec, section = read_test_data(args.dataset_spec, user="evaluation")
    if args.dry_run:
        root = Path(dataset_spec.root_directory_path)
        labels, images = section.annotation_root_dir_path, section.images_root_dir_path
        files = [path for path in (args.detections, args.baseline) if path is not None]
        missing = [path for path in (root / labels, root / images, *files) if not path.exists()]
        model = [] if args.detections or args.merge else missing_model(args, spec)
        warn_of_missing([*model, *missing])
        return ExitCode.DONE
    results_dir = args.results_dir or RESULTS_DIR
    with status(results_dir, "evaluate") as write_status:
        baseline = None if args.baseline is None else Baseline.read(args.baseline)
        evaluation = _evaluate(args, spec, dataset_spec, section)
        write_outputs(results_dir, evaluation)
        if args.report:
            from bpnet.commands.evaluate_report import write_report

            write_report(results_dir / "report.html", evaluation, worst=args.worst)
        write_status(kpi=evaluation.kpi())
        fallen = _compare(args, evaluation, baseline)
        if failures := evaluation.found.failures:
            said = f"{len(failures)} images could not be used."
            write_status(status="FAILURE", message=said)
        elif fallen:
            write_status(status="FAILURE", message=fallen)
    _print_results(evaluation, results_dir, report=args.report)
    if fallen:
        logger.error("%s", fallen)
    if failures:
        logger.error("%s images could not be used and are left out", len(failures))
        return ExitCode.FAILED
    return ExitCode.BELOW_BASELINE if fallen else ExitCode.DONE


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("parts, and detections made before")
    sources = group.add_mutually_exclusive_group()
    sources.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="detections.json of inference (of photos as stored: its EXIF orientation must be "
        "upright) or of evaluate, or COCO's results; in place of -m",
    )
    sources.add_argument(
        "--merge",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="the results folders (-r) of all the --shard of one evaluation; in place of -m",
    )
    sources.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="only every N-th image, from the I-th on (I from 1); --merge puts the parts together",
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("report")
    group.add_argument(
        "--no_report",
        dest="report",
        action="store_false",
        help="no report.html and no figures of errors, keypoints, crowding and sizes",
    )
    group.add_argument(
        "--worst",
        type=at_least(0),
        default=WORST,
        metavar="N",
        help=f"images drawn in the report, those with the most errors (default: {WORST})",
    )


def _check_options(args: argparse.Namespace) -> None:
    """Warns of options without effect, and refuses those that do not go together."""
    if args.shard and (args.baseline or args.write_baseline):
        raise SpecError("--shard evaluates a part only; give the baseline to --merge")
    if args.merge and args.limit:
        raise SpecError("--merge takes the --limit of its shards; leave --limit out")
    warn_of_unused_max_drop(args)
    if not args.report and args.worst != WORST:
        logger.warning("--worst: no effect with --no_report")
    if (args.detections or args.merge) and args.model_filename:
        logger.warning("-m: no effect, for the detections were made before")


def _evaluate(
    args: argparse.Namespace,
    spec: "InferenceSpec | None",
    dataset_spec: "DatasetSpec",
    section: "DataSection",
) -> Evaluation:
    """People, their figures, and unless --no_report what is wrong with them."""
    from bpnet.data.coco import read_subset
    from bpnet.evaluation import evaluate_persons

    dataset, images_folder = read_subset(dataset_spec, section)
    found = _find_people(args, spec, dataset_spec, dataset, images_folder)
    began = time.perf_counter()
    metrics = evaluate_persons(found.persons, dataset, found.skeleton, image_ids=found.persons)
    diagnosis = None
    if args.report:
        from bpnet.diagnosis.diagnosis import diagnose

        diagnosis = diagnose(found.persons, dataset, found.skeleton, image_ids=found.persons)
    return Evaluation(
        found=found,
        dataset=dataset,
        images_folder=images_folder,
        metrics=metrics,
        diagnosis=diagnosis,
        seconds=time.perf_counter() - began,
    )


def _find_people(
    args: argparse.Namespace,
    spec: "InferenceSpec | None",
    dataset_spec: "DatasetSpec",
    dataset: "CocoDataset",
    images_folder: Path,
) -> Detections:
    """The people of a model, of --detections or of --merge."""
    from bpnet.pose.skeleton import Skeleton

    if args.merge:
        return merge_shards(args.merge, dataset)
    if args.detections:
        own = Skeleton.from_category(dataset_spec.people(), dataset_spec.dataset)
        return read_detections(args.detections, dataset, limit=args.limit, own=own)
    return detect_with_model(args, spec, dataset, images_folder)


def _compare(
    args: argparse.Namespace, evaluation: Evaluation, baseline: Baseline | None
) -> str | None:
    """Compares with --baseline, then writes --write_baseline; the sentence that says that AP fell.

    Of images that could not be used nothing is known, so neither is done where there are any.
    """
    if baseline is None and args.write_baseline is None:
        return None
    if evaluation.found.failures:
        logger.error("the baseline is neither compared nor written: not all images could be used")
        return None
    max_drop = MAX_DROP if args.max_drop is None else args.max_drop
    measured = evaluation.as_baseline(max_drop)
    fallen = None
    if baseline is not None:
        fallen = check_baseline(measured, baseline, path=args.baseline, max_drop=args.max_drop)
    if args.write_baseline is not None:
        measured.write(args.write_baseline)
    return fallen


def _print_results(evaluation: Evaluation, results_dir: Path, *, report: bool) -> None:
    found, diagnosis = evaluation.found, evaluation.diagnosis
    print(f"Keypoints of {len(found.persons)} images")
    for line in evaluation.metrics.lines():
        print(line)
    if diagnosis is not None:
        print("Errors, and the AP points that each kind costs:")
        for row in diagnosis.error_rows():
            print(f"  {row[0]:<14} {row[1]:>6} {row[2]:>6}")
    spent = found.milliseconds
    if spent:
        print(f"ms an image: network {spent['network']:.1f}, decoding {spent['decode']:.2f}")
    print(f"results: {results_dir}")
    if report:
        print(f"report: {results_dir / 'report.html'}")


def _shard(text: str) -> tuple[int, int]:
    """The argparse type of ``I/N``."""
    found = re.fullmatch(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,6})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, found {text}")
    return int(found[1]), int(found[2])
