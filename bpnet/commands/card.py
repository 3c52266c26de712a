"""Write the model card of a model: data, protocol, accuracy, speed, limits, licences."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.options import add_key, add_log_level, read_key
from bpnet.errors import DataError, ExitCode

if TYPE_CHECKING:
    from bpnet.inference.description import Describe

logger = logging.getLogger(__name__)

EPILOG = """examples:
  bpnet card model.onnx
  bpnet card fp32.onnx int8.onnx -o MODEL_CARD.md --evaluation results/fp32 results/int8 \\
      --benchmark speed.json --training results/train
  bpnet card model.onnx --licence Apache-2.0 --data_licence "CC BY 4.0" --strict

The card has the shape of NVIDIA's on NGC, in Markdown. What nobody says is named in it as not
stated, and in a warning; with --strict that is exit code 1. The first model is the one that the
card is of; the others are its variants."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="model, then its variants in other precisions: .onnx .etlt .engine .keras .tlt",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the card (default: beside the model, its name with .card.md)",
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a card that is there")
    parser.add_argument(
        "-i",
        "--inference_spec",
        type=Path,
        metavar="FILE",
        help="inference spec that says what a foreign model is",
    )
    _add_results(parser)
    _add_words(parser)
    add_key(parser)
    add_log_level(parser)


def run(args: argparse.Namespace) -> int:
    """Write the card; with --strict 1 where something is not stated."""
    from bpnet.commands.card_facts import read_evaluation, read_model, read_object, read_training
    from bpnet.commands.card_text import Words, write_card
    from bpnet.files import replacing

    output = args.output or args.models[0].with_suffix(".card.md")
    if output.exists() and not args.overwrite:
        raise DataError(f"{output} is there already; name another, or give --overwrite")
    describe = _describe(args.inference_spec)
    key = read_key(args)
    models = [read_model(path, describe=describe, key=key) for path in args.models]
    words = Words(
        name=args.name or args.models[0].stem,
        version=args.model_version,
        authors=args.authors,
        licence=args.licence,
        data=args.data,
        data_licence=args.data_licence,
        intended_use=args.intended_use,
        limits=tuple(args.limit),
        ethics=args.ethics,
        references=tuple(args.reference),
    )
    training = read_training(args.training, models)
    expected = models[0].contract.extra.get("training_spec_sha256")
    if args.training and expected and training.sha256 != expected:
        logger.warning("--training %s is not the training of %s", args.training, models[0].path)
    try:
        text, missing = write_card(
            models,
            training=training,
            evaluations=[read_evaluation(path) for path in args.evaluation],
            benchmarks=[
                read_object(path, "results", "bpnet benchmark --json") for path in args.benchmark
            ],
            words=words,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "a file of --evaluation or --benchmark is not as this bpnet writes it "
            f"({error!r}); make it anew"
        ) from error
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(output)
    if missing:
        logger.warning("the card does not state: %s", "; ".join(missing))
    return ExitCode.FAILED if missing and args.strict else ExitCode.DONE


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "--evaluation",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="results folders of bpnet evaluate; each is put to its model by the file's digest",
    )
    group.add_argument(
        "--benchmark",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="files of bpnet benchmark --json; a row is put to its model by the file's name",
    )
    group.add_argument(
        "--training",
        type=Path,
        metavar="DIR",
        help="results folder of bpnet train (default: what the model's metadata say)",
    )


def _add_words(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what no file knows")
    for option, does in (
        ("--name", "name of the model (default: that of its file)"),
        ("--model_version", "version of the model"),
        ("--authors", "who made it, and how to reach them"),
        ("--licence", "licence of the weights (default: as the model's metadata say)"),
        ("--data", "what it was trained on (default: the names in the training spec)"),
        ("--data_licence", "terms of that data (default: as the model's metadata say)"),
        ("--intended_use", "what the model is for"),
        ("--ethics", "ethical considerations"),
    ):
        group.add_argument(option, metavar="TEXT", help=does)
    for option, does in (
        ("--limit", "a limit of the model, beside those measured; may be repeated"),
        ("--reference", "something to read, beside the papers; may be repeated"),
    ):
        group.add_argument(option, action="append", default=[], metavar="TEXT", help=does)
    group.add_argument(
        "--strict", action="store_true", help="exit with 1 where the card leaves something out"
    )


def _describe(inference_spec: Path | None) -> "Describe | None":
    """How to tell what a foreign model is."""
    if inference_spec is None:
        return None
    from bpnet.inference.description import describe_by_inference_spec
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.reader import read_spec

    spec = read_spec(inference_spec, InferenceSpec)
    return lambda path: describe_by_inference_spec(path, spec)
