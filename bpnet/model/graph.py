"""A Keras functional model read as a plain list of steps, and the copy of one with other layers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from bpnet.errors import ModelError

Tensor = tuple[str, int]  # layer, which of its calls


@dataclass(frozen=True)
class Step:
    """One call of one layer."""

    layer: Any
    inputs: tuple[Tensor, ...]
    output: Tensor


@dataclass(frozen=True)
class Graph:
    """The steps of a model, each after those it depends on."""

    steps: tuple[Step, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(model: keras.Model) -> Graph:
    """The graph of a functional model.

    Raises:
        ModelError: The model is not functional, or an operation in it is not a Keras layer.
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise ModelError(f"{model.name!r} is not a functional Keras model; only those can be read")
    config = model.get_config()
    calls: dict[Tensor, tuple[Tensor, ...]] = {}
    for layer in config["layers"]:
        # A serialised layer says where it was called, and on what: Keras's public, stable record.
        if not layer["module"].startswith("keras.layers") and layer["class_name"] != "Functional":
            raise ModelError(
                f"{layer['name']} ({layer['class_name']}) of the network is not one of Keras's own"
                " layers; it cannot be pruned or measured"
            )
        for index, call in enumerate(layer["inbound_nodes"]):
            calls[layer["name"], index] = tuple(_tensors_of_call(call))
        if not layer["inbound_nodes"]:
            calls[layer["name"], 0] = ()
    outputs = tuple(_tensors(config["output_layers"]))
    ordered: dict[Tensor, None] = {}
    for tensor in calls:
        _visit(tensor, calls, ordered)
    steps = (Step(model.get_layer(tensor[0]), calls[tensor], tensor) for tensor in ordered)
    return Graph(tuple(steps), tuple(_tensors(config["input_layers"])), outputs)


def without_wrapper(model: keras.Model) -> keras.Model:
    """The network inside a model that only wraps it, as TAO's retrained networks are."""
    inner = [x for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
    if len(inner) == 1 and isinstance(inner[0], keras.Model):
        return without_wrapper(inner[0])
    return model


def copy_network(
    model: keras.Model, *, change: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None
) -> keras.Model:
    """A model of the same layers and new weights.

    Args:
        model: A functional model.
        change: Called with each layer and its configuration; returns the configuration to use.
    """

    def copied(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(change(layer, config) if change is not None else config)

    return keras.models.clone_model(model, clone_function=copied)


def with_precision(model: keras.Model, policy: str) -> keras.Model:
    """A copy, weights included, that computes by another policy ("float32", "mixed_float16"...).

    The output layers stay float32.
    """
    model = without_wrapper(model)
    outputs = {tensor[0] for tensor in read_graph(model).outputs}

    def changed(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "dtype": "float32" if layer.name in outputs else policy}

    copy = copy_network(model, change=changed)
    copy.set_weights(model.get_weights())
    return copy


def _visit(
    tensor: Tensor, calls: dict[Tensor, tuple[Tensor, ...]], ordered: dict[Tensor, None]
) -> None:
    """Append ``tensor`` to ``ordered``, after everything it depends on."""
    waiting = [tensor]  # a stack of our own: networks are deeper than Python's
    while waiting:
        missing = [x for x in calls[waiting[-1]] if x not in ordered]
        if missing:
            waiting.extend(missing)
        else:
            ordered[waiting.pop()] = None


def _tensors_of_call(value: Any) -> Iterator[Tensor]:
    """The tensors among the serialised arguments of a call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            layer, index, _ = value["config"]["keras_history"]
            yield layer, index
        else:
            for item in value.values():
                yield from _tensors_of_call(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_of_call(item)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of ``input_layers`` or ``output_layers``, of whatever nesting."""
    if isinstance(value, dict):
        value = list(value.values())
    if value and isinstance(value[0], str):
        yield value[0], value[1]
        return
    for item in value:
        yield from _tensors(item)
