"""One face for every model file: images in, maps out."""

import logging
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import MissingLibraryError, ModelError
from bpnet.files import KERAS_SUFFIXES
from bpnet.inference.description import Describe, describe_model
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps

logger = logging.getLogger(__name__)

ONNX_SUFFIXES = (".onnx", ".etlt")
ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


class Backend(Protocol):
    """A network that is ready to run.

    Attributes:
        contract: what the network is: skeleton, pixels, strides; height and width where fixed.
        runs_on: the library and device that run it, in a word or two.
    """

    contract: ModelContract
    runs_on: str

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
    provider: str = "auto",
) -> Backend:
    """The backend that runs the model file ``path``, chosen by its suffix.

    Args:
        path: ``.keras``, ``.hdf5`` or ``.tlt`` (Keras, needs TensorFlow), ``.onnx`` or ``.etlt``
            (ONNX Runtime only), ``.engine``, ``.plan`` or ``.trt`` (TensorRT, needs a GPU).
        describe: asked where the file carries no metadata of ours.
        stage: whose maps are read, from 1; None: the last.
        key: of an encrypted file.
        threads: of ONNX Runtime or TensorFlow; None: all cores.
        provider: of ONNX Runtime: auto, cpu, cuda, tensorrt or openvino.

    Raises:
        ModelError: The file is missing, broken, not a model, or nobody says what it is.
        MissingLibraryError: Its library is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in ONNX_SUFFIXES:
        data = _read_onnx(path, key)
        from bpnet.inference.onnx_backend import OnnxBackend

        backend: Backend = OnnxBackend(
            path, data=data, describe=describe, stage=stage, threads=threads, provider=provider
        )
    elif suffix in KERAS_SUFFIXES:
        backend = _open_keras(path, describe=describe, stage=stage, key=key, threads=threads)
    elif suffix in ENGINE_SUFFIXES:
        from bpnet.inference.tensorrt_backend import open_engine

        backend = open_engine(path, describe=describe, stage=stage)
    else:
        known = " ".join(KERAS_SUFFIXES + ONNX_SUFFIXES + ENGINE_SUFFIXES)
        raise ModelError(f"{path}: unknown model suffix {suffix!r}; expected one of {known}")
    if provider != "auto" and suffix not in ONNX_SUFFIXES:
        logger.warning("--provider %s: no effect, %s is no ONNX file", provider, path)
    if threads is not None and suffix in ENGINE_SUFFIXES:
        logger.info("threads: of the decoder only, for %s runs on a GPU", path)
    logger.info("%s runs on %s", path, backend.runs_on)
    return backend


def _read_onnx(path: Path, key: str | None) -> bytes | None:
    """What an encrypted file holds; None for a plain one, which its reader opens itself."""
    from bpnet.encryption import decrypt, missing_model

    if not path.exists():
        raise missing_model(path)
    if path.suffix.lower() != ".etlt":
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    return decrypt(data, key, source=str(path))


def _open_keras(
    path: Path,
    *,
    describe: Describe | None,
    stage: int | None,
    key: str | None,
    threads: int | None,
) -> Backend:
    try:
        from bpnet.inference.keras_backend import KerasBackend, use_threads
        from bpnet.model.files import find_model, load_model
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"{path} needs {error.name}: pip install 'bpnet[train]', "
            "or export the model to ONNX and use that file"
        ) from error

    path = find_model(path)
    if threads is not None:
        use_threads(threads)
    model, contract = load_model(path, key=key)
    if contract is None:
        contract = describe_model(path, describe)
    return KerasBackend(model, contract, stage=stage)
