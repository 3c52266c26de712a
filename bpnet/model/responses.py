"""How the channels of a network respond to images."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.graph import Tensor, read_graph

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Responses:
    """What the channels of a tensor (N, h, w, C) are over all its places.

    Attributes:
        mean_absolute: Mean of the absolute values (C,).
        moments: Mean products (C + 1, C + 1) of the channels and a last one that is always 1.
        places: How many places were seen, N * h * w.
    """

    mean_absolute: Array
    moments: Array
    places: int

    @property
    def mean_square(self) -> Array:
        """Mean of the squares (C,)."""
        return np.asarray(np.diagonal(self.moments)[:-1])


def measure_responses(
    model: keras.Model, tensors: Sequence[Tensor], images: Iterable[NDArray[np.float32]]
) -> dict[Tensor, Responses]:
    """The responses of tensors of a functional model.

    Args:
        model: The network, not wrapped.
        tensors: Those to measure.
        images: Batches (N, H, W, 3), normalised. Read once.

    Raises:
        ModelError: There is no image, or a response is not a finite number.
    """
    graph, wanted = read_graph(model), set(tensors)
    sums: dict[Tensor, tuple[Array, Array]] = {}
    places = dict.fromkeys(wanted, 0)
    for batch in images:
        values = {graph.inputs[0]: keras.ops.convert_to_tensor(batch)}
        for step in graph.steps:
            if step.inputs:
                given = [values[tensor] for tensor in step.inputs]
                values[step.output] = step.layer(given if len(given) > 1 else given[0])
            if step.output in wanted:
                found = _sums(values[step.output])
                before = sums.get(step.output)
                sums[step.output] = (
                    found if before is None else (before[0] + found[0], before[1] + found[1])
                )
                places[step.output] += math.prod(values[step.output].shape[:-1])
    if wanted and not sums:
        raise ModelError("there is no image to measure the network's responses on")
    for (layer, _), (absolute, moments) in sums.items():
        if not (np.isfinite(absolute).all() and np.isfinite(moments).all()):
            raise ModelError(f"{layer} puts out values that are not finite; the weights are broken")
    return {
        tensor: Responses(absolute / places[tensor], moments / places[tensor], places[tensor])
        for tensor, (absolute, moments) in sums.items()
    }


def _sums(values: Any) -> tuple[Array, Array]:
    """Sums over all places of (N, h, w, C): absolute values, products with each other and 1."""
    flat = keras.ops.reshape(keras.ops.cast(values, "float32"), (-1, values.shape[-1]))
    extended = keras.ops.concatenate([flat, keras.ops.ones_like(flat[:, :1])], axis=1)
    # NumPy would call BLAS's syrk, which takes a hundred times as long on such slim matrices.
    products = keras.ops.matmul(keras.ops.transpose(extended), extended)
    absolute = keras.ops.sum(keras.ops.abs(flat), axis=0)
    return np.asarray(absolute, np.float64), np.asarray(products, np.float64)
