"""Turn COCO keypoint annotations into TFRecord files and masks."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import (
    add_launcher_options,
    add_log_level,
    add_results,
    add_spec_options,
    at_least,
    print_dry_run,
    warn_of_missing,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.spec.dataset import DataSection, DatasetSpec

EPILOG = """examples:
  bpnet dataset_convert -d coco_spec.json -o data/train -m train --dry_run
  bpnet dataset_convert -d coco_spec.json -o data/train -m train --generate_masks
  bpnet dataset_convert -d coco_spec.json -o data/val -m test --check_files
  bpnet dataset_convert -d coco_spec.json -o gs://bucket/train --embed_images -s 32

writes data/train-fold-000-of-001, data/summary.json and, with --generate_masks, a PNG below
mask_root_dir_path for each image where some pixels must not count. A mask that is up to date is
kept, so a run that was stopped goes on where it was. --dry_run writes nothing: it names what is
wrong or looks wrong with the labels, the image files and the skeleton; exit code 1 if it is wrong.
root_directory_path and PREFIX may be addresses that TensorFlow's file systems know (gs://...)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-d", "--dataset_spec", required=True, metavar="FILE", help="dataset spec, JSON or YAML"
    )
    parser.add_argument(
        "-o",
        "--output_filename",
        required=True,
        metavar="PREFIX",
        help="what the names of the record files begin with",
    )
    parser.add_argument(
        "-m",
        "--mode",
        choices=("train", "test"),
        default="train",
        help="the subset: train_data or test_data of the spec (default: train)",
    )
    parser.add_argument(
        "-p",
        "--num_partitions",
        type=at_least(0),
        default=1,
        metavar="N",
        help="deal the images out over N files (default: 1; 0: one, without -fold- in its name)",
    )
    parser.add_argument(
        "-s",
        "--num_shards",
        type=at_least(0),
        default=0,
        metavar="N",
        help="cut each partition into N files (default: 0, no -shard- in the names)",
    )
    parser.add_argument(
        "--generate_masks",
        action="store_true",
        help="draw masks that leave crowds and people without keypoints out of the loss",
    )
    parser.add_argument(
        "--check_files",
        action="store_true",
        help="name the images that are missing, damaged or of another size, or that lack a mask "
        "they need, and leave them out; exit code 1 if any",
    )
    parser.add_argument(
        "--embed_images",
        action="store_true",
        help="put the image and mask files into the records, once for each main person: training "
        "then reads one stream, as object stores like it",
    )
    parser.add_argument(
        "--include_negatives",
        action="store_true",
        help="a record without people for each image that has no annotation",
    )
    parser.add_argument(
        "-j",
        "--workers",
        type=at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that draw masks, threads that check images (default: one a core)",
    )
    add_results(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Convert one subset; 1 if images had to be left out, 0 otherwise."""
    from bpnet.commands.conversion import Conversion
    from bpnet.commands.status import status
    from bpnet.data.summary import summary_text

    if args.dry_run:
        return _dry_run(args)
    with status(args.results_dir, "dataset_convert") as write_status:
        conversion = Conversion(args, *_read_spec(args))
        conversion.run()
        summary = conversion.plan.summary
        counts = (summary.images_used, summary.records, summary.people)
        write_status(kpi=dict(zip(("images", "records", "people"), counts, strict=True)))
        left_out = sum(map(len, summary.left_out.values()))
        if left_out:
            write_status(status="FAILURE", message=f"{left_out} images were left out.")
    print(summary_text(summary))
    masks = ", ".join(f"{count} {outcome}" for outcome, count in conversion.masks.items())
    print(f"masks      {masks}")
    for name, count in conversion.files.items():
        print(f"wrote      {name} ({count} records)")
    return ExitCode.FAILED if left_out else ExitCode.DONE


def _dry_run(args: argparse.Namespace) -> int:
    """Print the spec, what would be converted and what is wrong; 1 if something is."""
    from bpnet.commands.dataset_report import check
    from bpnet.data.storage import is_file, join

    spec, section = _read_spec(args)
    print_dry_run(spec)
    annotations = join(spec.root_directory_path, section.annotation_root_dir_path)
    if not is_file(annotations):
        warn_of_missing([annotations])
        return ExitCode.DONE
    return check(args, spec, section)


def _read_spec(args: argparse.Namespace) -> "tuple[DatasetSpec, DataSection]":
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec

    spec = read_spec(Path(args.dataset_spec), DatasetSpec, args.overrides)
    section = spec.train_data if args.mode == "train" else spec.test_data
    if section is None:
        raise SpecError(f"{args.dataset_spec} has no `{args.mode}_data`, which --mode asks for")
    folders = (Path(), Path(section.images_root_dir_path))
    if args.generate_masks and Path(section.mask_root_dir_path) in folders:
        raise SpecError(
            f"{args.dataset_spec}: --generate_masks needs `{args.mode}_data.mask_root_dir_path`, "
            "a folder other than that of the images"
        )
    return spec, section
