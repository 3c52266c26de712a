"""Measure how fast models run: milliseconds a stage and images a second."""

import argparse
import contextlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_spec_options,
    at_least,
    print_dry_run,
    warn_of_missing,
)
from bpnet.commands.prediction import (
    missing_model,
    model_path,
    open_predictor,
    read_inference_spec,
    write_json,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.inference.predictor import Predictor
    from bpnet.inference.speed import Case, Speed, Spread
    from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

STANDARD_OUTPUT = "-"

EPILOG = """examples:
  bpnet benchmark -m model.onnx
  bpnet benchmark -m fp32.onnx fp16.onnx int8.onnx --threads 1 4 --json speed.json
  bpnet benchmark -m model.onnx --batch_sizes 1 4 16 --sizes 288x384 368x656 --input photos
  bpnet benchmark -m model.onnx --providers cpu openvino --streams 1 2 4

Every combination is one line of the table: the median of --repeats rounds, which take all
combinations in turn, and its first and third quartile. Stages are milliseconds an image, one
after the other; images/s is what the network reaches, all streams together. Photos are padded to
the size of the network's input, so that every batch is full. Without --input random pictures are
used; people are hardly found in them, so decode and draw then say little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    from bpnet.inference.providers import PROVIDERS

    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-m",
        "--model_filename",
        dest="models",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="models, measured side by side: .onnx .etlt .engine .plan .trt .keras .hdf5 .tlt",
    )
    parser.add_argument(
        "-i",
        "--inference_spec",
        type=Path,
        metavar="FILE",
        help="inference spec; not needed for models that bpnet wrote",
    )
    _add_numbers(parser, "--batch_sizes", [1], "images a call of the network")
    parser.add_argument(
        "--sizes",
        type=_size,
        nargs="+",
        metavar="HxW",
        help="input sizes, such as 288x384 (default: the model's, else input_shape of the spec)",
    )
    _add_numbers(parser, "--threads", [None], "threads of the network (default: all cores)")
    parser.add_argument(
        "--providers",
        choices=PROVIDERS,
        nargs="+",
        default=["auto"],
        help="what runs ONNX files (default: auto, the best of cuda, openvino and cpu)",
    )
    _add_numbers(parser, "--streams", [1], "callers of the network at once, each with its batch")
    _add_rounds(parser)
    add_key(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every combination."""
    spec = read_inference_spec(args)
    if args.dry_run:
        print_dry_run(spec)
        missing = [path for one in _models(args) for path in missing_model(one, spec)]
        warn_of_missing(missing)
        return ExitCode.DONE
    cases = _open_cases(args, spec)
    with _images(args.input) as files:
        speeds = _measure(cases, files, args)
        content = _document(args, speeds, len(files))
    if args.json == STANDARD_OUTPUT:
        print(json.dumps(content, indent=2))
        return ExitCode.DONE
    for line in _table(speeds):
        print(line)
    if args.json is not None:
        write_json(Path(args.json), content)
        print(f"result: {args.json}")
    return ExitCode.DONE


def _add_numbers(
    parser: argparse.ArgumentParser, name: str, default: list[int | None], meaning: str
) -> None:
    said = f" (default: {default[0]})" if default[0] is not None else ""
    parser.add_argument(
        name, type=at_least(1), nargs="+", default=default, metavar="N", help=meaning + said
    )


def _add_rounds(parser: argparse.ArgumentParser) -> None:
    """What is measured, how often, and where the result goes."""
    parser.add_argument(
        "--input", type=Path, metavar="DIR", help="folder of photos (default: random pictures)"
    )
    parser.add_argument(
        "--repeats", type=at_least(1), default=20, metavar="N", help="rounds (default: 20)"
    )
    parser.add_argument(
        "--warm_up",
        type=at_least(0),
        default=3,
        metavar="N",
        help="rounds before them that do not count (default: 3)",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=STANDARD_OUTPUT,
        metavar="FILE",
        help="write the result as JSON too; without FILE to standard output, in the table's place",
    )


def _size(text: str) -> tuple[int, int]:
    """The argparse type of ``288x384``."""
    match = re.fullmatch(r"(\d+)x(\d+)", text.lower())
    if match is None or min(int(match[1]), int(match[2])) < 8:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, such as 288x384, found {text}")
    return int(match[1]), int(match[2])


def _models(args: argparse.Namespace) -> list[argparse.Namespace]:
    """The options once for each model, as ``open_predictor`` wants them."""
    return [
        argparse.Namespace(**{**vars(args), "model_filename": model})
        for model in args.models or [None]
    ]


def _open_cases(args: argparse.Namespace, spec: "InferenceSpec | None") -> "list[Case]":
    """Every combination, each model opened once for its threads and provider."""
    from bpnet.inference.backend import ONNX_SUFFIXES

    cases: list[Case] = []
    for one in _models(args):
        path = model_path(one, spec)
        suffix = path.suffix.lower()
        if suffix not in ONNX_SUFFIXES and len(args.threads) > 1:
            raise SpecError(
                f"--threads: {path} takes one value; give several for ONNX files, or run again"
            )
        providers = args.providers if suffix in ONNX_SUFFIXES else args.providers[:1]
        for provider in providers:
            for threads in args.threads:
                one.provider, one.threads, one.batch_size = provider, threads, 1
                opened, said = open_predictor(one, spec)
                cases += _cases_of(opened, args, said, str(path), threads)
    return cases


def _cases_of(
    opened: "Predictor",
    args: argparse.Namespace,
    spec: "InferenceSpec | None",
    model: str,
    threads: int | None,
) -> "list[Case]":
    """The sizes, batches and streams of an opened model."""
    import dataclasses

    from bpnet.inference.decoding import with_model_thresholds
    from bpnet.inference.predictor import predictor_of
    from bpnet.inference.speed import Case
    from bpnet.spec.inference import InferenceSpec

    contract = opened.backend.contract
    base = spec or with_model_thresholds(InferenceSpec(), contract)
    said = base.input_shape
    sizes = args.sizes or [(said[0], said[1]) if said else contract.usual_size]
    if contract.height is not None and contract.width is not None:
        if args.sizes and args.sizes != [(contract.height, contract.width)]:
            logger.warning("--sizes: %s runs at %sx%s only", model, contract.height, contract.width)
        sizes = [(contract.height, contract.width)]
    cases = []
    for height, width in sizes:
        sized = dataclasses.replace(
            base, input_shape=[height, width], keep_aspect_ratio_mode="pad_image_input"
        )
        for batch in args.batch_sizes:
            predictor = predictor_of(opened.backend, sized, batch_size=batch, threads=threads)
            cases += [Case(model, predictor, threads, streams) for streams in args.streams]
    return cases


@contextlib.contextmanager
def _images(folder: Path | None) -> "Iterator[list[Path]]":
    """The photos of ``folder``, else random pictures for the length of the block."""
    from bpnet.inference.sources import list_images
    from bpnet.inference.speed import write_random_images

    if folder is not None:
        yield list(list_images(folder, input_type="dir").paths)
        return
    with tempfile.TemporaryDirectory(prefix="bpnet-benchmark-") as temporary:
        yield write_random_images(Path(temporary))


def _measure(cases: "list[Case]", files: list[Path], args: argparse.Namespace) -> "list[Speed]":
    from tqdm import tqdm

    from bpnet.inference.speed import measure_speed

    total = len(cases) * (args.repeats + args.warm_up)
    with tqdm(total=total, unit="call", disable=None, leave=False) as bar:
        return measure_speed(
            cases, files, repeats=args.repeats, warm_up=args.warm_up, on_round=bar.update
        )


def _document(args: argparse.Namespace, speeds: "list[Speed]", images: int) -> dict[str, Any]:
    """The result as JSON holds it."""
    import dataclasses
    import os
    import platform
    from importlib.metadata import version

    from bpnet import __version__

    return {
        "bpnet": __version__,
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "numpy": version("numpy"),
        },
        "images": images,
        "input": None if args.input is None else str(args.input),
        "repeats": args.repeats,
        "warm_up": args.warm_up,
        "results": [dataclasses.asdict(speed) for speed in speeds],
    }


def _table(speeds: "list[Speed]") -> list[str]:
    """The result as lines of text."""
    from bpnet.inference.speed import STAGES

    head = ["model", "runs on", "threads", "size", "batch", "streams"]
    head += [f"{stage} ms" for stage in STAGES] + ["call ms", "images/s"]
    rows = [head]
    for speed in speeds:
        cells = [f"{Path(speed.model).name} {speed.precision}", speed.runs_on]
        cells += [str(speed.threads or "all"), f"{speed.height}x{speed.width}"]
        cells += [str(speed.batch), str(speed.streams)]
        cells += [f"{speed.ms[stage].median:.2f}" for stage in STAGES]
        rows.append([*cells, _spread(speed.call_ms), _spread(speed.images_per_s)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _spread(spread: "Spread") -> str:
    return f"{spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f})"
