"""Configurations of DeepStream's Gst-nvinfer for an exported network, as text and as YAML.

Keys as NVIDIA's documentation of Gst-nvinfer and the open source of it have them
(github.com/NVIDIA/DeepStream, src/gst-plugins/gst-nvinfer). Paths are relative to the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from bpnet.pose.contract import ModelContract

LIBRARY = "libnvdsinfer_bpnet.so"
PARSER = "NvDsInferParseBpnetPeople"
LABELS = "labels.txt"
MODES = {"fp32": "0", "int8": "1", "fp16": "2"}  # of network-mode

Sections = dict[str, dict[str, str]]
"""Keys and values of each section of a configuration."""


def missing_support(contract: ModelContract) -> str | None:
    """Why Gst-nvinfer cannot feed the network; None where it can."""
    if len(set(contract.image_scale)) > 1:
        scales = ", ".join(f"{scale:g}" for scale in contract.image_scale)
        return (
            "Gst-nvinfer divides all channels by one number, but the network was trained with "
            f"image_scale [{scales}]"
        )
    return None


@dataclass(frozen=True)
class Target:
    """Where the engine runs.

    Attributes:
        batch: Most images a run.
        dla_core: Jetson's deep learning accelerator, from 0; None: the GPU.
    """

    batch: int
    dla_core: int | None = None

    def engine_name(self, onnx: PurePosixPath, precision: str) -> PurePosixPath:
        """What Gst-nvinfer calls the engine that it builds of ``onnx``."""
        device = "gpu0" if self.dla_core is None else f"dla{self.dla_core}"
        return onnx.with_name(f"{onnx.name}_b{self.batch}_{device}_{precision}.engine")


def configurations(
    artefacts: Mapping[str, PurePosixPath], contract: ModelContract, target: Target
) -> dict[str, Sections]:
    """Configurations by name; for each precision one with the parser and one for bare tensors.

    Args:
        artefacts: Files by label, see ``bundle.write_bundle``; paths relative to the bundle.
        contract: Of the network.
        target: Where it runs.
    """
    found = {}
    device = {"gpu-id": "0", "batch-size": str(target.batch)}
    if target.dla_core is not None:
        device |= {"enable-dla": "1", "use-dla-core": str(target.dla_core)}
    for name, network in _networks(artefacts, target).items():
        common = {**device, **network, **_input(contract), **_outputs(contract)}
        found[f"config_{name}"] = _sections(common, _parser_properties())
        found[f"config_{name}_tensors"] = _sections(common, _tensor_properties())
    return found


def qdq_source(artefacts: Mapping[str, PurePosixPath], target: Target) -> PurePosixPath | None:
    """The file with Q/DQ pairs that DeepStream reads, if there is one and the target takes it."""
    if target.dla_core is not None:  # INT8 by the calibration cache only
        return None
    return artefacts.get("int8+fp16") or artefacts.get("int8 tensorrt")


def to_text(sections: Sections, comment: str) -> str:
    """The configuration as Gst-nvinfer's key file."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for section, values in sections.items():
        lines += ["", f"[{section}]", *(f"{key}={value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def to_yaml(sections: Sections, comment: str) -> str:
    """The configuration as Gst-nvinfer's YAML, which keeps lists as text with semicolons."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for section, values in sections.items():
        lines += ["", f"{section}:", *(f"  {key}: {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _networks(artefacts: Mapping[str, PurePosixPath], target: Target) -> dict[str, dict[str, str]]:
    """The keys that say which file runs, and how, by the name of the configuration."""
    onnx = artefacts["fp32"]
    networks = {precision: _network(onnx, precision, target) for precision in ("fp32", "fp16")}
    cache = artefacts.get("calibration cache")
    if cache is not None:
        networks["int8"] = {
            **_network(onnx, "int8", target),
            "int8-calib-file": _from_folder(cache),
        }
    pairs = qdq_source(artefacts, target)
    if pairs is not None:
        # The types are in the file; with network-mode 0, nvinfer sets no flag of its own.
        networks["int8_qdq"] = {**_network(pairs, "fp32", target), "strongly-typed": "1"}
    return networks


def _network(onnx: PurePosixPath, precision: str, target: Target) -> dict[str, str]:
    return {
        "onnx-file": _from_folder(onnx),
        "model-engine-file": _from_folder(target.engine_name(onnx, precision)),
        "network-mode": MODES[precision],
    }


def _from_folder(path: PurePosixPath) -> str:
    return str(PurePosixPath("..") / path)


def _input(contract: ModelContract) -> dict[str, str]:
    """How frames become the network's input: y = factor * (x - offset)."""
    offsets = [
        scale * offset
        for scale, offset in zip(contract.image_scale, contract.image_offset, strict=True)
    ]
    return {
        "infer-dims": f"3;{contract.height};{contract.width}",
        "network-input-order": "1" if contract.layout == "nhwc" else "0",
        "model-color-format": "0" if contract.channel_order == "rgb" else "1",
        "net-scale-factor": np.format_float_positional(1 / contract.image_scale[0], trim="0"),
        "offsets": ";".join(map(str, offsets)),
        "maintain-aspect-ratio": "1",
        "symmetric-padding": "1",
        "scaling-filter": "1",
        "scaling-compute-hw": "1",
    }


def _outputs(contract: ModelContract) -> dict[str, str]:
    return {
        "output-blob-names": f"{contract.paf_output};{contract.heatmap_output}",
        "process-mode": "1",
        "gie-unique-id": "1",
        "num-detected-classes": "1",
        "labelfile-path": LABELS,
    }


def _parser_properties() -> dict[str, str]:
    """People as objects, by our parser; Gst-nvinfer calls such networks instance segmentation."""
    return {
        "network-type": "3",
        "custom-lib-path": LIBRARY,
        "parse-bbox-instance-mask-func-name": PARSER,
        "output-instance-mask": "1",
        "cluster-mode": "4",
        # Without it, whoever stands a pixel below the frame is left out.
        "crop-objects-to-roi-boundary": "1",
    }


def _tensor_properties() -> dict[str, str]:
    return {"network-type": "100", "output-tensor-meta": "1"}


def _sections(common: Mapping[str, str], own: Mapping[str, str]) -> Sections:
    return {"property": {**common, **own}, "class-attrs-all": {"pre-cluster-threshold": "0.0"}}
