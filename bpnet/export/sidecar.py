"""What lies beside an exported file, as JSON: its contract, its digest, who wrote it.

Engines carry no metadata of their own, and tools that cannot read ONNX read this.
"""

import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpnet
from bpnet.files import digest, replacing, sidecar_path
from bpnet.inference.tensorrt_backend import SIDECAR_KEY
from bpnet.pose.contract import ModelContract

LIBRARIES = ("numpy", "onnx", "onnxruntime", "tensorflow", "keras", "tensorrt")
FLAT_LIST = re.compile(r"\[\n\s*([^][{}]*?)\n\s*\]")  # no text in JSON holds a line end
LINE_END = re.compile(r"\n\s*")


def write_sidecar(artefact: Path, contract: ModelContract, facts: Mapping[str, Any]) -> Path:
    """Write the sidecar of an exported file that is there.

    Args:
        artefact: The file.
        contract: What it is; what its ``extra`` says stands in the sidecar with it.
        facts: What else is known, as JSON can hold it: errors of its maps, settings of its engine.

    Returns:
        The file written.

    Raises:
        DataError: The artefact cannot be read, or the sidecar cannot be written.
    """
    path = sidecar_path(artefact)
    own = {
        SIDECAR_KEY: contract.to_dict(),
        "file": artefact.name,
        "sha256": digest(artefact),
        "versions": versions(),
    }
    taken = sorted(set(own) & set(facts))
    if taken:
        raise ValueError(f"facts may not say {', '.join(taken)}: the sidecar says it itself")
    with replacing(path) as temporary:
        temporary.write_text(_readable({**own, **facts}), encoding="utf-8")
    return path


def _readable(said: Mapping[str, Any]) -> str:
    """JSON for people: a line a key, and a line a list of numbers."""
    text = json.dumps(said, indent=1, ensure_ascii=False)
    return FLAT_LIST.sub(lambda found: f"[{LINE_END.sub(' ', found[1])}]", text) + "\n"


def versions() -> dict[str, str]:
    """The versions of bpnet, of Python, and of the libraries that are installed."""
    found = {"bpnet": bpnet.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
