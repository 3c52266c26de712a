"""TensorRT's Python module, its version, and what it says."""

import contextlib
import importlib
import logging
from collections.abc import Sequence
from typing import Any

from bpnet.errors import MissingLibraryError

logger = logging.getLogger(__name__)

# The lean and the dispatch runtime run engines that were built version-compatible.
RUNTIMES = ("tensorrt", "tensorrt_lean", "tensorrt_dispatch")


def import_tensorrt(purpose: str, modules: Sequence[str] = RUNTIMES) -> Any:
    """The first of ``modules`` that is installed.

    Args:
        purpose: what needs it, the start of a sentence.
        modules: names, best first.

    Raises:
        MissingLibraryError: None of them is.
    """
    for name in modules:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise MissingLibraryError(
        f"{purpose} needs TensorRT: pip install 'bpnet[tensorrt]', in the version that builds and "
        "runs the engine (a Jetson has it in JetPack: apt install python3-libnvinfer)"
    )


class Messages:
    """What TensorRT said last.

    Attributes:
        text: The last error.
        warning: The last warning: that CUDA does not start is no more to TensorRT 8.
    """

    def __init__(self) -> None:
        self.text = self.warning = ""

    def last(self, *, warnings: bool = False) -> str:
        """The error, else perhaps the warning, as the end of a sentence, for one failure."""
        text = self.text or (self.warning if warnings else "")
        self.text = self.warning = ""
        return f" (TensorRT says: {text})" if text else ""


def make_logger(trt: Any, said: Messages) -> Any:
    """A logger of TensorRT's that keeps its errors for ours; its warnings are for --log_level."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # a class of a library without types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                said.text = text.strip()
            elif severity == trt.ILogger.WARNING:
                said.warning = text.strip()
                logger.debug("TensorRT: %s", said.warning)

    return Logger()
