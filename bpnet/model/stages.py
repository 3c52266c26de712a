"""The stages of a network: each draws maps from the features and the maps of stages before."""

from dataclasses import dataclass
from typing import Any

import keras

from bpnet.model.layers import (
    ConvolutionStyle,
    convolve,
    convolve_activated,
    convolve_in_turn,
    scaled_channels,
)
from bpnet.spec.network import BpNetLiteModel, BpNetModel, BpNetPafFirstModel, NetworkSettings

HEATMAP_OUTPUT = "heatmap_out"
PAF_OUTPUT = "paf_out"
LEAST_FINAL_WIDTH = 128


@dataclass(frozen=True)
class _Branch:
    """One of the two kinds of map that a stage draws."""

    short: str  # "paf" or "cmap", in the names of BpNetLiteModel
    long: str  # "paf_branch" or "heat_branch"
    output: str  # name of the output layer of the last stage that draws this map
    attention: str  # activation of the attention map


_PAF = _Branch("paf", "paf_branch", PAF_OUTPUT, "tanh")
_HEATMAP = _Branch("cmap", "heat_branch", HEATMAP_OUTPUT, "sigmoid")


@dataclass(frozen=True)
class _Stage:
    """What the layers of one stage have in common."""

    number: int  # from 1
    model: NetworkSettings
    style: ConvolutionStyle
    kernel_sizes: list[int]
    block: str  # "convolution" or "dense"
    width: int  # channels of the wide convolutions
    final_width: int  # channels of the 1x1 convolution before the maps

    def convolve(self, x: Any, *, scope: str) -> Any:
        """The wide convolutions."""
        return convolve_in_turn(
            x, self.width, self.kernel_sizes, scope=scope, style=self.style, block=self.block
        )

    def draw(self, x: Any, branch: _Branch, *, scope: str, last: bool) -> Any:
        """The end of a branch: a 1x1 convolution, perhaps attention, and the maps."""
        style, width = self.style, self.final_width
        convolution = f"{scope}.conv{len(self.kernel_sizes) + 1}"
        x = convolve_activated(x, width, 1, name=convolution, style=style)
        if self.model.use_self_attention and self.number > 1:
            name, activation = f"{scope}.attention", branch.attention
            attention = convolve_activated(
                x, width, 3, name=f"{name}_conv", style=style, activation=activation
            )
            x = keras.layers.Multiply(name=name)([x, attention])
        name = branch.output if last else f"stage{self.number}.{branch.long}.out"
        channels = self.model.paf_channels if branch is _PAF else self.model.heat_channels
        # float32: the loss sums over a whole batch of maps, and decoders read them.
        return convolve(x, channels, 1, name=name, style=style, dtype="float32")


def draw_in_parallel(
    features: Any, model: BpNetLiteModel | BpNetModel, style: ConvolutionStyle
) -> tuple[list[Any], list[Any]]:
    """Heatmaps and PAFs of every stage, (N, h, w, C); each stage draws both."""
    width = scaled_channels(128, model.width_multiplier)
    lite = isinstance(model, BpNetLiteModel)
    heatmaps: list[Any] = []
    pafs: list[Any] = []
    for number in range(1, model.stages + 1):
        first = number == 1
        if isinstance(model, BpNetLiteModel):
            kernel_sizes = model.stage1_kernel_sizes if first else model.stageT_kernel_sizes
        else:
            kernel_sizes = [3] * 3 if first else [7] * 5
        stage = _Stage(
            number=number,
            model=model,
            style=style,
            kernel_sizes=kernel_sizes,
            block="convolution" if first else model.refinement_block,
            width=width,
            final_width=_final_width(512 if first else 128, model),
        )
        x = features if first else _join(stage, [features, heatmaps[-1], pafs[-1]])
        shared = stage.convolve(x, scope=f"stage{number}") if lite else None
        for branch, maps in ((_PAF, pafs), (_HEATMAP, heatmaps)):
            scope = f"stage{number}.{branch.short if lite else branch.long}"
            own = shared if lite else stage.convolve(x, scope=scope)
            maps.append(stage.draw(own, branch, scope=scope, last=number == model.stages))
    return heatmaps, pafs


def draw_pafs_first(
    features: Any, model: BpNetPafFirstModel, style: ConvolutionStyle
) -> tuple[list[Any], list[Any]]:
    """Heatmaps of the last stages and PAFs of the first ones, (N, h, w, C).

    PAFs are refined from features and the PAFs before; every stage of heatmaps sees the last PAFs.
    """
    heatmaps: list[Any] = []
    pafs: list[Any] = []
    for number in range(1, model.paf_stages + model.heatmap_stages + 1):
        of_pafs = number <= model.paf_stages
        branch, maps = (_PAF, pafs) if of_pafs else (_HEATMAP, heatmaps)
        stages = model.paf_stages if of_pafs else model.heatmap_stages
        channels = model.later_stage_channels if maps else model.first_stage_channels
        stage = _Stage(
            number=number,
            model=model,
            style=style,
            kernel_sizes=model.stage_kernel_sizes,
            block=model.refinement_block,
            width=scaled_channels(channels, model.width_multiplier),
            final_width=_final_width(512 if maps else 256, model),
        )
        scope = f"stage{number}"
        x = features if number == 1 else _join(stage, [features, *pafs[-1:], *heatmaps[-1:]])
        x = stage.convolve(x, scope=scope)
        last = len(maps) + 1 == stages
        maps.append(stage.draw(x, branch, scope=f"{scope}.{branch.short}", last=last))
    return heatmaps, pafs


def _final_width(channels: int, model: NetworkSettings) -> int:
    """Channels before the maps: not fewer than TAO's refinement stages have.

    A network a quarter as wide would draw 38 and more PAF channels from 32 features, which cannot
    be told apart by a 1x1 convolution.
    """
    return max(scaled_channels(channels, model.width_multiplier), LEAST_FINAL_WIDTH)


def _join(stage: _Stage, tensors: list[Any]) -> Any:
    return keras.layers.Concatenate(name=f"stage{stage.number}.concatenate")(tensors)
