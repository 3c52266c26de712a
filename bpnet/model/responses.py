"""How the channels of a network respond to images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
                flat = np.asarray(values[step.output], np.float32)
                flat = flat.reshape(-1, flat.shape[-1])
                found = _sums(flat)
                before = sums.get(step.output)
                sums[step.output] = (
                    found if before is None else (before[0] + found[0], before[1] + found[1])
                )
                places[step.output] += len(flat)
    if wanted and not sums:
        raise ModelError("there is no image to measure the network's responses on")
    for (layer, _), (absolute, moments) in sums.items():
        if not (np.isfinite(absolute).all() and np.isfinite(moments).all()):
            raise ModelError(f"{layer} puts out values that are not finite; the weights are broken")
    return {
        tensor: Responses(absolute / places[tensor], moments / places[tensor], places[tensor])
        for tensor, (absolute, moments) in sums.items()
    }


def _sums(flat: NDArray[np.float32]) -> tuple[Array, Array]:
    """Sums over the places of (places, C): absolute values, products with each other and with 1."""
    constant = np.ones((len(flat), 1), np.float32)
    extended = np.concatenate([flat, constant], axis=1)
    absolute = np.abs(flat).sum(axis=0, dtype=np.float64)
    return absolute, (extended.T @ extended).astype(np.float64)
