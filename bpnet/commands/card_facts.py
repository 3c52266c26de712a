"""What is known of a model for its card: metadata, training, evaluations, speed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bpnet.commands.evaluate_files import read_json
from bpnet.commands.evaluate_outputs import EVALUATION
from bpnet.commands.evaluate_sources import DETECTIONS
from bpnet.commands.export_source import TRAINED_AS
from bpnet.commands.status import STATUS_FILE
from bpnet.errors import DataError, SpecError
from bpnet.files import digest, model_candidates
from bpnet.inference.backend import open_backend
from bpnet.inference.description import Describe
from bpnet.inference.tensorrt_backend import read_sidecar
from bpnet.pose.contract import ModelContract
from bpnet.spec.reader import parse_spec
from bpnet.spec.train import BpNetTrainer


@dataclass(frozen=True)
class Model:
    """A model file.

    Attributes:
        path: The file.
        size: Bytes.
        sha256: Of the file.
        contract: What it says of itself.
    """

    path: Path
    size: int
    sha256: str
    contract: ModelContract


@dataclass(frozen=True)
class Measured:
    """An evaluation, as ``bpnet evaluate`` left it.

    Attributes:
        folder: Where it stands.
        figures: evaluation.json.
        protocol: The inference spec that it was made by; nothing where that is not known.
    """

    folder: Path
    figures: Mapping[str, Any]
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> Mapping[str, str]:
        """``file`` and ``sha256`` of the model; nothing where nobody knows."""
        return dict(self.figures.get("model") or {})

    @property
    def metrics(self) -> Mapping[str, float]:
        """COCO's ten figures."""
        return dict(self.figures["metrics"])


@dataclass(frozen=True)
class Training:
    """How the network was trained.

    Attributes:
        spec: The resolved training spec; None where it is not known.
        last: The last figures that the training wrote: epoch, max_epoch, and those of ``kpi``.
        sha256: Of the resolved spec's text; nothing where it is not known.
    """

    spec: BpNetTrainer | None = None
    last: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""


def read_model(path: Path, *, describe: Describe | None, key: str | None) -> Model:
    """A model file and what it says of itself, or what its sidecar says.

    Raises:
        ModelError: It is missing or broken, or nobody says what it is.
    """
    found = next((file for file in model_candidates(path) if file.exists()), path)
    contract = _beside(found)
    if contract is None:
        provider = "cpu" if found.suffix.lower() in (".onnx", ".etlt") else "auto"
        backend = open_backend(found, describe=describe, key=key, provider=provider)
        contract = backend.contract
    return Model(found, found.stat().st_size, digest(found), contract)


def read_evaluation(path: Path) -> Measured:
    """The results folder of ``bpnet evaluate``, or its evaluation.json.

    Raises:
        DataError: It cannot be read, or is something else.
    """
    file = path / EVALUATION if path.is_dir() else path
    figures = read_object(file, "metrics", "the results of bpnet evaluate")
    protocol: Mapping[str, Any] = {}
    beside = file.with_name(DETECTIONS)
    if beside.is_file():
        protocol = read_object(beside, "images", "of bpnet evaluate").get("inference_spec") or {}
    return Measured(file.parent, figures, protocol)


def read_training(folder: Path | None, models: Sequence[Model]) -> Training:
    """How the network was trained: by the results folder of training, else by the metadata.

    Raises:
        DataError: The folder lacks the resolved spec.
        SpecError: That spec cannot be read.
    """
    if folder is None:
        texts = (model.contract.extra.get("training_spec_text") for model in models)
        text = next((text for text in texts if text), None)
        return Training(None if text is None else _parse(text, "the model's training spec"))
    file = folder / TRAINED_AS
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    summed = hashlib.sha256(text.encode()).hexdigest()
    return Training(_parse(text, str(file)), _last_status(folder / STATUS_FILE), summed)


def read_object(path: Path, key: str, what: str) -> dict[str, Any]:
    """A JSON object that has ``key``.

    Raises:
        DataError: It cannot be read, or is not ``what`` is expected.
    """
    content = read_json(path)
    if not isinstance(content, dict) or key not in content:
        raise DataError(f"{path} has no `{key}`; {what} was expected")
    return content


def _beside(path: Path) -> ModelContract | None:
    """The contract in the sidecar of a file, if that is of this very file."""
    beside = read_sidecar(path) if path.is_file() else None
    if beside is None or beside[1].get("sha256") != digest(path):
        return None
    return beside[0]


def _parse(text: str, source: str) -> BpNetTrainer:
    try:
        return parse_spec(text, BpNetTrainer, source=source)
    except SpecError as error:
        raise SpecError(f"{source} cannot be read by this bpnet: {error}") from error


def _last_status(path: Path) -> dict[str, Any]:
    """The last line of status.json that has figures; nothing where there is none."""
    if not path.is_file():
        return {}
    last: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            said = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number} is not JSON: {error}") from error
        if isinstance(said, dict) and "epoch" in said:
            kept = {key: said[key] for key in ("epoch", "max_epoch") if key in said}
            last = {**last, **kept, **(said.get("kpi") or {})}
    return last
