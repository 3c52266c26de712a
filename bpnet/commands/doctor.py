"""Say what of bpnet works on this machine, and how to get the rest."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from bpnet.commands.doctor_libraries import (
    BROKEN,
    MISSING,
    NOTE,
    OK,
    Check,
    check_libraries,
    check_machine,
)
from bpnet.errors import ExitCode

COLOURS = {OK: "32", NOTE: "33", MISSING: "33", BROKEN: "31"}  # of terminals: green, yellow, red
BASE, TRAIN, GPU, TENSORRT, VIDEO = "base", "train", "gpu", "tensorrt", "video"

EPILOG = """examples:
  bpnet doctor
  bpnet doctor --thorough
  bpnet doctor --json > machine.json
  bpnet doctor --need base train gpu    in a script: exit code 1 where one of them does not work

base: models in ONNX files, on the CPU. train: train, prune, export, and Keras files.
gpu: ONNX Runtime on an NVIDIA GPU, or TensorFlow on one (--thorough). tensorrt: engines.
video: films read and written. The exit code is 1 where something that is needed does not work.
Colours are left out where the output is no terminal, or NO_COLOR is set."""


@dataclass(frozen=True)
class Ability:
    """Something that bpnet does, and whether it does it here.

    Attributes:
        name: For --need.
        does: What it is.
        works: Whether it works.
        lacks: The names of the checks that stand in its way.
    """

    name: str
    does: str
    works: bool
    lacks: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="import the large libraries too, and ask TensorFlow for its GPUs: half a minute",
    )
    parser.add_argument(
        "--need",
        nargs="+",
        choices=(BASE, TRAIN, GPU, TENSORRT, VIDEO),
        default=[BASE],
        metavar="WHAT",
        help="what must work for exit code 0: base, train, gpu, tensorrt, video (default: base)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print what was found as JSON, in the table's place"
    )


def run(args: argparse.Namespace) -> int:
    """Look at everything; 1 where something that is needed does not work."""
    checks = look(thorough=args.thorough)
    abilities = judge(checks)
    failed = [one.name for one in abilities if one.name in args.need and not one.works]
    if args.json:
        found = {
            "checks": [dataclasses.asdict(check) for check in checks],
            "abilities": [dataclasses.asdict(ability) for ability in abilities],
            "needed": args.need,
            "failed": failed,
        }
        print(json.dumps(found, indent=2))
    else:
        for line in _lines(checks, abilities, coloured=wants_colours(sys.stdout)):
            print(line)
    if failed:
        print(f"bpnet doctor: what is needed does not work: {', '.join(failed)}", file=sys.stderr)
    return ExitCode.FAILED if failed else ExitCode.DONE


def look(*, thorough: bool) -> list[Check]:
    """Every check, in the order of the table."""
    checks = [*check_machine(), *check_libraries(thorough=thorough)]
    if any(check.state == BROKEN for check in checks if check.area == "base install"):
        return checks  # what follows imports it
    from bpnet.commands import doctor_devices

    checks += doctor_devices.check_gpu(thorough=thorough)
    checks += doctor_devices.check_providers()
    checks += doctor_devices.check_tensorrt()
    checks += doctor_devices.check_video()
    checks += doctor_devices.check_settings()
    return checks


def judge(checks: Sequence[Check]) -> list[Ability]:
    """What works, by what was found."""
    states = {(check.area, check.name): check.state for check in checks}

    def lacking(*areas: str, names: Sequence[str] = ()) -> tuple[str, ...]:
        return tuple(
            check.name
            for check in checks
            if check.area in areas
            and (not names or check.name in names)
            and check.state in (MISSING, BROKEN)
        )

    base = lacking("base install")
    if not base and states.get(("ONNX Runtime", "provider cpu")) != OK:
        base = ("provider cpu",)
    old = tuple(["Python"] if states.get(("machine", "Python")) != OK else [])
    train = (*base, *old, *lacking("extra [export]", "extra [train]"))
    ways = [("ONNX Runtime", "provider cuda"), ("GPU", "TensorFlow")]
    here = states.get(("GPU", "NVIDIA GPU")) == OK
    gpu = () if here and any(states.get(way) == OK for way in ways) else _names(ways, here)
    needed = ("NVIDIA GPU", "runtime", "GPU memory")
    tensorrt = (*base, *lacking("GPU", "TensorRT", names=needed))
    if not here and "NVIDIA GPU" not in tensorrt:
        tensorrt += ("NVIDIA GPU",)
    video = (*base, *lacking("video", names=("decoders",)))
    said = (
        (BASE, "people in photos with ONNX files; evaluate, benchmark", base),
        (TRAIN, "convert, train, prune, export; Keras files", train),
        (GPU, "ONNX files or training on a GPU", (*base, *gpu)),
        (TENSORRT, "TensorRT engines: build and run", tensorrt),
        (VIDEO, "videos, cameras and streams; films", video),
    )
    return [Ability(name, does, not lacks, tuple(lacks)) for name, does, lacks in said]


def wants_colours(stream: TextIO) -> bool:
    """Whether the stream is a terminal whose user wants colours; see no-color.org."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def _names(ways: Sequence[tuple[str, str]], here: bool) -> tuple[str, ...]:
    return tuple(name for _, name in ways) if here else ("NVIDIA GPU",)


def _lines(
    checks: Sequence[Check], abilities: Sequence[Ability], *, coloured: bool
) -> Iterator[str]:
    """The table, then what works."""
    width = max(len(check.name) for check in checks)
    area = ""
    for check in checks:
        if check.area != area:
            yield f"{'' if not area else chr(10)}{_paint(check.area, '1', coloured)}"
            area = check.area
        state = _paint(f"{check.state:7}", COLOURS[check.state], coloured)
        yield f"  {state}  {check.name:{width}}  {check.found}"
        if check.remedy:
            yield f"  {'':7}  {'':{width}}  -> {check.remedy}"
    yield f"\n{_paint('what works', '1', coloured)}"
    for ability in abilities:
        said = "yes" if ability.works else "no"
        state = _paint(f"{said:7}", COLOURS[OK if ability.works else MISSING], coloured)
        why = "" if ability.works else f" (see {', '.join(dict.fromkeys(ability.lacks))})"
        yield f"  {state}  {ability.name:{width}}  {ability.does}{why}"


def _paint(text: str, code: str, coloured: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if coloured else text
