"""Keras activation functions as ONNX nodes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bpnet.errors import ModelError
from bpnet.export.onnx_writer import LayerWriter

PLAIN: dict[str, tuple[str, Mapping[str, Any]]] = {  # function: operator and its attributes
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}
GATED = {"silu": "sigmoid", "hard_silu": "hard_sigmoid"}  # function: what its input is times


def write_activation(
    writer: LayerWriter, function: Callable[[Any], Any], source: str, *, layer: str
) -> str:
    """The tensor ``source`` through a Keras activation function; returns the result.

    HardSwish, an operator of its own since version 14, stays two: not every runtime has it.

    Raises:
        ModelError: The function is not one that can be written.
    """
    name = getattr(function, "__name__", str(function))
    shape = writer.shapes[source]
    if name == "linear":
        return source
    if name == "relu6":
        return clip(writer, source, layer=layer, highest=6.0)
    if name in GATED:
        operator, attributes = PLAIN[GATED[name]]
        gate = writer.add(operator, [source], layer=layer, shape=shape, **attributes)
        return writer.add("Mul", [source, gate], layer=layer, shape=shape)
    if name not in PLAIN:
        known = ", ".join(sorted([*PLAIN, *GATED, "linear", "relu6"]))
        raise ModelError(f"{layer} has the activation {name}; export can write {known}")
    operator, attributes = PLAIN[name]
    return writer.add(operator, [source], layer=layer, shape=shape, **attributes)


def clip(writer: LayerWriter, source: str, *, layer: str, highest: float) -> str:
    """The tensor ``source`` held between 0 and ``highest``."""
    return writer.add(
        "Clip",
        [source],
        layer=layer,
        shape=writer.shapes[source],
        constants={"lowest": np.zeros((), np.float32), "highest": np.full((), highest, np.float32)},
    )
