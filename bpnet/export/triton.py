"""Model repositories of Triton Inference Server for an exported network.

Format: https://github.com/triton-inference-server/server, docs/user_guide/model_configuration.md.
"""

import json
from collections.abc import Collection, Mapping, Sequence

from bpnet.pose.contract import ModelContract

PLATFORMS = {  # by the name of the repository
    "onnxruntime": "onnxruntime_onnx",
    "onnxruntime_int8": "onnxruntime_onnx",
    "tensorrt": "tensorrt_plan",
}
MODELS = {  # label of the exported file, by the name of the repository
    "onnxruntime": "fp32",
    "onnxruntime_int8": "int8 onnxruntime",
    "tensorrt": "engine",
}
FILES = {"onnxruntime_onnx": "model.onnx", "tensorrt_plan": "model.plan"}
ON_CPU = ("onnxruntime_int8",)


def repositories(labels: Collection[str]) -> dict[str, str]:
    """The repositories that can be written of exported files, and the label of each one's model.

    An engine may still be missing: it is built where it runs.
    """
    return {name: label for name, label in MODELS.items() if name == "tensorrt" or label in labels}


def config(
    repository: str,
    contract: ModelContract,
    shapes: Mapping[str, Sequence[int | None]],
    *,
    name: str,
    batch: int,
) -> str:
    """The ``config.pbtxt`` of a network.

    Args:
        repository: One of ``PLATFORMS``.
        contract: Of the network.
        shapes: Axes of the input and the outputs, the batch first; None: any number.
        name: Of the model in the repository.
        batch: Most images a run, where the network takes any number.
    """
    fixed = shapes[contract.input_name][0] is not None
    lines = [
        f"name: {json.dumps(name)}",
        f'platform: "{PLATFORMS[repository]}"',
        # 0: the batch is one of the axes below.
        f"max_batch_size: {0 if fixed else batch}",
        *_tensors("input", [contract.input_name], shapes, fixed=fixed),
        *_tensors("output", [contract.paf_output, contract.heatmap_output], shapes, fixed=fixed),
    ]
    if not fixed and batch > 1:
        lines.append("dynamic_batching { }")
    if repository in ON_CPU:
        lines.append("instance_group [ { count: 1 kind: KIND_CPU } ]")
    return "\n".join(lines) + "\n"


def _tensors(
    kind: str, names: Sequence[str], shapes: Mapping[str, Sequence[int | None]], *, fixed: bool
) -> list[str]:
    entries = []
    for name in names:
        axes = shapes[name] if fixed else shapes[name][1:]
        dims = ", ".join("-1" if axis is None else str(axis) for axis in axes)
        entries.append(f"  {{ name: {json.dumps(name)} data_type: TYPE_FP32 dims: [ {dims} ] }}")
    return [f"{kind} [", ",\n".join(entries), "]"]
