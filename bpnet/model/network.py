"""The network: features, then stages that each see the features and the maps of the stage before.

Layers, names and parameter counts are those of TAO's BodyPoseNet; Keras forbids "/" in names, so
``stage1/conv1`` is ``stage1.conv1`` here.
"""

import dataclasses
from typing import Any

import keras

from bpnet.model.backbone import extract_features
from bpnet.model.layers import (
    ConvolutionStyle,
    convolve,
    convolve_activated,
    convolve_in_turn,
    scaled_channels,
)
from bpnet.spec.network import BpNetLiteModel, BpNetModel

INPUT_NAME = "input_1"
HEATMAP_OUTPUT = "heatmap_out"
PAF_OUTPUT = "paf_out"


@dataclasses.dataclass(frozen=True)
class _Branch:
    """One of the two kinds of map that a stage draws."""

    short: str  # "paf" or "cmap", in the names of BpNetLiteModel
    long: str  # "paf_branch" or "heat_branch"
    final: str  # name of the last stage's output layer
    attention: str  # activation of the attention map
    channels: int


def build_network(model: BpNetLiteModel | BpNetModel, *, seed: int = 42) -> keras.Model:
    """The network of a spec's ``model`` section, with weights that depend on the seed alone.

    Its input ``input_1`` is a normalised image (N, H, W, 3), float32. Its outputs are the list of
    every stage's maps, [heatmaps 1..S, PAFs 1..S], each (N, H/8, W/8, C) and float32 whatever the
    precision policy. ``weights_path`` is for the caller: see ``bpnet.model.weights``.
    """
    style = ConvolutionStyle(
        kernel_initializer=model.kernel_initializer,
        regularization_type=model.regularization_type,
        kernel_factor=model.kernel_regularization_factor,
        bias_factor=model.bias_regularization_factor,
        use_bias=model.use_bias,
        seed=seed,
    )
    backbone_style = dataclasses.replace(
        style, kernel_initializer="xavier", use_bias=model.backbone_attributes.use_bias
    )
    width = scaled_channels(128, model.width_multiplier)
    image = keras.Input((None, None, 3), name=INPUT_NAME)
    features = extract_features(
        image, style=backbone_style, width_multiplier=model.width_multiplier
    )
    features = convolve_activated(features, width, 3, name="channel_reduction_conv", style=style)

    branches = (
        _Branch("paf", "paf_branch", PAF_OUTPUT, "tanh", model.paf_channels),
        _Branch("cmap", "heat_branch", HEATMAP_OUTPUT, "sigmoid", model.heat_channels),
    )
    pafs: list[Any] = []
    heatmaps: list[Any] = []
    for stage in range(1, model.stages + 1):
        x = features
        if stage > 1:
            x = keras.layers.Concatenate(name=f"stage{stage}.concatenate")(
                [features, heatmaps[-1], pafs[-1]]
            )
        if isinstance(model, BpNetLiteModel):
            paf, heatmap = _draw_shared(x, branches, model=model, stage=stage, style=style)
        else:
            paf, heatmap = _draw_separate(x, branches, model=model, stage=stage, style=style)
        pafs.append(paf)
        heatmaps.append(heatmap)
    return keras.Model(image, heatmaps + pafs, name="bpnet")


def _draw_shared(
    x: Any,
    branches: tuple[_Branch, _Branch],
    *,
    model: BpNetLiteModel,
    stage: int,
    style: ConvolutionStyle,
) -> list[Any]:
    """A stage of BpNetLiteModel: the branches part after the wide kernels."""
    kernel_sizes = model.stage1_kernel_sizes if stage == 1 else model.stageT_kernel_sizes
    width = scaled_channels(128, model.width_multiplier)
    shared = convolve_in_turn(x, width, kernel_sizes, scope=f"stage{stage}", style=style)
    return [
        _draw_maps(
            shared,
            branch,
            scope=f"stage{stage}.{branch.short}",
            convolution=len(kernel_sizes) + 1,
            model=model,
            stage=stage,
            style=style,
        )
        for branch in branches
    ]


def _draw_separate(
    x: Any,
    branches: tuple[_Branch, _Branch],
    *,
    model: BpNetModel,
    stage: int,
    style: ConvolutionStyle,
) -> list[Any]:
    """A stage of BpNetModel: the branches have nothing in common."""
    kernel_sizes = [3] * 3 if stage == 1 else [7] * 5
    width = scaled_channels(128, model.width_multiplier)
    maps = []
    for branch in branches:
        scope = f"stage{stage}.{branch.long}"
        own = convolve_in_turn(x, width, kernel_sizes, scope=scope, style=style)
        maps.append(
            _draw_maps(
                own,
                branch,
                scope=scope,
                convolution=len(kernel_sizes) + 1,
                model=model,
                stage=stage,
                style=style,
            )
        )
    return maps


def _draw_maps(
    x: Any,
    branch: _Branch,
    *,
    scope: str,
    convolution: int,
    model: BpNetLiteModel | BpNetModel,
    stage: int,
    style: ConvolutionStyle,
) -> Any:
    """The end of a branch: a 1x1 convolution, perhaps attention, and the maps."""
    width = scaled_channels(512 if stage == 1 else 128, model.width_multiplier)
    x = convolve_activated(x, width, 1, name=f"{scope}.conv{convolution}", style=style)
    if model.use_self_attention and stage > 1:
        attention = convolve_activated(
            x, width, 3, name=f"{scope}.attention_conv", style=style, activation=branch.attention
        )
        x = keras.layers.Multiply(name=f"{scope}.attention")([x, attention])
    name = branch.final if stage == model.stages else f"stage{stage}.{branch.long}.out"
    # float32: the loss sums over a whole batch of maps, and decoders read them.
    return convolve(x, branch.channels, 1, name=name, style=style, dtype="float32")
