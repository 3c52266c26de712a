"""What inference and evaluate share: model options, the predictor they open, JSON results."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.options import at_least, read_key
from bpnet.errors import ModelError, SpecError

if TYPE_CHECKING:
    from bpnet.inference.predictor import Predictor
    from bpnet.pose.contract import ModelContract
    from bpnet.pose.persons import PersonKeypoints
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.inference import InferenceSpec

logger = logging.getLogger(__name__)

RESULTS_DIR = Path("results")  # without -r


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """``-i``, ``-m``, ``--threads`` and ``--batch_size``, as inference and evaluate have them."""
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
        help="model, .keras .hdf5 .tlt .onnx .etlt (default: model_path of the inference spec)",
    )
    parser.add_argument(
        "--batch_size", type=at_least(1), default=8, metavar="N", help="images a run (default: 8)"
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="of ONNX Runtime and the decoder (default: all cores)",
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


def open_predictor(args: argparse.Namespace, spec: "InferenceSpec | None") -> "Predictor":
    """The predictor of ``-m``, or of the spec's model.

    Raises:
        SpecError: Nothing names a model.
    """
    from bpnet.inference.predictor import build_predictor

    path = args.model_filename
    if path is None and spec is not None and spec.model_path is not None:
        path = Path(spec.model_path)
        logger.info("model_path of the inference spec: %s", path)
    if path is None:
        raise SpecError("-m is missing: name a model file, there or as model_path in the spec")
    return build_predictor(
        path,
        spec,
        describe=None if spec is None else lambda: describe_by_spec(spec),
        key=read_key(args),
        threads=args.threads,
        batch_size=args.batch_size,
    )


def pose_block(skeleton: "Skeleton") -> dict[str, Any]:
    """The skeleton as the head of detections.json: TAO's pose config."""
    return {
        "pose_config_type": skeleton.name,
        "categories": [
            {
                "supercategory": "person",
                "id": 1,
                "name": "person",
                "num_joints": len(skeleton.keypoints),
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[start + 1, end + 1] for start, end in skeleton.limbs],
            }
        ],
    }


def spec_block(spec: "InferenceSpec | None") -> dict[str, Any] | None:
    """The resolved inference spec as JSON can hold it."""
    import dataclasses

    return None if spec is None else dataclasses.asdict(spec)


def persons_block(persons: "PersonKeypoints") -> dict[str, Any]:
    """``keypoints`` [P][K][x, y] in pixels, ``keypoint_scores`` [P][K] and ``scores`` [P]."""
    return {
        "keypoints": [[_rounded(xy) for xy in person] for person in persons.xy.tolist()],
        "keypoint_scores": [_rounded(person) for person in persons.score.tolist()],
        "scores": _rounded(persons.person_score.tolist()),
    }


def write_json(path: Path, content: Any, *, indent: int | None = 2) -> None:
    """``content`` as a JSON file."""
    import json

    from bpnet.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def describe_by_spec(spec: "InferenceSpec") -> "ModelContract":
    """The contract of a foreign model, from the inference spec and the training spec it names.

    Raises:
        ModelError: Neither says which skeleton the model has.
        SpecError: A file that they name is faulty.
    """
    from bpnet.pose.contract import ModelContract
    from bpnet.pose.skeleton import Skeleton
    from bpnet.spec.reader import read_spec
    from bpnet.spec.train import BpNetTrainer

    training = None
    if spec.train_spec is not None and Path(spec.train_spec).is_file():
        training = read_spec(Path(spec.train_spec), BpNetTrainer)
    skeleton_path = spec.pose_config_path
    if skeleton_path is None and training is not None:
        skeleton_path = training.dataloader.pose_config.pose_config_path
    if skeleton_path is None:
        missing = f" (train_spec {spec.train_spec} does not exist)" if spec.train_spec else ""
        raise ModelError(
            "the model carries no metadata of bpnet, and the inference spec does not say what it "
            f"is{missing}: set pose_config_path to its skeleton file, and model_input and "
            "model_output where its pixel format or output names are not TAO's"
        )
    scale, offset = [256.0] * 3, [0.5] * 3
    if training is not None:
        scale = training.dataloader.normalization_params.image_scale
        offset = training.dataloader.normalization_params.image_offset
    layout, channel_order = "nhwc", "rgb"
    if spec.model_input is not None:
        scale, offset = spec.model_input.image_scale, spec.model_input.image_offset
        layout = spec.model_input.layout or layout
        channel_order = spec.model_input.channel_order
    outputs = spec.model_output
    return ModelContract(
        skeleton=Skeleton.load(Path(skeleton_path)),
        image_scale=_triple(scale, "image_scale"),
        image_offset=_triple(offset, "image_offset"),
        channel_order=channel_order,
        layout=layout,
        heatmap_output=(outputs and outputs.heatmaps) or "heatmap_out",
        paf_output=(outputs and outputs.pafs) or "paf_out",
        paf_cell_corners=outputs is not None and outputs.paf_cell_corners,
    )


def _triple(numbers: list[float], name: str) -> tuple[float, float, float]:
    if len(numbers) != 3:
        raise ModelError(f"{name} is {numbers}; expected three numbers, one a channel")
    return numbers[0], numbers[1], numbers[2]


def _rounded(numbers: list[float]) -> list[float]:
    """Four decimals: a float32 printed in full says more than it knows."""
    return [round(number, 4) for number in numbers]
