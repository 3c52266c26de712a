"""What ``bpnet export`` starts from: a trained network, and its float32 graph."""

import argparse
import dataclasses
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from bpnet.commands.export_options import UPSAMPLE_RATIO
from bpnet.commands.export_plan import Plan, is_onnx
from bpnet.errors import SpecError

if TYPE_CHECKING:
    import keras
    import onnx

    from bpnet.inference.backend import Backend
    from bpnet.pose.contract import ModelContract
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.train import BpNetTrainer

logger = logging.getLogger(__name__)


TRAINED_AS = "experiment_spec.yaml"  # which ``bpnet train`` writes beside its models


@dataclass(frozen=True)
class Source:
    """A network before it is exported.

    Attributes:
        graph: In float32, last stage only.
        contract: Of the graph.
        trained: The network itself, as it is evaluated.
        inference: How its maps are decoded; None: as its contract says.
    """

    graph: "onnx.ModelProto"
    contract: "ModelContract"
    trained: "Backend"
    inference: "InferenceSpec | None"


def open_source(
    args: argparse.Namespace, spec: "BpNetTrainer | None", plan: Plan, *, key: str | None
) -> Source:
    """The network of -m, and its graph at the size of -d.

    Raises:
        ModelError: It cannot be read, or cannot be had at that size.
        SpecError: Nobody says what it is, or an option does not go with it.
    """
    inference = read_inference_spec(args)
    opset = min(one.opset for one in plan.artefacts)
    source = (
        _open_onnx(args, spec, inference, plan, key=key)
        if is_onnx(args.model)
        else _open_keras(args, spec, inference, plan, opset=opset, key=key)
    )
    extra = {
        **source.contract.extra,
        **_provenance(args, spec, source.contract),
    }
    return dataclasses.replace(source, contract=dataclasses.replace(source.contract, extra=extra))


def read_inference_spec(args: argparse.Namespace) -> "InferenceSpec | None":
    """The spec of --inference_spec; None without it."""
    if args.inference_spec is None:
        return None
    from bpnet.spec.inference import InferenceSpec
    from bpnet.spec.reader import read_spec

    return read_spec(args.inference_spec, InferenceSpec)


def _open_keras(
    args: argparse.Namespace,
    spec: "BpNetTrainer | None",
    inference: "InferenceSpec | None",
    plan: Plan,
    *,
    opset: int,
    key: str | None,
) -> Source:
    from bpnet.export.onnx import to_onnx
    from bpnet.inference.keras_backend import KerasBackend, use_full_float32
    from bpnet.model.files import find_model, load_model

    use_full_float32()  # or a GPU's maps would differ from the ONNX file's by a thousandth
    found = find_model(args.model)
    model, carried = load_model(found, key=key)
    if carried is not None and spec is not None:
        logger.info("-e: %s says itself its skeleton and normalisation", args.model)
    contract = carried or _described(found, spec, model)
    contract = _with_thresholds(contract, inference)
    height, width = args.input_dims or contract.usual_size
    graph, exported = to_onnx(
        model,
        contract,
        height=height,
        width=width,
        batch=_batch(args),
        layout=plan.layout or "nhwc",
        opset=opset,
        paf_upsampling=_paf_upsampling(args),
    )
    return Source(graph, exported, KerasBackend(model, contract), inference)


