"""Make a skeleton file, check it, or draw it: the keypoints and limbs that a network learns."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import PICTURES, add_log_level, picture
from bpnet.errors import DataError, ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.commands.skeleton_labels import People
    from bpnet.pose.skeleton import Skeleton

EPILOG = """examples:
  bpnet skeleton init annotations.json -o skeleton.json
  bpnet skeleton init annotations.json -o skeleton.json --suggest_limbs
  bpnet skeleton init -o hand.json --name hand \\
      --chain wrist thumb_1 thumb_2 thumb_3 thumb_4 --chain wrist index_1 index_2 index_3 index_4 \\
      --chain wrist middle_1 middle_2 middle_3 middle_4 --chain wrist ring_1 ring_2 ring_3 ring_4 \\
      --chain wrist little_1 little_2 little_3 little_4
  bpnet skeleton check skeleton.json -a annotations.json
  bpnet skeleton draw skeleton.json -a annotations.json -o skeleton.png

bpnet skeleton init --help tells the options of init, and so on. A training spec names the file as
dataloader.pose_config.pose_config_path; its model needs heat_channels = keypoints + 1 and
paf_channels = 2 x limbs, which check prints."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commands of the command, and their options."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    inner = parser.add_subparsers(dest="action", required=True, metavar="{init,check,draw}")
    _add_init(inner.add_parser("init", help="make a skeleton file"))
    check = inner.add_parser("check", help="say what is wrong, or looks wrong, with one")
    _add_file(check)
    _add_labels(check)
    _add_repeated(check)
    add_log_level(check)
    draw = inner.add_parser("draw", help="draw one: a labelled pose, or its limbs spread out")
    _add_file(draw)
    _add_labels(draw)
    draw.add_argument(
        "-o",
        "--output",
        type=picture,
        metavar="FILE",
        help=f"the picture, {' '.join(PICTURES)} (default: the skeleton file's name with .png)",
    )
    draw.add_argument(
        "--turn",
        type=float,
        default=0.0,
        metavar="DEGREES",
        help="turn the drawing clockwise; without labels nobody knows what is up",
    )
    add_log_level(draw)


def run(args: argparse.Namespace) -> int:
    """Make, check or draw."""
    if args.action == "init":
        return _init(args)
    from bpnet.pose.skeleton import Skeleton

    skeleton = Skeleton.read(args.skeleton)
    people = _people(args, skeleton)
    if args.action == "check":
        return _check(args, args.skeleton, people)
    from bpnet.commands.skeleton_draw import draw_skeleton
    from bpnet.sheet import write_picture

    output = args.output or args.skeleton.with_suffix(".png")
    write_picture(output, draw_skeleton(skeleton, people, turn=args.turn))
    print(output)
    return ExitCode.DONE


def _init(args: argparse.Namespace) -> int:
    from bpnet.commands.skeleton_init import make_category, write_skeleton

    if args.output.exists() and not args.overwrite:
        raise DataError(f"{args.output} is there already; name another, or give --overwrite")
    category = make_category(args)
    write_skeleton(args.output, category, args.name)
    print(args.output)
    return _check(args, args.output, None)


def _check(args: argparse.Namespace, path: Path, people: "People | None") -> int:
    """Print what is wrong; 1 if something is."""
    from bpnet.commands.skeleton_check import check_skeleton, describe
    from bpnet.commands.skeleton_repeated import measure_sigmas, read_repeated
    from bpnet.pose.skeleton import Skeleton

    skeleton = Skeleton.read(path)
    measured = None
    if args.action == "check" and args.repeated:
        groups = read_repeated(args.repeated, skeleton.keypoints, category=args.category)
        measured = measure_sigmas(groups, skeleton)
    for line in describe(skeleton, people, measured):
        print(line)
    findings = check_skeleton(skeleton, people)
    for kind, fatal in (("errors", True), ("warnings", False)):
        sentences = [finding.sentence for finding in findings if finding.error == fatal]
        print(f"{kind}: {len(sentences)}")
        for sentence in sentences:
            print(f"  {sentence}")
    return ExitCode.FAILED if any(finding.error for finding in findings) else ExitCode.DONE


def _people(args: argparse.Namespace, skeleton: "Skeleton") -> "People | None":
    from bpnet.commands.skeleton_labels import people_of_file, people_of_spec

    if args.annotations is not None and args.dataset_spec is not None:
        raise SpecError("-a and -d both name labels; give one of them")
    if args.annotations is not None:
        return people_of_file(args.annotations, skeleton, category=args.category)
    if args.dataset_spec is not None:
        return people_of_spec(args.dataset_spec, skeleton)
    return None


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="COCO annotation file, or JSON with a categories block, to take keypoints and limbs "
        "from; a dataset spec and a skeleton file are such (default: only what the options say)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="skeleton file to write"
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    parser.add_argument("--name", help="name of the skeleton (default: that of the category)")
    parser.add_argument(
        "--category",
        help="the category of the file, where several have keypoints (default: the only one)",
    )
    for option, count, does in (
        ("--chain", "+", "keypoints each linked to the next; adds those that are new"),
        ("--keypoints", "+", "keypoints, added to those of the file"),
        ("--limb", 2, "a limb between two keypoints; may be repeated"),
        ("--mirror", 2, "two keypoints that swap in a mirrored image, beside those by name"),
        ("--derive", "+", "a keypoint that no file labels, then those whose mean it is"),
    ):
        parser.add_argument(
            option,
            action="append",
            nargs=count,
            default=[],
            metavar="NAME" if count == "+" else ("NAME", "NAME"),
            help=does if "repeated" in does else f"{does}; may be repeated",
        )
    parser.add_argument(
        "--suggest_limbs",
        action="store_true",
        help="in place of the file's limbs: short ones between keypoints that the file labels "
        "together, and their mirror images",
    )
    _add_repeated(parser)
    add_log_level(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("skeleton", type=Path, metavar="FILE", help="skeleton file")


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-a", "--annotations", type=Path, metavar="FILE", help="COCO annotation file to look into"
    )
    parser.add_argument(
        "-d",
        "--dataset_spec",
        type=Path,
        metavar="FILE",
        help="dataset spec, in place of -a: its train_data, else its test_data",
    )
    parser.add_argument(
        "--category", default=None, help="of the annotation file (default: the only one)"
    )


def _add_repeated(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repeated",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="two annotation files or more that label the same people anew: the OKS sigmas are "
        "measured from how far their labels lie apart",
    )
