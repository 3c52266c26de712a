"""``bpnet export --sensitivity``: which layers lose most in INT8, and which stay float."""

import argparse
import itertools
import logging
from typing import TYPE_CHECKING

from bpnet.commands.export_calibration import Ranges
from bpnet.commands.export_plan import Plan
from bpnet.commands.export_results import Trials, open_trained
from bpnet.commands.export_source import Source

if TYPE_CHECKING:
    from bpnet.export.sensitivity import FloatChoice, LayerSensitivity, Loss

logger = logging.getLogger(__name__)

INPUTS = 8  # that map errors are measured on
SHOWN = 10  # layers of the table


def choose_float_layers(
    args: argparse.Namespace, plan: Plan, source: Source, ranges: Ranges, trials: Trials
) -> "FloatChoice":
    """The convolutions that stay float: none more than the loss asks for.

    Layers are ranked by the error of the maps, a run of a few images each; how many of them stay
    float is decided by AP where there are labels.
    """
    from bpnet.export.sensitivity import choose_float_nodes, map_loss, rank_layers
    from bpnet.export.trial import ap_loss
    from bpnet.export.verify import MAXIMUM_DROP, MEAN_ERROR

    assert ranges.open_inputs is not None
    step = max(1, ranges.count // INPUTS)
    inputs = list(itertools.islice(ranges.open_inputs(), 0, step * INPUTS, step))
    error = map_loss(source.graph, inputs)
    ranking = rank_layers(source.graph, ranges.table, error)
    loss: Loss = error
    limit, unit = MEAN_ERROR["int8"], "of the largest value of the maps"
    if trials.dataset is not None:
        loss = ap_loss(open_trained(source), trials.photos, trials.dataset, source.inference)
        limit = MAXIMUM_DROP["int8"] if args.max_drop is None else args.max_drop
        unit = "AP points"
    on_cpu = any(one.form == "onnxruntime" for one in plan.artefacts)
    choice = choose_float_nodes(
        source.graph,
        ranges.table,
        ranking,
        loss=loss,
        limit=limit,
        form="onnxruntime" if on_cpu else "tensorrt",
    )
    _print(ranking, choice, unit)
    return choice


def _print(ranking: "list[LayerSensitivity]", choice: "FloatChoice", unit: str) -> None:
    print("mean error of the maps where one layer alone is INT8, the worst first:")
    for layer in ranking[:SHOWN]:
        print(f"  {layer.loss:10.3g}  {layer.name}")
    for count, lost in choice.tried.items():
        print(f"{count} layers kept float: INT8 loses {lost:.3g} {unit} (limit {choice.limit:g})")
    kept = ", ".join(choice.added) or "none"
    print(f"kept float: {kept}")
    if not choice.within_limit:
        logger.warning(
            "INT8 loses %.3g %s even so, above the limit of %g", choice.loss, unit, choice.limit
        )
