"""Turn COCO keypoint annotations into TFRecord files and masks."""

import argparse
import logging
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
from bpnet.errors import DataError, ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.data.coco import CocoDataset, CocoImage
    from bpnet.data.convert import Plan
    from bpnet.spec.dataset import DataSection, DatasetSpec

logger = logging.getLogger(__name__)

NAMES_SHOWN = 20  # missing files on the terminal; summary.json has them all

EPILOG = """examples:
  bpnet dataset_convert -d coco_spec.json -o data/train -m train --generate_masks
  bpnet dataset_convert -d coco_spec.json -o data/val -m test --check_files
  bpnet dataset_convert -d coco_spec.json -o data/train -m train --dry_run

writes data/train-fold-000-of-001, data/summary.json and, with --generate_masks, a PNG below
mask_root_dir_path for each image where some pixels must not count. A mask that is up to date is
kept, so a run that was stopped goes on where it was."""


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
        help="name the image files that do not exist and leave them out; exit code 1 if any",
    )
    parser.add_argument(
        "-j",
        "--workers",
        type=at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes that draw masks (default: one a core)",
    )
    add_results(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Convert one subset; 1 if images were missing, 0 otherwise."""
    from bpnet.commands.status import status
    from bpnet.data.convert import summary_text

    if args.dry_run:
        spec, section = _read_spec(args)
        print_dry_run(spec)
        annotations = Path(spec.root_directory_path, section.annotation_root_dir_path)
        if not annotations.exists():
            warn_of_missing([annotations])
            return ExitCode.DONE
        _, plan = _plan(args, spec, section)
        print("\n".join(f"# {line}" for line in summary_text(plan.summary).splitlines()))
        return _finish(plan)
    with status(args.results_dir, "dataset_convert") as write_status:
        spec, section = _read_spec(args)
        root = Path(spec.root_directory_path)
        dataset, plan = _plan(args, spec, section)
        missing = set(plan.summary.missing_images)
        images = [image for image in dataset.images if image.file_name not in missing]
        masked, masks = _prepare_masks(args, images, root / section.mask_root_dir_path)
        files = _write_files(args, plan, spec=spec, section=section, masked=masked)
        _write_summary(Path(args.output_filename).parent / "summary.json", plan, masks, files)
        counts = (plan.summary.images_used, plan.summary.records, plan.summary.people)
        write_status(kpi=dict(zip(("images", "records", "people"), counts, strict=True)))
        if missing:
            write_status(status="FAILURE", message=f"{len(missing)} images do not exist.")
    print(summary_text(plan.summary))
    print("masks      " + ", ".join(f"{count} {outcome}" for outcome, count in masks.items()))
    for name, count in files.items():
        print(f"wrote      {name} ({count} records)")
    return _finish(plan)


def _read_spec(args: argparse.Namespace) -> "tuple[DatasetSpec, DataSection]":
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec

    spec = read_spec(Path(args.dataset_spec), DatasetSpec, args.overrides)
    section = spec.train_data if args.mode == "train" else spec.test_data
    if section is None:
        raise SpecError(f"{args.dataset_spec} has no `{args.mode}_data`, which --mode asks for")
    if args.generate_masks and Path(section.mask_root_dir_path) in (
        Path(),
        Path(section.images_root_dir_path),
    ):
        raise SpecError(
            f"{args.dataset_spec}: --generate_masks needs `{args.mode}_data.mask_root_dir_path`, "
            "a folder other than that of the images"
        )
    return spec, section


def _plan(
    args: argparse.Namespace, spec: "DatasetSpec", section: "DataSection"
) -> "tuple[CocoDataset, Plan]":
    from bpnet.data.coco import read_subset
    from bpnet.data.convert import plan_records, split_records

    dataset, images_root = read_subset(spec, section)
    missing: list[str] = []
    if args.check_files:
        names = {image.file_name for image in dataset.images}
        missing = sorted(name for name in names if not (images_root / name).is_file())
    elif not images_root.is_dir():
        logger.warning("the image folder %s does not exist; training will need it", images_root)
    plan = plan_records(
        dataset,
        spec.data_filtering_params,
        every_person=spec.duplicate_data_with_each_person_as_center,
        missing=missing,
    )
    if not plan.images:
        raise DataError(
            f"{section.annotation_root_dir_path} has no usable person: {len(missing)} of its "
            f"{len(dataset.images)} images are missing, and of its people "
            f"{plan.summary.dropped_people or 'none'} are dropped; look at `data_filtering_params`"
        )
    split_records(plan.images, partitions=args.num_partitions, shards=args.num_shards)
    return dataset, plan


def _prepare_masks(
    args: argparse.Namespace, images: "list[CocoImage]", folder: Path
) -> tuple[set[int], dict[str, int]]:
    """The ids of the images with a mask file, and counts for the summary."""
    from bpnet.data.convert import find_masks, write_masks

    if args.generate_masks:
        stored, outcomes = write_masks(images, folder, workers=args.workers)
        counts = {name: outcomes[name] for name in ("drawn", "kept", "all valid")}
        return stored, counts
    found, lacking = find_masks(images, folder)
    if lacking:
        logger.warning(
            "%d images show crowds or people without keypoints and have no mask: training will "
            "take them for background; --generate_masks draws the masks",
            lacking,
        )
    return found, {"found": len(found), "lacking": lacking}


def _write_files(
    args: argparse.Namespace,
    plan: "Plan",
    *,
    spec: "DatasetSpec",
    section: "DataSection",
    masked: set[int],
) -> dict[str, int]:
    """Write the record files; returns the number of records of each."""
    from tqdm import tqdm

    from bpnet.data.convert import split_records
    from bpnet.data.masks import mask_name
    from bpnet.data.records import build_record, write_records

    images_root, mask_root = Path(section.images_root_dir_path), Path(section.mask_root_dir_path)
    files = split_records(plan.images, partitions=args.num_partitions, shards=args.num_shards)
    written = {}
    with tqdm(total=plan.summary.records, desc="records", unit="record", disable=None) as bar:
        for suffix, people in files.items():
            path = Path(args.output_filename + suffix)
            records = (
                build_record(
                    image,
                    main,
                    image_path=(images_root / image.file_name).as_posix(),
                    mask_path=(mask_root / mask_name(image.file_name)).as_posix()
                    if image.id in masked
                    else "",
                    dataset=spec.dataset,
                )
                for image, main in people
            )
            written[str(path)] = write_records(path, records)
            bar.update(len(people))
    _warn_of_old_files(Path(args.output_filename), written)
    return written


def _warn_of_old_files(prefix: Path, written: dict[str, int]) -> None:
    """Name files of an earlier run with other numbers, which a pattern would read as well."""
    names = {Path(name).name for name in written}
    old = sorted(
        path.name
        for part in ("-fold-", "-shard-")
        for path in prefix.parent.iterdir()
        if path.name.startswith(prefix.name + part) and path.name not in names
    )
    if old:
        logger.warning("left from an earlier conversion, delete them: %s", ", ".join(old))


def _write_summary(path: Path, plan: "Plan", masks: dict[str, int], files: dict[str, int]) -> None:
    import json

    from bpnet.data.convert import summary_dict
    from bpnet.files import replacing

    content = {**summary_dict(plan.summary), "masks": masks, "files": files}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _finish(plan: "Plan") -> int:
    """The exit code; missing images are named."""
    missing = plan.summary.missing_images
    if not missing:
        return ExitCode.DONE
    more = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
    logger.warning(
        "%d image files do not exist and were left out: %s%s",
        len(missing),
        ", ".join(missing[:NAMES_SHOWN]),
        more,
    )
    return ExitCode.FAILED
