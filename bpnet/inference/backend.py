"""One face for every model file: images in, maps out."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import MissingLibraryError, ModelError
from bpnet.files import KERAS_SUFFIXES
from bpnet.inference.description import Describe, describe_model
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps

ONNX_SUFFIXES = (".onnx", ".etlt")
ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


class Backend(Protocol):
    """A network that is ready to run.

    Attributes:
        contract: what the network is: skeleton, pixels, strides; height and width where fixed.
    """

    contract: ModelContract

    def predict(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        """The maps of each of ``images``, (N, H, W, 3) uint8 RGB.

        H and W are multiples of 8, or the contract's height and width where those are fixed.
        """


def open_backend(
    path: Path,
    *,
    describe: Describe | None = None,
    stage: int | None = None,
    key: str | None = None,
    threads: int | None = None,
) -> Backend:
    """The backend that runs the model file ``path``, chosen by its suffix.

    Args:
        path: ``.keras``, ``.hdf5`` or ``.tlt`` (Keras, needs TensorFlow), ``.onnx`` or ``.etlt``
            (ONNX Runtime only).
        describe: asked where the file carries no metadata of ours.
        stage: whose maps are read, from 1; None: the last.
        key: of an encrypted file.
        threads: of ONNX Runtime; None: all cores.

    Raises:
        ModelError: The file is missing, broken, not a model, or nobody says what it is.
        MissingLibraryError: Its library is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in ONNX_SUFFIXES:
        return _open_onnx(path, describe=describe, stage=stage, key=key, threads=threads)
    if suffix in KERAS_SUFFIXES:
        return _open_keras(path, describe=describe, stage=stage, key=key)
    if suffix in ENGINE_SUFFIXES:
        raise ModelError(
            f"{path}: TensorRT engines are not supported in this release; "
            "use the .onnx file that the engine was built from"
        )
    known = " ".join(KERAS_SUFFIXES + ONNX_SUFFIXES)
    raise ModelError(f"{path}: unknown model suffix {suffix!r}; expected one of {known}")


def _open_onnx(
    path: Path,
    *,
    describe: Describe | None,
    stage: int | None,
    key: str | None,
    threads: int | None,
) -> Backend:
    from bpnet.encryption import decrypt, missing_model
    from bpnet.inference.onnx_backend import OnnxBackend

    if not path.exists():
        raise missing_model(path)
    try:
        data = path.read_bytes() if path.suffix.lower() == ".etlt" else None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if data is not None:
        data = decrypt(data, key, source=str(path))
    return OnnxBackend(path, data=data, describe=describe, stage=stage, threads=threads)


def _open_keras(
    path: Path, *, describe: Describe | None, stage: int | None, key: str | None
) -> Backend:
    try:
        from bpnet.inference.keras_backend import KerasBackend
        from bpnet.model.files import find_model, load_model
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"{path} needs {error.name}: pip install 'bpnet[train]', "
            "or export the model to ONNX and use that file"
        ) from error

    path = find_model(path)
    model, contract = load_model(path, key=key)
    if contract is None:
        contract = describe_model(path, describe)
    return KerasBackend(model, contract, stage=stage)
