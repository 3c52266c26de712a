"""``from bpnet import load``: people in an image in a line of Python."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bpnet.errors import SpecError
from bpnet.inference.backend import open_backend
from bpnet.inference.decoding import THRESHOLDS, with_model_thresholds
from bpnet.inference.description import describe_by_inference_spec
from bpnet.inference.predictor import Predictor, predictor_of
from bpnet.pose.contract import ModelContract
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import parse_spec, read_spec


def load(
    model: str | Path,
    spec: InferenceSpec | Mapping[str, Any] | str | Path | None = None,
    *,
    key: str | None = None,
    provider: str = "auto",
    threads: int | None = None,
    batch_size: int = 8,
) -> Predictor:
    """A model that is ready to find people. Only Keras files need TensorFlow.

    >>> people = load("model.onnx")("photo.jpg")  # or an array (H, W, 3) uint8 RGB
    >>> len(people), people.xy.shape, people.score.shape  # P people of K keypoints, in pixels
    >>> [person.score.max() for person in people]
    >>> load("model.onnx", {"flip_test": True}, threads=4).predict(["a.jpg", "b.jpg"])

    Args:
        model: ``.onnx`` or ``.etlt`` (ONNX Runtime), ``.engine``, ``.plan`` or ``.trt``
            (TensorRT), ``.keras``, ``.hdf5`` or ``.tlt`` (Keras).
        spec: how to run it. Some keys of an inference spec by name, the rest as the model's own
            metadata says; or a whole spec, or its file. A model of other makers needs one, which
            names its skeleton, pixels and outputs. None: as the metadata says.
        key: of an encrypted file.
        provider: of ONNX Runtime: auto (the best that is there), cpu, cuda, tensorrt or openvino.
        threads: of the network and the decoder; None: all cores.
        batch_size: most images of equal size that the network gets at once.

    Returns:
        Call it with one image for its people, or its ``predict`` with many.

    Raises:
        ModelError: The file is missing, broken, or nobody says what it is.
        MissingLibraryError: Its library is not installed.
        SpecError: The spec says something impossible.
    """
    path = Path(model)
    said, silent = _read(spec)

    def describe(found: Path) -> ModelContract:
        assert said is not None
        return describe_by_inference_spec(found, said)

    backend = open_backend(
        path,
        describe=None if said is None else describe,
        stage=None if said is None else said.output_stage_to_use,
        key=key,
        threads=threads,
        provider=provider,
    )
    if said is not None:
        said = with_model_thresholds(said, backend.contract, silent)
    return predictor_of(backend, said, batch_size=batch_size, threads=threads)


def _read(
    spec: InferenceSpec | Mapping[str, Any] | str | Path | None,
) -> tuple[InferenceSpec | None, list[str]]:
    """The spec, and the thresholds that it leaves to the model."""
    if isinstance(spec, str | Path):
        return read_spec(Path(spec), InferenceSpec), []
    if not isinstance(spec, Mapping):
        return spec, []
    try:
        text = json.dumps(dict(spec))
    except (TypeError, ValueError) as error:
        raise SpecError(f"spec: expected values as a spec file has them: {error}") from error
    parsed = parse_spec(text, InferenceSpec, source="spec")
    return parsed, [name for name in THRESHOLDS if name not in spec]
