"""Which part of ONNX Runtime runs a model: the CPU's own code, CUDA, TensorRT or OpenVINO."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpnet.errors import MissingLibraryError

logger = logging.getLogger(__name__)

PROVIDERS = ("auto", "cpu", "cuda", "tensorrt", "openvino")
NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "openvino": "onnxruntime-openvino",
}
NEEDS = {
    "cuda": "an NVIDIA driver, CUDA and cuDNN of the versions it was built for",
    "tensorrt": "an NVIDIA driver, CUDA and TensorRT of the versions it was built for",
    "openvino": "the OpenVINO libraries of the version it was built for",
}
# TensorRT is not among them: it builds an engine, for minutes, at each new size of the input.
BEST_FIRST = ("cuda", "openvino", "cpu")


def choose_provider(asked: str, available: Sequence[str]) -> str:
    """The provider that runs: ``asked``, or the best of those that are there for "auto".

    Args:
        asked: one of ``PROVIDERS``.
        available: as ONNX Runtime names them.

    Raises:
        MissingLibraryError: This ONNX Runtime was built without it.
    """
    if asked == "auto":
        return next(name for name in BEST_FIRST if NAMES[name] in available or name == "cpu")
    if asked not in NAMES:
        raise ValueError(f"provider {asked!r} must be one of {', '.join(PROVIDERS)}")
    if asked != "cpu" and NAMES[asked] not in available:
        here = ", ".join(name for name, full in NAMES.items() if full in available)
        raise MissingLibraryError(
            f"this ONNX Runtime has no provider {asked} (it has: {here}); "
            f"pip uninstall onnxruntime, then pip install {PACKAGES[asked]}"
        )
    return asked


def provider_list(
    provider: str, *, threads: int | None, precision: str
) -> list[tuple[str, dict[str, str]]]:
    """``providers`` of an inference session: the one that runs, then others for what it cannot.

    Args:
        provider: what ``choose_provider`` gave.
        threads: of OpenVINO on a CPU; None: all cores.
        precision: fp32, fp16, int8 or int8+fp16: TensorRT is told of the arithmetic that the file
            asks for.
    """
    # cuDNN's default tries every algorithm, for seconds, at each new size of the input.
    cuda = (NAMES["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"})
    cpu: tuple[str, dict[str, str]] = (NAMES["cpu"], {})
    if provider == "cuda":
        return [cuda, cpu]
    if provider == "tensorrt":
        options = {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(cache_folder()),
            "trt_fp16_enable": str(precision != "fp32"),  # beside INT8, for what has no pairs
            "trt_int8_enable": str("int8" in precision),
        }
        return [(NAMES["tensorrt"], options), cuda, cpu]
    if provider == "openvino":
        limit = {} if threads is None else {"num_of_threads": str(threads)}
        return [(NAMES["openvino"], {"device_type": "CPU", **limit}), cpu]
    return [cpu]


def cache_folder() -> Path:
    """Where TensorRT keeps the engines that it built."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "bpnet" / "tensorrt"


def check_provider(asked: str, provider: str, session: Any, path: Path) -> str:
    """The provider that ``session`` really runs on: ONNX Runtime falls back to the CPU by itself.

    Raises:
        MissingLibraryError: Another than the one that was asked for.
    """
    if NAMES[provider] in session.get_providers():
        return provider
    if asked != "auto":
        raise MissingLibraryError(
            f"{path}: ONNX Runtime could not start its provider {provider}, which needs "
            f"{NEEDS[provider]}; install them, or use --provider cpu"
        )
    logger.warning(
        "%s: ONNX Runtime could not start its provider %s, which needs %s; the CPU is used",
        path,
        provider,
        NEEDS[provider],
    )
    return "cpu"
