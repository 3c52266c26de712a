"""Remove a network's weakest filters; retrain the result to win the accuracy back."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    at_least,
    read_key,
)
from bpnet.commands.status import status
from bpnet.errors import ExitCode, ModelError

if TYPE_CHECKING:
    from bpnet.model.description import NetworkDescription
    from bpnet.model.prune import PruneResult
    from bpnet.pose.contract import ModelContract

logger = logging.getLogger(__name__)

THRESHOLD = 0.1  # TAO's

EPILOG = """examples:
  bpnet prune -m model.keras -o pruned.keras -pth 0.2
  bpnet prune -m model.keras -o pruned.keras --target_params 0.5
  bpnet prune -m model.keras -o pruned.keras --target_flops 0.5
  bpnet prune -m model.keras -o pruned.keras -pth 0.2 -el stage1/conv1 block_1a_conv_1 --dry_run

A filter's norm is the L2 norm of its kernel over the largest of its layer. The output layers of
every stage stay whole. To retrain, give the pruned file as pretrained_weights, load_graph true."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-m", "--model", type=Path, required=True, metavar="FILE", help="network to prune"
    )
    parser.add_argument(
        "-o",
        "--output_file",
        type=Path,
        required=True,
        metavar="FILE",
        help="pruned network (.keras, or .tlt with a key)",
    )
    parser.add_argument(
        "-pth",
        "--pruning_threshold",
        type=float,
        default=None,
        metavar="NORM",
        help=f"filters whose norm is not above this go (default: {THRESHOLD})",
    )
    parser.add_argument(
        "--target_params",
        type=float,
        default=None,
        metavar="SHARE",
        help="find the threshold that leaves this share of the parameters, such as 0.5",
    )
    parser.add_argument(
        "--target_flops",
        type=float,
        default=None,
        metavar="SHARE",
        help="the same for the operations of the convolutions; with both, each is kept within",
    )
    parser.add_argument(
        "-pg",
        "--pruning_granularity",
        type=at_least(1),
        default=8,
        metavar="N",
        help="filters left are a multiple of N (default: %(default)s)",
    )
    parser.add_argument(
        "-nf",
        "--min_num_filters",
        type=at_least(1),
        default=16,
        metavar="N",
        help="fewest filters left in a layer (default: %(default)s)",
    )
    parser.add_argument(
        "-n",
        "--normalizer",
        choices=("max", "L2"),
        default="max",
        help="divide norms by their layer's largest, or by their L2 norm over their number"
        " (default: max)",
    )
    parser.add_argument(
        "-eq",
        "--equalization_criterion",
        choices=("union", "intersection", "arithmetic_mean", "geometric_mean"),
        default="union",
        help="norm of channels that are multiplied or added to each other (default: union)",
    )
    parser.add_argument(
        "-el",
        "--excluded_layers",
        nargs="*",
        default=[],
        metavar="LAYER",
        help="layers that stay whole; stage1/conv1 and stage1.conv1 are the same",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print a table of the layers")
    parser.add_argument(
        "--dry_run", action="store_true", help="print the table and what is saved; write nothing"
    )
    add_key(parser)
    add_results(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prune, report, write."""
    if args.dry_run:
        _prune(args)
        return ExitCode.DONE
    from bpnet.model.files import save_model

    with status(args.results_dir, "prune") as write:
        result, contract, target = _prune(args)
        save_model(result.model, target, _noted(contract, result), key=read_key(args))
        logger.info("wrote %s", target)
        write(
            kpi={
                "parameters": result.parameters_after,
                "pruning_ratio": result.parameters_after / result.parameters_before,
                "threshold": result.threshold,
            }
        )
    return ExitCode.DONE


def _prune(args: argparse.Namespace) -> "tuple[PruneResult, ModelContract | None, Path]":
    """The pruned network and where it belongs; what it costs is printed."""
    from bpnet.model.description import describe_network
    from bpnet.model.files import find_model, load_model, output_path
    from bpnet.model.prune import prune
    from bpnet.model.prune_cost import SIZE

    targets = [x for x in ("target_params", "target_flops") if getattr(args, x) is not None]
    if targets and args.pruning_threshold is not None:
        logger.warning("--pruning_threshold: no effect, --%s finds the threshold", targets[0])
    key = read_key(args)
    source, target = find_model(args.model), output_path(args.output_file, key=key)
    if source.resolve() == target.resolve():
        raise ModelError(f"{target} is the network to prune; give -o another name")
    model, contract = load_model(source, key=key)
    result = prune(
        model,
        threshold=THRESHOLD if args.pruning_threshold is None else args.pruning_threshold,
        granularity=args.pruning_granularity,
        min_filters=args.min_num_filters,
        normalizer=args.normalizer,
        equalization=args.equalization_criterion,
        excluded=args.excluded_layers,
        target_params=args.target_params,
        target_flops=args.target_flops,
    )
    if args.verbose or args.dry_run:
        _print_table(result)
    before, after = (describe_network(x, SIZE, SIZE) for x in (model, result.model))
    _print_cost(result, before, after)
    return result, contract, target


def _print_table(result: "PruneResult") -> None:
    width = max(len(row.layer) for row in result.table)
    print(f"{'layer':{width}}  kept   all")
    for row in result.table:
        print(f"{row.layer:{width}}  {row.kept:4}  {row.all:4}")


def _print_cost(
    result: "PruneResult", before: "NetworkDescription", after: "NetworkDescription"
) -> None:
    ratio = result.parameters_after / result.parameters_before
    print(f"threshold   {result.threshold:.6g}")
    counts = f"{result.parameters_before:,} -> {result.parameters_after:,}"
    print(f"parameters  {counts} ({ratio:.1%} left)")
    print(
        f"GFLOPs      {before.gflops:.2f} -> {after.gflops:.2f}"
        f" ({after.gflops / before.gflops:.1%} left), an image of {before.height} x {before.width}"
    )


def _noted(contract: "ModelContract | None", result: "PruneResult") -> "ModelContract | None":
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
    }
    return dataclasses.replace(contract, extra={**contract.extra, **note})
