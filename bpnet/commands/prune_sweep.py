"""``bpnet prune --sweep``: AP against cost at several thresholds, before any retraining."""

import argparse
import csv
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.prediction import read_test_data
from bpnet.commands.prune_report import measure_costs
from bpnet.commands.status import StatusWriter
from bpnet.errors import ExitCode, ModelError, SpecError

if TYPE_CHECKING:
    import keras

    from bpnet.evaluation import CocoMetrics
    from bpnet.model.prune import PruneResult
    from bpnet.pose.contract import ModelContract

logger = logging.getLogger(__name__)

COLUMNS = ("threshold", "parameters", "gflops", "parameters_left", "gflops_left", "ap", "ap50")


@dataclass(frozen=True)
class SweepPoint:
    """One network of a sweep; the whole one has no threshold.

    Attributes:
        threshold: Of the pruning.
        parameters: Of the network.
        gflops: Of one image of the size that ``prune`` counts for.
        parameters_left: The part of the whole network's, 0..1.
        gflops_left: The part of the whole network's, 0..1.
        metrics: On the dataset.
    """

    threshold: float | None
    parameters: int
    gflops: float
    parameters_left: float
    gflops_left: float
    metrics: "CocoMetrics"

    def row(self) -> list[str]:
        """The values of ``COLUMNS``."""
        return [
            "" if self.threshold is None else f"{self.threshold:.6g}",
            str(self.parameters),
            f"{self.gflops:.4f}",
            f"{self.parameters_left:.4f}",
            f"{self.gflops_left:.4f}",
            f"{self.metrics.ap:.4f}",
            f"{self.metrics.ap50:.4f}",
        ]


def check_options(args: argparse.Namespace) -> None:
    """Warns of options without effect, and refuses a sweep without labels.

    Raises:
        SpecError: --sweep without --dataset_spec, or with --dry_run.
    """
    if args.sweep is None:
        for name in ("dataset_spec", "inference_spec", "limit"):
            if getattr(args, name) is not None:
                logger.warning("--%s: no effect without --sweep", name)
        return
    if args.dataset_spec is None:
        raise SpecError("--sweep needs -d, a dataset spec whose test_data AP is measured on")
    if args.dry_run:
        raise SpecError("--sweep writes no network; give it or --dry_run, not both")
    if any(x is not None for x in (args.pruning_threshold, args.target_params, args.target_flops)):
        logger.warning("--pruning_threshold and the targets: no effect, --sweep says the values")
    if args.verbose:
        logger.warning("--verbose: no effect with --sweep")


def run_sweep(
    args: argparse.Namespace,
    model: "keras.Model",
    contract: "ModelContract | None",
    cut: "Callable[[float], PruneResult]",
    *,
    output: Path,
    write: StatusWriter,
) -> int:
    """Evaluate the whole network and those that ``cut`` makes; a CSV file and a chart beside -o.

    Values that nothing can be pruned by are named, the rest is done, and the exit code is 1.
    """
    measure = _open_dataset(args, contract)
    print("  ".join(f"{name:>15}" for name in COLUMNS), flush=True)
    points = []

    def add(result: "PruneResult | None") -> int:
        point, failed = _evaluate(model, result, measure)
        points.append(point)
        print("  ".join(f"{text:>15}" for text in point.row()), flush=True)
        write(kpi=dict(zip(COLUMNS, point.row(), strict=True)))
        return failed

    failures = add(None)
    for value in sorted(args.sweep, reverse=args.sweep_by != "threshold"):
        try:
            result = cut(value)
        except ModelError as error:
            logger.error("--sweep %g: %s", value, error)
            failures += 1
        else:
            failures += add(result)
    _write(args, output, points)
    if failures:
        write(status="FAILURE", message="Some values or images could not be used.")
    return ExitCode.FAILED if failures else ExitCode.DONE


def _open_dataset(
    args: argparse.Namespace, contract: "ModelContract | None"
) -> "Callable[[keras.Model], tuple[CocoMetrics, int]]":
    """What measures a network on the dataset spec: its figures, and how many images failed."""
    from bpnet.data.coco import read_subset
    from bpnet.inference.keras_backend import KerasBackend
    from bpnet.inference.predictor import predictor_of
    from bpnet.inference.validation import validate
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.reader import read_spec

    if contract is None:
        raise ModelError(
            f"{args.model} says neither skeleton nor pixels, which --sweep needs; prune it at one "
            "threshold, then give bpnet evaluate an inference spec"
        )
    said = contract
    dataset, images = read_subset(*read_test_data(args.dataset_spec, user="--sweep"))
    spec = None if args.inference_spec is None else read_spec(args.inference_spec, InferenceSpec)

    def measure(network: "keras.Model") -> "tuple[CocoMetrics, int]":
        stage = None if spec is None else spec.output_stage_to_use
        predictor = predictor_of(KerasBackend(network, said, stage=stage), spec)
        found = validate(predictor, dataset, images, limit=args.limit)
        return found.metrics, len(found.failures)

    return measure


def _evaluate(
    model: "keras.Model",
    result: "PruneResult | None",
    measure: "Callable[[keras.Model], tuple[CocoMetrics, int]]",
) -> tuple[SweepPoint, int]:
    """The point of a pruned network, or of the whole one, and how many images failed."""
    network = model if result is None else result.model
    before, after = measure_costs(model, network)
    metrics, failed = measure(network)
    point = SweepPoint(
        threshold=None if result is None else result.threshold,
        parameters=after.parameters,
        gflops=after.gflops,
        parameters_left=after.parameters / before.parameters,
        gflops_left=after.gflops / before.gflops,
        metrics=metrics,
    )
    return point, failed


def _write(args: argparse.Namespace, output: Path, points: list[SweepPoint]) -> None:
    """OUTPUT.sweep.csv and OUTPUT.sweep.png."""
    from bpnet.charts import draw_sweep
    from bpnet.files import replacing
    from bpnet.sheet import write_picture

    table, chart = output.with_suffix(".sweep.csv"), output.with_suffix(".sweep.png")
    with replacing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(point.row() for point in points)
    how = f"criterion {args.criterion}, normalizer {args.normalizer}"
    picture = draw_sweep(
        {
            "parameters": [100 * point.parameters_left for point in points],
            "GFLOPs": [100 * point.gflops_left for point in points],
        },
        [point.metrics.ap for point in points],
        ["" if x.threshold is None else f"{x.threshold:.3g}" for x in points],
        f"{args.model.name} pruned, before retraining: {how}"
        + (", compensated" if args.compensate else ""),
    )
    write_picture(chart, picture)
    logger.info("wrote %s and %s", table, chart.name)
