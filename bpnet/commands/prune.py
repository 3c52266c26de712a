"""Remove a network's weakest filters; retrain the result to win the accuracy back."""

import argparse
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bpnet.commands.options import read_key
from bpnet.commands.prune_options import THRESHOLD
from bpnet.commands.prune_options import add_arguments as add_arguments
from bpnet.commands.prune_report import measure_costs, print_cost, print_table, write_report
from bpnet.commands.prune_sweep import check_options, run_sweep
from bpnet.commands.status import StatusWriter, status
from bpnet.errors import ExitCode, ModelError, SpecError

if TYPE_CHECKING:
    import keras
    import numpy as np
    from numpy.typing import NDArray

    from bpnet.model.description import NetworkDescription
    from bpnet.model.prune import PruneResult
    from bpnet.pose.contract import ModelContract

logger = logging.getLogger(__name__)

BY_RESPONSE = ("activation", "contribution")  # criteria that look at images


def run(args: argparse.Namespace) -> int:
    """Prune, report, write; or measure AP at several thresholds."""
    check_options(args)
    if args.sweep is not None:
        with status(args.results_dir, "prune") as write:
            return _sweep(args, write)
    if args.dry_run:
        _prune(args)
        return ExitCode.DONE
    from bpnet.model.files import save_model

    with status(args.results_dir, "prune") as write:
        task, result, costs = _prune(args)
        contract = _noted(args, task.contract, result)
        save_model(result.model, task.target, contract, key=read_key(args))
        report = write_report(task.target, args, result, costs)
        logger.info("wrote %s and %s", task.target, report.name)
        write(
            kpi={
                "parameters": result.parameters_after,
                "pruning_ratio": result.parameters_after / result.parameters_before,
                "gflops": costs[1].gflops,
                "flops_ratio": costs[1].gflops / costs[0].gflops,
                "threshold": result.threshold,
            }
        )
    return ExitCode.DONE


class _Task(NamedTuple):
    """A network, what it means, where the pruned one belongs, and how it is cut."""

    model: "keras.Model"
    contract: "ModelContract | None"
    target: Path
    cut: "Callable[..., PruneResult]"


def _prune(
    args: argparse.Namespace,
) -> "tuple[_Task, PruneResult, tuple[NetworkDescription, NetworkDescription]]":
    """The pruned network, and the costs before and after, which are printed."""
    targets = [x for x in ("target_params", "target_flops") if getattr(args, x) is not None]
    if targets and args.pruning_threshold is not None:
        logger.warning("--pruning_threshold: no effect, --%s finds the threshold", targets[0])
    task = _load(args)
    result = task.cut(
        threshold=THRESHOLD if args.pruning_threshold is None else args.pruning_threshold,
        target_params=args.target_params,
        target_flops=args.target_flops,
    )
    if args.verbose or args.dry_run:
        print_table(result)
    costs = measure_costs(task.model, result.model)
    print_cost(result, *costs)
    return task, result, costs


def _sweep(args: argparse.Namespace, write: StatusWriter) -> int:
    task = _load(args)

    def cut(value: float) -> "PruneResult":
        return task.cut(**{args.sweep_by: value})

    return run_sweep(args, task.model, task.contract, cut, output=task.target, write=write)


def _load(args: argparse.Namespace) -> _Task:
    """The network to prune, and all choices but the threshold."""
    from bpnet.model.files import find_model, load_model, output_path
    from bpnet.model.prune import prune

    key = read_key(args)
    source, target = find_model(args.model), output_path(args.output_file, key=key)
    if source.resolve() == target.resolve():
        raise ModelError(f"{target} is the network to prune; give -o another name")
    if args.criterion == "contribution" and args.equalization_criterion != "union":
        logger.warning(
            "--equalization_criterion: no effect with --criterion contribution, which looks at the "
            "channels after they are added or multiplied"
        )
    model, contract = load_model(source, key=key)
    cut = functools.partial(
        prune,
        model,
        granularity=args.pruning_granularity,
        min_filters=args.min_num_filters,
        normalizer=args.normalizer,
        equalization=args.equalization_criterion,
        excluded=args.excluded_layers,
        criterion=args.criterion,
        images=_read_images(args, contract),
        compensation=args.compensate,
    )
    return _Task(model, contract, target, cut)


def _read_images(
    args: argparse.Namespace, contract: "ModelContract | None"
) -> "list[NDArray[np.float32]] | None":
    """The photos of --cal_image_dir as batches of one, normalised, where they are needed."""
    from bpnet.export.images import choose_images, read_fitted
    from bpnet.inference.preprocess import to_tensor

    if args.criterion not in BY_RESPONSE and not args.compensate:
        if args.cal_image_dir is not None:
            logger.warning("--cal_image_dir: no effect with --criterion %s", args.criterion)
        return None
    if args.cal_image_dir is None:
        option = "--compensate" if args.compensate else f"--criterion {args.criterion}"
        raise SpecError(
            f"{option} needs --cal_image_dir, a folder of photos like those "
            "that the network will see"
        )
    if contract is None:
        raise ModelError(
            f"{args.model} does not say how pixels become its input, so it cannot be run on "
            "photos here; use --criterion weights or batch_norm, without --compensate"
        )
    height, width = contract.usual_size
    photos = read_fitted(
        choose_images(args.cal_image_dir, args.cal_images), height=height, width=width
    )
    return [to_tensor(photo[None], contract) for photo in photos]


def _noted(
    args: argparse.Namespace, contract: "ModelContract | None", result: "PruneResult"
) -> "ModelContract | None":
    """The contract, with a note of the pruning."""
    import dataclasses

    if contract is None:
        logger.warning(
            "the model says neither skeleton nor pixels, so the pruned one will not either: "
            "evaluate and inference need an inference spec for it (for a network of TAO, with "
            "model_output.paf_cell_corners true until it is retrained)"
        )
        return None
    note = {
        "parameters": str(result.parameters_after),
        "parameters_before_pruning": str(result.parameters_before),
        "pruning_threshold": f"{result.threshold:.6g}",
        "pruning_criterion": args.criterion,
    }
    return dataclasses.replace(contract, extra={**contract.extra, **note})
