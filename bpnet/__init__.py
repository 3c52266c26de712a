"""bpnet: train, prune, quantise and deploy multi-person 2D pose networks.

In Python: ``people = bpnet.load("model.onnx")(image)``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bpnet.inference.loading import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``load``, imported only when it is used: ``import bpnet`` stays free of NumPy."""
    if name == "load":
        from bpnet.inference.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
