"""The options of ``bpnet prune``: TAO's, then ours for the criterion and its target."""

import argparse
from pathlib import Path

from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    at_least,
)

THRESHOLD = 0.1  # TAO's
IMAGES = 32  # to measure responses on

EPILOG = """examples:
  bpnet prune -m model.keras -o pruned.keras -pth 0.2
  bpnet prune -m model.keras -o pruned.keras --target_params 0.5
  bpnet prune -m model.keras -o pruned.keras --target_flops 0.5
  bpnet prune -m model.keras -o pruned.keras --target_flops 0.5 --criterion contribution \\
      -n energy --compensate --cal_image_dir photos
  bpnet prune -m model.keras -o pruned.keras -pth 0.2 -el stage1/conv1 block_1a_conv_1 --dry_run
  bpnet prune -m model.keras -o pruned.keras --sweep 0.8 0.6 0.5 0.4 --sweep_by target_flops \\
      -d coco_spec.json --limit 200

A filter's norm is the L2 norm of its kernel over the largest of its layer; --criterion and
--normalizer know others. The output layers of every stage stay whole. To retrain, give the pruned
file as pretrained_weights, load_graph true. The table of --dry_run is also written beside the
output, as OUTPUT.pruning.json."""


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
    _add_amount(parser)
    parser.add_argument(
        "-n",
        "--normalizer",
        choices=("max", "L2", "energy"),
        default="max",
        help="divide norms by their layer's largest, or by their L2 norm over their number; "
        "energy: the root of the part of the layer's squares that a filter and all smaller ones "
        "are (default: max)",
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
    _add_criterion(parser)
    _add_sweep(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print a table of the layers")
    parser.add_argument(
        "--dry_run", action="store_true", help="print the table and what is saved; write nothing"
    )
    add_key(parser)
    add_results(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def _add_amount(parser: argparse.ArgumentParser) -> None:
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


def _add_criterion(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what a filter's norm is")
    group.add_argument(
        "--criterion",
        choices=("weights", "batch_norm", "activation", "contribution"),
        default="weights",
        help="weights: L2 norm of its kernel; batch_norm: that times what batch normalisation "
        "makes of it; activation: its mean absolute value on images; contribution: its share in "
        "what the next convolutions are given on images (default: weights)",
    )
    group.add_argument(
        "--cal_image_dir",
        type=Path,
        metavar="DIR",
        help="photos to measure activation, contribution and --compensate on",
    )
    group.add_argument(
        "--cal_images",
        type=at_least(1),
        default=IMAGES,
        metavar="N",
        help="how many of them, evenly spaced over the sorted names (default: %(default)s)",
    )
    group.add_argument(
        "--compensate",
        action="store_true",
        help="let the filters that stay take over what the others told the next layers, by least "
        "squares on --cal_image_dir: far more is left before retraining",
    )


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("AP at several thresholds, without writing a network")
    group.add_argument(
        "--sweep",
        type=float,
        nargs="+",
        metavar="VALUE",
        help="prune at each of these, measure AP before retraining, and write OUTPUT.sweep.csv and "
        "OUTPUT.sweep.png",
    )
    group.add_argument(
        "--sweep_by",
        choices=("threshold", "target_params", "target_flops"),
        default="threshold",
        help="what the values of --sweep are (default: %(default)s)",
    )
    group.add_argument(
        "-d", "--dataset_spec", type=Path, metavar="FILE", help="dataset spec; its test_data"
    )
    group.add_argument(
        "-i", "--inference_spec", type=Path, metavar="FILE", help="how the networks are run"
    )
    group.add_argument(
        "--limit", type=at_least(1), metavar="N", help="only the first N images (default: all)"
    )
