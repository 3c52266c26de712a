"""What ``bpnet prune`` says of its work: a table, the cost, and a JSON file beside the network."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.prediction import write_json

if TYPE_CHECKING:
    import keras

    from bpnet.model.description import NetworkDescription
    from bpnet.model.prune import PruneResult

SUFFIX = ".pruning.json"
QUANTILES = ("min", "25%", "50%", "75%", "max")


def print_table(result: "PruneResult") -> None:
    """A line a convolution: filters kept and in all, and the quantiles of their norms."""
    width = max(len(row.layer) for row in result.table)
    heads = "".join(f"  {name:>8}" for name in QUANTILES)
    print(f"{'layer':{width}}  kept   all{heads}")
    for row in result.table:
        norms = "".join(f"  {norm:8.3g}" for norm in row.norms or ()) or "  stays whole"
        print(f"{row.layer:{width}}  {row.kept:4}  {row.all:4}{norms}")


def measure_costs(
    model: "keras.Model", pruned: "keras.Model"
) -> "tuple[NetworkDescription, NetworkDescription]":
    """The cost of the network before and after."""
    from bpnet.model.description import describe_network
    from bpnet.model.prune_cost import SIZE

    before, after = (describe_network(each, SIZE, SIZE) for each in (model, pruned))
    return before, after


def print_cost(
    result: "PruneResult", before: "NetworkDescription", after: "NetworkDescription"
) -> None:
    """Threshold, layers, parameters and GFLOPs."""
    ratio = result.parameters_after / result.parameters_before
    cut = [row for row in result.table if row.kept < row.all]
    filters = f"{sum(x.kept for x in cut)} of {sum(x.all for x in cut)}"
    print(f"threshold   {result.threshold:.6g}")
    print(f"layers      {len(cut)} of {len(result.table)} cut, to {filters} filters")
    counts = f"{result.parameters_before:,} -> {result.parameters_after:,}"
    print(f"parameters  {counts} ({ratio:.1%} left)")
    print(
        f"GFLOPs      {before.gflops:.2f} -> {after.gflops:.2f}"
        f" ({after.gflops / before.gflops:.1%} left), an image of {before.height} x {before.width}"
    )


def write_report(
    target: Path,
    args: argparse.Namespace,
    result: "PruneResult",
    costs: "tuple[NetworkDescription, NetworkDescription]",
) -> Path:
    """Write the choices, the costs and the table beside the network ``target``.

    Raises:
        DataError: The file cannot be written.
    """
    before, after = costs
    layers = [
        {
            "layer": row.layer,
            "kept": row.kept,
            "all": row.all,
            "norms": dict(zip(QUANTILES, row.norms, strict=True)) if row.norms else None,
        }
        for row in result.table
    ]
    content: dict[str, Any] = {
        "model": args.model.name,
        "pruned": target.name,
        "criterion": args.criterion,
        "normalizer": args.normalizer,
        "equalization_criterion": args.equalization_criterion,
        "compensated": args.compensate,
        "threshold": result.threshold,
        "pruning_granularity": args.pruning_granularity,
        "min_num_filters": args.min_num_filters,
        "excluded_layers": args.excluded_layers,
        "parameters": {"before": result.parameters_before, "after": result.parameters_after},
        "gflops": {
            "before": before.gflops,
            "after": after.gflops,
            "image": [before.height, before.width],
        },
        "layers": layers,
    }
    path = target.with_suffix(SUFFIX)
    write_json(path, content)
    return path
