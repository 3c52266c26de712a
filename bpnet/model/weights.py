"""Weights taken over by layer name, from another network or an HDF5 file of Keras 2 (TAO 5)."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.model.graph import copy_network, without_wrapper
from bpnet.model.network import build_network
from bpnet.model.stages import HEATMAP_OUTPUT, PAF_OUTPUT
from bpnet.spec.network import BackboneAttributes, BpNetLiteModel, BpNetModel

logger = logging.getLogger(__name__)

LayerWeights = Mapping[str, NDArray[Any]]  # by the variable's name: kernel, bias, gamma...


@dataclass(frozen=True)
class WeightsReport:
    """What became of a transfer of weights by layer name."""

    loaded: tuple[str, ...]  # layers that took their weights
    skipped: tuple[tuple[str, str], ...]  # layers of the source left out, and why
    missing: tuple[str, ...]  # layers of the network that the source has nothing for


def load_weights_by_name(model: keras.Model, path: Path) -> WeightsReport:
    """Give the layers of ``model`` the weights of the HDF5 layers of the same name.

    "/" in a name is "." here. Weights of a network nested in another are found too.

    Raises:
        ModelError: The file cannot be read, or no layer of it fits.
    """
    return assign_by_name(model, read_hdf5(path), source=str(path))


def copy_weights_by_name(source_model: keras.Model, target_model: keras.Model) -> WeightsReport:
    """Give the layers of ``target_model`` the weights of the source's layers of the same name.

    Raises:
        ModelError: No layer fits.
    """
    layers = {
        layer.name: {variable.name: variable.numpy() for variable in layer.weights}
        for layer in without_wrapper(source_model).layers
        if layer.weights
    }
    return assign_by_name(target_model, layers, source=f"the network {source_model.name!r}")


def network_from_hdf5(path: Path) -> keras.Model:
    """The BodyPoseNet whose weights an HDF5 file holds, its shape read from theirs.

    Raises:
        ModelError: The file cannot be read, or is not a BodyPoseNet on a VGG backbone.
    """
    layers = read_hdf5(path)
    kernels = {name: weights["kernel"].shape for name, weights in layers.items()
               if "kernel" in weights and weights["kernel"].ndim == 4}  # fmt: skip
    for name in ("block_1a_conv_1", HEATMAP_OUTPUT, PAF_OUTPUT):
        if name not in kernels:
            raise ModelError(
                f"{path} is not a BodyPoseNet on a VGG backbone: it has no layer {name}; only those"
                " can be read from HDF5"
            )
    network = build_network(_section_of(layers, kernels))

    def with_filters(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
        # A pruned network has fewer filters than the section says.
        if isinstance(layer, keras.layers.Conv2D) and layer.name in kernels:
            config["filters"] = int(kernels[layer.name][3])
        return config

    try:
        network = copy_network(network, change=with_filters)
    except ValueError as error:
        raise ModelError(f"the layers of {path} do not fit each other: {error}") from error
    report = assign_by_name(network, layers, source=str(path))
    if report.missing:
        raise ModelError(f"{path} lacks weights for {_listed(report.missing)}")
    return network


def read_hdf5(path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """The weights in a Keras 2 model or weights file, by layer (with "." for "/") and variable.

    Raises:
        ModelError: The file cannot be read, or is not Keras 2's.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise ModelError(f"{path} is no Keras 2 model or weights file: it names no layers")
            layers: dict[str, dict[str, NDArray[Any]]] = {}
            for layer in map(_text, root.attrs["layer_names"]):
                for weight in map(_text, root[layer].attrs["weight_names"]):
                    owner, variable = _owner_of(layer, weight)
                    value = np.asarray(root[layer][weight])
                    layers.setdefault(owner, {})[variable] = value
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path} cannot be read as HDF5 (cut short, or something else): {error}"
        ) from error
    return _without_scope_number(layers)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _owner_of(layer: str, weight: str) -> tuple[str, str]:
    """The layer that a weight belongs to, and the variable it is.

    ``weight`` is "block_1a_conv_1/kernel:0" in the layer "block_1a_conv_1", but also in "model_1"
    when that is a nested network.
    """
    scope, _, variable = weight.split(":")[0].rpartition("/")
    if scope in (layer, "") or re.fullmatch(re.escape(layer) + r"_\d+", scope):
        scope = layer
    scope = scope.removeprefix(f"{layer}/")
    return scope.replace("/", "."), variable


