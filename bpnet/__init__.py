"""bpnet: train, prune, quantise and deploy multi-person 2D pose networks.

In Python: ``people = bpnet.load("model.onnx")(image)``.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpnet.inference.loading import load as load

__version__ = "0.1.0"

# ONNX Runtime reports its use to its makers unless this says no before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """``load``, imported only when it is used: ``import bpnet`` stays free of NumPy."""
    if name == "load":
        from bpnet.inference.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
