"""Draw what the network will see: images, masks, people and target maps, or a dataset's charts."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import (
    add_launcher_options,
    add_log_level,
    add_spec_options,
    at_least,
    picture,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.commands.show_sources import DatasetSource, TrainingSource

logger = logging.getLogger(__name__)

LAYERS = ("image", "mask", "people", "heatmaps", "pafs")
OF_IMAGES = LAYERS[:3]  # what a labelled image has without a network
IMAGES = 6

EPILOG = """examples:
  bpnet show -e bpnet_train.yaml -o sheet.png
  bpnet show -e bpnet_train.yaml --no_augmentation --images 12 --layers people,pafs
  bpnet show -e bpnet_train.yaml --seed 7 --scale 2 -o closer.png
  bpnet show -d coco_spec.json -m test --images 20
  bpnet show -d coco_spec.json --records data/train-fold-*
  bpnet show -e bpnet_train.yaml --stats

With -e, the images are those of a training's first steps, each as its network will see it: image
(flipped, turned, shifted, zoomed), mask (red: does not count in the loss), people (labels after
the same transform), heatmaps (a colour a keypoint) and pafs (part affinity fields; the colour is
the direction that a limb points in). -d shows a dataset's images and labels as they are, without
TensorFlow; with --records, what the network will see of these records, in a 256 x 256 input.
--stats counts instead: keypoint visibility, people's sizes, where they are and how many an image
has, as text, as a picture and as JSON beside it.
An image that cannot be used is named and left out; the exit code is then 1. A file that bpnet show
has not written is never replaced."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "-e",
        "--experiment_spec_file",
        "--spec",
        dest="experiment_spec_file",
        type=Path,
        metavar="FILE",
        help="training spec: show its records as the network will see them",
    )
    source.add_argument(
        "-d",
        "--dataset_spec",
        type=Path,
        metavar="FILE",
        help="dataset spec: show its images and labels as they are",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=picture,
        metavar="FILE",
        help="the picture, .png or .jpg (default: show.png; with --stats stats.png)",
    )
    parser.add_argument("--stats", action="store_true", help="count people, draw charts")
    _add_choices(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images",
        type=at_least(1),
        default=IMAGES,
        metavar="N",
        help="examples, a row each (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=at_least(0),
        metavar="N",
        help="of the choice of images and of their augmentation (default: the training's own)",
    )
    parser.add_argument(
        "--no_augmentation", action="store_true", help="the view without any randomness"
    )
    parser.add_argument(
        "--layers",
        type=_layers,
        metavar="A,B",
        help=f"columns, of {','.join(LAYERS)} (default: all; without a network the first three)",
    )
    parser.add_argument(
        "--scale",
        type=at_least(1),
        default=1,
        metavar="N",
        help="draw a pixel of the network's input as N x N (default: %(default)s)",
    )
    parser.add_argument(
        "-m",
        "--mode",
        choices=("train", "test"),
        help="with -d: the subset (default: train)",
    )
    parser.add_argument(
        "--records", type=Path, nargs="+", metavar="FILE", help="with -d: record files to show"
    )
    parser.add_argument(
        "--skeleton",
        type=Path,
        metavar="FILE",
        help="with -d: skeleton file to show them as (default: the dataset's own keypoints)",
    )


def run(args: argparse.Namespace) -> int:
    """Draw a sheet or charts; 1 if an image could not be used."""
    from bpnet.commands.show_sources import dry_run, open_source
    from bpnet.sheet import check_replaceable

    _check_options(args)
    if args.dry_run:
        dry_run(args)
        return ExitCode.DONE
    output = args.output or Path("stats.png" if args.stats else "show.png")
    check_replaceable(output)
    if args.stats:
        check_replaceable(output.with_suffix(".json"))
        return _show_statistics(open_source(args), output)
    return _show_examples(args, open_source(args), output)


def _show_examples(
    args: argparse.Namespace, source: "TrainingSource | DatasetSource", output: Path
) -> int:
    from bpnet.commands.show_examples import Choices, draw_examples
    from bpnet.data.skipped import SkippedImages
    from bpnet.sheet import write_picture

    of_images = args.dataset_spec is not None and not args.records
    choices = Choices(
        images=args.images,
        layers=args.layers or (OF_IMAGES if of_images else LAYERS),
        augment=not args.no_augmentation,
        scale=args.scale,
    )
    skipped = SkippedImages()
    write_picture(output, draw_examples(source, choices, skipped))
    print(output)
    return ExitCode.FAILED if len(skipped) else ExitCode.DONE


def _show_statistics(source: "TrainingSource | DatasetSource", output: Path) -> int:
    from bpnet.charts import draw_statistics
    from bpnet.commands.show_sources import count
    from bpnet.data.statistics import statistics_dict, statistics_text
    from bpnet.sheet import write_json, write_picture

    statistics = count(source)
    write_picture(output, draw_statistics(statistics, source.name))
    table = output.with_suffix(".json")
    write_json(table, {"source": source.name, **statistics_dict(statistics)})
    print(statistics_text(statistics))
    print(output)
    print(table)
    return ExitCode.DONE


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that contradict each other; warn of those that do nothing.

    Raises:
        SpecError: Two options contradict each other.
    """
    of_training = args.experiment_spec_file is not None
    for name in ("records", "skeleton"):
        if of_training and getattr(args, name) is not None:
            raise SpecError(f"--{name} goes with -d; the training spec of -e names its own")
    of_images = not of_training and not args.records
    if of_images and not set(args.layers or ()) <= set(OF_IMAGES):
        raise SpecError(
            f"--layers: a dataset's own images have {', '.join(OF_IMAGES)}; "
            "heatmaps and pafs need a training spec (-e), or --records"
        )
    idle = {
        "mode": args.mode is not None and not of_images,
        "no_augmentation": args.no_augmentation and (of_images or args.stats),
        "layers": args.layers is not None and args.stats,
        "scale": args.scale != 1 and args.stats,
        "seed": args.seed is not None and args.stats,
        "images": args.images != IMAGES and args.stats,
    }
    given = [f"--{name}" for name, without_effect in idle.items() if without_effect]
    if given:
        logger.warning("%s: no effect here", ", ".join(given))


def _layers(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in LAYERS:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(LAYERS)}, found {name!r}")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected each layer once, found {text}")
    return names
