"""What inference and evaluate share: model options, the predictor they open, JSON results."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.options import at_least, read_key
from bpnet.errors import SpecError
from bpnet.files import model_candidates
from bpnet.inference.results import persons_block as persons_block
from bpnet.inference.results import pose_block as pose_block

if TYPE_CHECKING:
    from bpnet.inference.predictor import Predictor
    from bpnet.pose.contract import ModelContract
    from bpnet.spec.dataset import DataSection, DatasetSpec
    from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

RESULTS_DIR = Path("results")  # without -r


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """``-i``, ``-m``, and how the model runs, as inference and evaluate have them."""
    from bpnet.inference.providers import PROVIDERS

    parser.add_argument(
        "-i",
        "--inference_spec",
        type=Path,
        metavar="FILE",
        help="inference spec; not needed for models that bpnet wrote",
    )
    parser.add_argument(
        "-m",
        "--model_filename",
        type=Path,
        metavar="FILE",
        help="model, .keras .hdf5 .tlt .onnx .etlt .engine .plan .trt "
        "(default: model_path of the inference spec)",
    )
    parser.add_argument(
        "--batch_size", type=at_least(1), default=8, metavar="N", help="images a run (default: 8)"
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="of the network on a CPU, and of the decoder (default: all cores)",
    )
    parser.add_argument(
        "--provider",
        choices=PROVIDERS,
        default="auto",
        help="what runs ONNX files (default: auto, the best of cuda, openvino and cpu that this "
        "ONNX Runtime has; tensorrt first builds an engine, for minutes)",
    )


def read_inference_spec(args: argparse.Namespace) -> "InferenceSpec | None":
    """The spec of ``-i`` and ``--set``; None where neither is given."""
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.reader import parse_spec, read_spec

    if args.inference_spec is not None:
        return read_spec(args.inference_spec, InferenceSpec, args.overrides)
    if args.overrides or args.dry_run:
        return parse_spec("{}", InferenceSpec, source="--set", overrides=args.overrides)
    return None


def read_test_data(path: Path, *, user: str) -> "tuple[DatasetSpec, DataSection]":
    """A dataset spec and its test_data.

    Raises:
        SpecError: The spec is faulty, or has no test_data, which ``user`` uses.
    """
    from bpnet.spec.dataset import DatasetSpec
    from bpnet.spec.reader import read_spec

    spec = read_spec(path, DatasetSpec)
    if spec.test_data is None:
        raise SpecError(f"{path} has no `test_data`, which {user} uses")
    return spec, spec.test_data


def open_predictor(
    args: argparse.Namespace, spec: "InferenceSpec | None"
) -> "tuple[Predictor, InferenceSpec | None]":
    """The predictor of ``-m``, or of the spec's model, and the spec that it runs by.

    Where ``--set`` alone makes the spec, thresholds that it leaves out are the model's own.

    Raises:
        SpecError: Nothing names a model.
    """
    from bpnet.inference.decoding import THRESHOLDS, with_model_thresholds
    from bpnet.inference.description import describe_by_inference_spec
    from bpnet.inference.predictor import build_predictor, predictor_of

    path = model_path(args, spec)
    if args.model_filename is None:
        logger.info("model_path of the inference spec: %s", path)
    described: list[Path] = []

    def describe(found: Path) -> "ModelContract":
        assert spec is not None
        described.append(found)
        return describe_by_inference_spec(found, spec)

    predictor = build_predictor(
        path,
        spec,
        describe=None if spec is None else describe,
        key=read_key(args),
        threads=args.threads,
        batch_size=args.batch_size,
        provider=args.provider,
    )
    if spec is not None and not described:
        _warn_of_unused_keys(path, spec)
    if spec is not None and args.inference_spec is None:
        said = {override.partition("=")[0].strip() for override in args.overrides}
        backend, given = predictor.backend, spec
        spec = with_model_thresholds(given, backend.contract, set(THRESHOLDS) - said)
        if spec != given:
            predictor = predictor_of(
                backend, spec, batch_size=args.batch_size, threads=args.threads
            )
    return predictor, spec


def model_path(args: argparse.Namespace, spec: "InferenceSpec | None") -> Path:
    """The model of ``-m``, else that of the spec.

    Raises:
        SpecError: Nothing names a model.
    """
    path = _named_model(args, spec)
    if path is None:
        raise SpecError("-m is missing: name a model file, there or as model_path in the spec")
    return path


def missing_model(args: argparse.Namespace, spec: "InferenceSpec | None") -> list[Path]:
    """The model file, if it is not there."""
    path = _named_model(args, spec)
    if path is None or any(file.exists() for file in model_candidates(path)):
        return []
    return [path]


def _named_model(args: argparse.Namespace, spec: "InferenceSpec | None") -> Path | None:
    """The same; None where nothing names one."""
    if args.model_filename is None and spec is not None and spec.model_path is not None:
        return Path(spec.model_path)
    found: Path | None = args.model_filename
    return found


def _warn_of_unused_keys(path: Path, spec: "InferenceSpec") -> None:
    """The keys that describe a model are not for one that describes itself."""
    given = [
        name
        for name in ("pose_config_path", "model_input", "model_output")
        if getattr(spec, name) is not None
    ]
    if given:
        logger.warning("%s: no effect, for %s says itself what it is", ", ".join(given), path)


def spec_block(spec: "InferenceSpec | None") -> dict[str, Any] | None:
    """The resolved inference spec as JSON can hold it."""
    import dataclasses

    return None if spec is None else dataclasses.asdict(spec)


def write_json(path: Path, content: Any, *, indent: int | None = 2) -> None:
    """``content`` as a JSON file."""
    import json

    from bpnet.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")
