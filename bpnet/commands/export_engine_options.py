"""The options of ``bpnet export`` about TensorRT engines."""

import argparse
from pathlib import Path

from bpnet.commands.options import at_least
from bpnet.export.engine_settings import LEVELS, WORKSPACE


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """The engine file and how it is built."""
    group = parser.add_argument_group(
        "TensorRT", "needs an NVIDIA GPU; the trtexec lines say the same for other machines"
    )
    group.add_argument(
        "--engine_file",
        type=Path,
        metavar="FILE",
        help="build a TensorRT engine for this machine's GPU too; without a GPU everything else is "
        "written, the trtexec lines are printed, and the exit code is 1",
    )
    group.add_argument(
        "--max_workspace_size",
        type=at_least(1),
        default=WORKSPACE,
        metavar="BYTES",
        help="memory that TensorRT may use while it builds and runs (default: %(default)s)",
    )
    for name, which in (("min", "least"), ("opt", "usual"), ("max", "most")):
        group.add_argument(
            f"--{name}_batch_size",
            type=at_least(1),
            default=1,
            metavar="N",
            help=f"{which} images a run of the engine (default: %(default)s)",
        )
    group.add_argument(
        "-s",
        "--strict_type_constraints",
        action="store_true",
        help="hold TensorRT before 11 to the precision of each layer, where that is slower too",
    )
    group.add_argument(
        "--timing_cache",
        type=Path,
        metavar="FILE",
        help="read and write what TensorRT measured of layers, to build the next engine faster",
    )
    _add_targets(group)


def _add_targets(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--dla_core",
        type=at_least(0),
        metavar="N",
        help="run on this deep learning accelerator of a Jetson, the rest on its GPU",
    )
    group.add_argument(
        "--builder_level",
        type=int,
        choices=LEVELS,
        metavar="N",
        help="how long TensorRT looks for a faster engine, 0 to 5 (default: TensorRT's)",
    )
    group.add_argument(
        "--hardware_compatible",
        action="store_true",
        help="an engine for every GPU from Ampere on, slower than one for this GPU",
    )
    group.add_argument(
        "--version_compatible",
        action="store_true",
        help="an engine that later versions of the same TensorRT can run too",
    )