def _without_scope_number(
    layers: dict[str, dict[str, NDArray[Any]]],
) -> dict[str, dict[str, NDArray[Any]]]:
    """Undo the "_1" of TensorFlow 1 on every name of a network that it built a second time."""
    for name in layers:
        if match := re.fullmatch(r"block_1a_conv_1(_\d+)", name):
            return {key.removesuffix(match[1]): value for key, value in layers.items()}
    return layers


def assign_by_name(
    model: keras.Model, layers: Mapping[str, LayerWeights], *, source: str
) -> WeightsReport:
    """Give the layers of ``model`` the weights of the layers of the same name that fit.

    Args:
        model: The network.
        layers: Weights by layer and variable.
        source: What they come from, for the log.

    Raises:
        ModelError: No layer fits.
    """
    targets = {layer.name: layer for layer in without_wrapper(model).layers if layer.weights}
    loaded: list[str] = []
    skipped: list[tuple[str, str]] = []
    for name, weights in layers.items():
        reason = _misfit(targets.get(name), weights)
        if reason:
            skipped.append((name, reason))
            continue
        for variable in targets[name].weights:
            variable.assign(weights[variable.name])
        loaded.append(name)
    if not loaded:
        raise ModelError(
            f"no layer of {source} fits this network: it has {_listed(list(layers))},"
            f" the network has {_listed(list(targets))}"
        )
    missing = tuple(name for name in targets if name not in loaded)
    logger.info("%s: weights of %d layers taken over", source, len(loaded))
    for name, reason in skipped:
        logger.info("%s: %s skipped: %s", source, name, reason)
    return WeightsReport(tuple(loaded), tuple(skipped), missing)


def _misfit(layer: Any, weights: LayerWeights) -> str | None:
    """Why a layer (None: no such layer) cannot take these weights, or None."""
    if layer is None:
        return "not in this network"
    wanted = {variable.name: tuple(variable.shape) for variable in layer.weights}
    if set(wanted) != set(weights):
        return f"it has {_listed(sorted(weights))} there, {_listed(sorted(wanted))} here"
    for name, shape in wanted.items():
        if weights[name].shape != shape:
            return f"its {name} is {weights[name].shape} there, {shape} here"
    return None


def _listed(names: Any) -> str:
    """The first few names of many."""
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _section_of(
    layers: Mapping[str, LayerWeights], kernels: Mapping[str, tuple[int, ...]]
) -> BpNetLiteModel | BpNetModel:
    """The model section that names exactly these layers."""
    stages = max(
        (int(match[1]) for name in kernels if (match := re.match(r"stage(\d+)\.", name))), default=1
    )
    lite = "stage1.conv1" in kernels
    common: dict[str, Any] = {
        "backbone_attributes": BackboneAttributes(use_bias="bias" in layers["block_1a_conv_1"]),
        "stages": stages,
        "heat_channels": int(kernels[HEATMAP_OUTPUT][3]),
        "paf_channels": int(kernels[PAF_OUTPUT][3]),
        "use_self_attention": any(name.endswith("attention_conv") for name in kernels),
        "use_bias": "bias" in layers[PAF_OUTPUT],
        "kernel_regularization_factor": 0.0,  # a file of weights does not say
    }
    if not lite:
        return BpNetModel(**common)

    def kernel_sizes(stage: int) -> list[int]:
        names = (f"stage{stage}.conv{number}" for number in range(1, 100))
        return [int(kernels[name][0]) for name in names if name in kernels]

    return BpNetLiteModel(
        **common, stage1_kernel_sizes=kernel_sizes(1), stageT_kernel_sizes=kernel_sizes(2)
    )
