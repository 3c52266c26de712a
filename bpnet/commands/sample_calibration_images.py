"""Choose images to calibrate INT8 with by their annotations: with people, well labelled."""

import argparse
import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from bpnet.commands.options import add_launcher_options, add_log_level, at_least
from bpnet.errors import DataError, ExitCode, SpecError

logger = logging.getLogger(__name__)

SEED = 42
NAMED = 5  # missing files that an error names

EPILOG = """examples:
  bpnet sample_calibration_images -a annotations.json -i images -o calibration
  bpnet sample_calibration_images -a annotations.json -i images -o calibration -n 2000 \\
      -pth 2 -kth 10 -r --seed 7 --link
  bpnet export -m model.keras -d 288,384,3 --data_type int8 --cal_image_dir calibration \\
      --batches 500

An image is chosen from those with enough people, each with enough labelled keypoints: evenly spread
over the annotation file, or at random with -r; both choose the same images every time. The output
folder appears when all images are in it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "-a",
        "--annotations",
        type=Path,
        required=True,
        metavar="FILE",
        help="COCO keypoint annotations of the images",
    )
    add(
        "-i",
        "--image_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that the annotations' file names are below",
    )
    add(
        "-o",
        "--output_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the chosen images; new or empty",
    )
    add(
        "-n",
        "--num_images",
        type=at_least(1),
        default=500,
        metavar="N",
        help="how many to choose (default: %(default)s)",
    )
    _add_filters(parser)
    add("-r", "--randomize", action="store_true", help="choose at random, by --seed")
    add("--seed", type=at_least(0), metavar="N", help=f"of -r (default: {SEED})")
    add("--link", action="store_true", help="make symbolic links in place of copies")
    add("--dry_run", action="store_true", help="say how many images there are, write nothing")
    add_log_level(parser)
    add_launcher_options(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-pth",
        "--min_persons",
        type=at_least(1),
        default=1,
        metavar="N",
        help="least people in an image (default: %(default)s)",
    )
    add(
        "-kth",
        "--min_keypoints",
        type=at_least(0),
        default=5,
        metavar="N",
        help="least labelled keypoints of each of them (default: %(default)s)",
    )
    add(
        "--category",
        default="person",
        metavar="NAME",
        help="category of the annotations (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Choose and copy; returns the exit code."""
    from bpnet.data.coco import read_coco
    from bpnet.export.images import choose_labelled

    if args.seed is not None and not args.randomize:
        logger.warning("--seed has no effect without -r")
    _check_output(args.output_dir)
    dataset = read_coco(args.annotations, category=args.category)
    seed = SEED if args.seed is None else args.seed
    chosen, fitting = choose_labelled(
        dataset,
        args.num_images,
        min_persons=args.min_persons,
        min_keypoints=args.min_keypoints,
        seed=seed if args.randomize else None,
    )
    wanted = (
        f"{args.min_persons} or more of `{args.category}` with {args.min_keypoints} or more "
        "labelled keypoints"
    )
    if not chosen:
        raise DataError(f"{args.annotations} has no image with {wanted}; ask for less")
    if fitting < args.num_images:
        logger.warning(
            "%s has only %d images with %s; %d were asked for",
            args.annotations, fitting, wanted, args.num_images,
        )  # fmt: skip
    _check_files(args.image_dir, chosen)
    if args.dry_run:
        print(f"# would choose {len(chosen)} of {fitting} fitting images, into {args.output_dir}")
        return ExitCode.DONE
    _fill(args.output_dir, args.image_dir, chosen, link=args.link)
    print(f"wrote {args.output_dir}: {len(chosen)} of {fitting} images with {wanted}")
    return ExitCode.DONE


def _check_output(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError(f"{folder} exists and is not an empty folder; name a new one with -o")


def _check_files(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        raise DataError(
            f"{len(missing)} of the {len(names)} chosen images are not below {folder}: {shown}; "
            "name the folder of the annotations' images with -i"
        )


def _fill(output: Path, folder: Path, names: Sequence[str], *, link: bool) -> None:
    from tqdm import tqdm

    with _appearing(output) as temporary:
        for name in tqdm(names, desc="copying", unit="image", disable=None):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if link:
                target.symlink_to((folder / name).resolve())
            else:
                shutil.copyfile(folder / name, target)


@contextlib.contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its name when the block ends well."""
    folder = folder.absolute()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
