"""The options that several commands share, with TAO's names and short forms."""

import argparse
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bpnet.errors import SpecError
from bpnet.spec.mounts import OPTION as MOUNT_OPTION
from bpnet.spec.mounts import VARIABLE as MOUNT_VARIABLE

logger = logging.getLogger(__name__)

KEY_VARIABLE = "BPNET_KEY"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PICTURES = (".png", ".jpg", ".jpeg")  # suffixes of those that commands write
LAUNCHER_DEFAULTS: dict[str, Any] = {
    "gpus": 1,
    "gpu_index": None,
    "num_processes": -1,
    "use_amp": False,
    "mpirun_arg": None,
    "multi_node": False,
    "launch_cuda_blocking": False,
}


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """``--set section.key=value`` (as ``args.overrides``) and ``--dry_run``."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change a key of the spec, for example --set dataloader.batch_size=4; may be repeated",
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print the spec with every default, check it, stop"
    )


def add_results(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """``-r/--results_dir`` (a Path or None)."""
    parser.add_argument(
        "-r",
        "--results_dir",
        type=Path,
        required=required,
        metavar="DIR",
        help="folder of everything that the command writes",
    )


def add_key(parser: argparse.ArgumentParser) -> None:
    """``-k/--key`` and ``--key_file``; read them with ``read_key``."""
    parser.add_argument(
        "-k",
        "--key",
        default=None,
        help=f"key of encrypted model files (default: the environment's {KEY_VARIABLE})",
    )
    parser.add_argument(
        "--key_file",
        type=Path,
        default=None,
        metavar="FILE",
        help="file whose first line is the key: unlike -k, not seen in the list of processes",
    )


def read_key(args: argparse.Namespace) -> str | None:
    """The key of -k, else of --key_file, else of the environment; None where there is none.

    Raises:
        SpecError: The key file cannot be read, or holds no key.
    """
    if args.key:
        return str(args.key)
    if args.key_file is None:
        return os.environ.get(KEY_VARIABLE) or None
    try:
        lines = args.key_file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"the key file {args.key_file} cannot be read: {said}") from None
    if not lines or not lines[0].strip():
        raise SpecError(f"the key file {args.key_file} holds no key in its first line")
    return str(lines[0].strip())


def add_log_level(parser: argparse.ArgumentParser) -> None:
    """``-ll``, ``-l``, ``--log_level``; ``cli`` acts on it."""
    parser.add_argument(
        "-ll",
        "-l",
        "--log_level",
        type=str.upper,
        choices=LEVELS,
        default="INFO",
        metavar="LEVEL",
        help=f"least level of the messages shown: {', '.join(LEVELS)} (default: %(default)s)",
    )


def add_launcher_options(parser: argparse.ArgumentParser, *, used: tuple[str, ...] = ()) -> None:
    """The options of TAO's launcher, which it adds to every command.

    Args:
        parser: The command's parser.
        used: Those of gpus, gpu_index, num_processes, use_amp that the command acts on; the others
            are accepted, with a warning when they are given. ``cli`` acts on --log_file, --mount.
    """
    group = parser.add_argument_group("as TAO's launcher has them")
    notes = {name: "" if name in used else " (no effect here)" for name in LAUNCHER_DEFAULTS}
    group.add_argument(
        "--gpus",
        type=at_least(1),
        default=LAUNCHER_DEFAULTS["gpus"],
        metavar="N",
        help=f"number of GPUs to use (default: %(default)s){notes['gpus']}",
    )
    group.add_argument(
        "--gpu_index",
        type=at_least(0),
        nargs="+",
        default=LAUNCHER_DEFAULTS["gpu_index"],
        metavar="I",
        help=f"which GPUs, from 0 (default: the first){notes['gpu_index']}",
    )
    group.add_argument(
        "-np",
        "--num_processes",
        type=int,
        default=LAUNCHER_DEFAULTS["num_processes"],
        metavar="N",
        help=f"number of processes; -1: one a GPU{notes['num_processes']}",
    )
    group.add_argument("--use_amp", action="store_true", help=f"mixed precision{notes['use_amp']}")
    _add_hidden_options(group, notes)
    group.add_argument(
        "--log_file",
        type=Path,
        default=None,
        metavar="FILE",
        help="append the messages to FILE too",
    )
    _add_mounts(group)
    unused = tuple(name for name in LAUNCHER_DEFAULTS if name not in used)
    parser.set_defaults(unused_launcher_options=unused)


def _add_hidden_options(group: argparse._ArgumentGroup, notes: dict[str, str]) -> None:
    """Those that TAO's launcher has without showing them."""
    group.add_argument(
        "--mpirun-arg",
        "--mpirun_arg",
        default=LAUNCHER_DEFAULTS["mpirun_arg"],
        metavar="TEXT",
        help=f"of mpirun, which bpnet does without{notes['mpirun_arg']}",
    )
    group.add_argument(
        "--multi-node",
        "--multi_node",
        action="store_true",
        help=f"several machines, which TF_CONFIG names{notes['multi_node']}",
    )
    group.add_argument(
        "--launch_cuda_blocking",
        action="store_true",
        help="wait for each call of the GPU; the variable CUDA_LAUNCH_BLOCKING=1 does it"
        f"{notes['launch_cuda_blocking']}",
    )


def _add_mounts(group: argparse._ArgumentGroup) -> None:
    """``--mount``, which ``cli`` has acted on before it parses the rest."""
    group.add_argument(
        MOUNT_OPTION,
        action="append",
        default=[],
        metavar="FROM:TO",
        help="the folder FROM of paths here and in specs is TO on this machine, for example "
        "/workspace/tao-experiments:/data/tao; may be repeated; or the file of TAO's launcher, "
        f"~/.tao_mounts.json (default: the environment's {MOUNT_VARIABLE}, set apart by ;)",
    )


def warn_of_unused_options(args: argparse.Namespace) -> None:
    """One warning for the launcher options that were given and that this command does not use."""
    unused = getattr(args, "unused_launcher_options", ())
    given = [f"--{name}" for name in unused if getattr(args, name) != LAUNCHER_DEFAULTS[name]]
    if given:
        logger.warning("%s: no effect on this command", ", ".join(given))


def print_dry_run(spec: Any) -> None:
    """The resolved spec, as YAML that reads back equal."""
    from bpnet.spec.reader import dump_spec

    print(dump_spec(spec), end="", flush=True)


def warn_of_missing(missing: Sequence[str | Path]) -> None:
    """One warning for everything that a dry run looked for and did not find."""
    if missing:
        logger.warning("not there yet: %s", "; ".join(map(str, missing)))


def at_least(least: int) -> Callable[[str], int]:
    """The argparse type of whole numbers that are not below ``least``."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, found {number}")
        return number

    return whole_number


def points(text: str) -> float:
    """The argparse type of a number of AP points."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"expected AP points from 0 to 100, found {text}")
    return number


def picture(text: str) -> Path:
    """The argparse type of a picture to write."""
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"expected a name in {', '.join(PICTURES)}, found {text}")
    return path