def _open_onnx(
    args: argparse.Namespace,
    spec: "BpNetTrainer | None",
    inference: "InferenceSpec | None",
    plan: Plan,
    *,
    key: str | None,
) -> Source:
    from bpnet.export.foreign import read_graph, with_size
    from bpnet.inference.backend import open_backend
    from bpnet.inference.description import describe_by_inference_spec, describe_by_training_spec

    def describe(path: Path) -> "ModelContract":
        if inference is not None:
            return describe_by_inference_spec(path, inference)
        if spec is not None:
            return describe_by_training_spec(path, spec)
        raise SpecError(
            f"{path} carries no metadata of bpnet; give an inference spec with --inference_spec "
            "that sets pose_config_path or train_spec, and model_input and model_output where its "
            "pixel format or output names are not TAO's"
        )

    if args.sdk_compatible_model:
        raise SpecError(
            f"--sdk_compatible_model is for trained networks; {args.model} is ONNX already: export "
            "the Keras model that it came from"
        )
    graph, contract = read_graph(args.model, describe=describe, key=key)
    if plan.layout is not None and plan.layout != contract.layout:
        raise SpecError(
            f"{args.model} is {contract.layout.upper()} and stays so; leave out --layout and "
            "--data_format, or export the Keras model that it came from"
        )
    contract = _with_thresholds(contract, inference)
    trained = open_backend(args.model, describe=describe, key=key, provider="cpu")
    height, width = args.input_dims or contract.usual_size
    batch = _batch(args)
    graph, contract = with_size(graph, contract, height=height, width=width, batch=batch)
    return Source(graph, contract, trained, inference)


def _described(found: Path, spec: "BpNetTrainer | None", model: "keras.Model") -> "ModelContract":
    """The contract of the model file ``found``, which carries none, from its training spec."""
    from bpnet.inference.description import describe_by_training_spec

    if spec is None:
        raise SpecError(
            f"{found} does not say its skeleton and normalisation; give its training spec with -e"
        )
    contract = describe_by_training_spec(found, spec)
    extra = {**contract.extra, "parameters": str(model.count_params())}
    return dataclasses.replace(contract, extra=extra)


def _with_thresholds(
    contract: "ModelContract", inference: "InferenceSpec | None"
) -> "ModelContract":
    """The contract with the thresholds of the inference spec, where there is one."""
    if inference is None:
        return contract
    return dataclasses.replace(
        contract,
        heatmap_threshold=inference.heatmap_threshold,
        paf_threshold=inference.paf_threshold,
    )


def _batch(args: argparse.Namespace) -> int | None:
    return args.static_batch_size if args.static_batch_size > 0 else None


def _paf_upsampling(args: argparse.Namespace) -> int:
    if not args.sdk_compatible_model:
        return 1
    return UPSAMPLE_RATIO if args.upsample_ratio is None else int(args.upsample_ratio)


def _provenance(
    args: argparse.Namespace, spec: "BpNetTrainer | None", contract: "ModelContract"
) -> dict[str, str]:
    """Where the export comes from: model file, training spec, licences; unknown is empty.

    The digest of the training spec is that of the whole one, as training left it.
    """
    from bpnet.files import digest, model_candidates

    found = next((file for file in model_candidates(args.model) if file.exists()), args.model)
    said = {"source": found.name, "source_sha256": digest(found), "dataset": "", "ap": ""}
    for name in ("model_licence", "data_licence"):
        said[name] = getattr(args, name) or contract.extra.get(name, "")
    text = _training_spec(found, spec, contract)
    if text is not None:
        said["training_spec"] = TRAINED_AS if spec is None else args.experiment_spec.name
        said["training_spec_text"] = without_folders(text)
        said["training_spec_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return said


def without_folders(text: str) -> str:
    """A spec in YAML with the last name only of every path that says where its machine has it.

    These are absolute paths and those of a home folder; all else is as it was.
    """
    import yaml

    def shorten(node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            for _, value in node.value:
                shorten(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                shorten(value)
        elif node.value.startswith(("/", "~")):
            node.value = PurePosixPath(node.value).name
        elif PureWindowsPath(node.value).is_absolute():
            node.value = PureWindowsPath(node.value).name

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None
    shorten(root)
    said: str = yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=100)
    return said


def _training_spec(
    model: Path, spec: "BpNetTrainer | None", contract: "ModelContract"
) -> str | None:
    """The training spec as YAML: that of -e, else the one that training left beside the model."""
    from bpnet.spec.reader import dump_spec

    if spec is not None:
        return dump_spec(dataclasses.replace(spec, key=None))
    left = model.with_name(TRAINED_AS)
    expected = contract.extra.get("training_spec_sha256")
    try:
        text = left.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    # After pruning, or in a folder of another run, it is another model's.
    return text if hashlib.sha256(text.encode()).hexdigest() == expected else None
