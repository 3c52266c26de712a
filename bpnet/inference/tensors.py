"""What the tensors of a PAF network mean, in whatever runtime they are."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import ModelError
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network.

    Attributes:
        name: as the file says.
        shape: numbers; anything else where any will do.
    """

    name: str
    shape: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)}"


def complete_contract(
    contract: ModelContract,
    source: Path,
    image: Tensor,
    outputs: Sequence[Tensor],
    *,
    stage: int | None,
) -> ModelContract:
    """The contract with layout, size and names as the network ``source`` really has them.

    Args:
        contract: what is said of the network.
        source: stands for it in errors.
        image: its input, of four axes.
        outputs: all of them, in the file's order.
        stage: whose maps are wanted, from 1; None: the last.

    Raises:
        ModelError: The input is no image of three channels, or an output is not there.
    """
    shape = image.shape
    layout = {(True, False): "nchw", (False, True): "nhwc"}.get(
        (shape[1] == 3, shape[3] == 3), contract.layout
    )
    channels = shape[1] if layout == "nchw" else shape[3]
    if isinstance(channels, int) and channels != 3:
        raise ModelError(f"{source}: expected an input of 3 channels, found {image} ({layout})")
    rows, columns = (shape[2], shape[3]) if layout == "nchw" else (shape[1], shape[2])
    skeleton = contract.skeleton
    heatmap_channels, paf_channels = skeleton.heatmap_channels, skeleton.paf_channels
    tell_apart = heatmap_channels != paf_channels
    names = [
        _pick_output(
            source,
            outputs,
            wanted,
            channels,
            stage=stage,
            counted=_of_channels(outputs, channels, layout) if tell_apart else [],
            default=default,
        )
        for wanted, default, channels in (
            (contract.heatmap_output, ModelContract.heatmap_output, heatmap_channels),
            (contract.paf_output, ModelContract.paf_output, paf_channels),
        )
    ]
    return dataclasses.replace(
        contract,
        layout=layout,
        input_name=image.name,
        height=rows if isinstance(rows, int) else None,
        width=columns if isinstance(columns, int) else None,
        heatmap_output=names[0],
        paf_output=names[1],
    )


def in_batches(
    images: NDArray[np.uint8],
    run: Callable[[NDArray[np.uint8]], list[PoseMaps]],
    *,
    least: int,
    most: int,
) -> list[PoseMaps]:
    """The maps of each of ``images`` (N, H, W, 3), from runs of ``least`` to ``most`` images."""
    maps: list[PoseMaps] = []
    for start in range(0, len(images), max(1, most)):
        chunk = images[start : start + most]
        missing = max(0, least - len(chunk))
        filled = chunk
        if missing:
            filled = np.concatenate([chunk, np.zeros((missing, *chunk.shape[1:]), np.uint8)])
        maps += run(filled)[: len(chunk)]
    return maps


def make_maps(
    heatmaps: NDArray[Any],
    pafs: NDArray[Any],
    contract: ModelContract,
    source: Path,
    *,
    size: tuple[int, int],
) -> list[PoseMaps]:
    """The maps of each image of a run.

    PAFs that a graph upsampled by repetition, as NVIDIA's deployable does (4 times), are taken at
    the resolution they were drawn at: the same numbers, in their own cells.

    Args:
        heatmaps: output of the network, (N, K+1, h, w) or (N, h, w, K+1).
        pafs: output of the network, (N, 2L, h', w') or (N, h', w', 2L).
        contract: the network's.
        source: stands for the network in errors.
        size: height and width of its input, pixels.

    Raises:
        ModelError: An output has another number of channels.
    """
    skeleton = contract.skeleton
    heatmaps = _as_nhwc(
        heatmaps, skeleton.heatmap_channels, contract, contract.heatmap_output, source
    )
    pafs = _as_nhwc(pafs, skeleton.paf_channels, contract, contract.paf_output, source)
    pafs = _without_repetition(pafs, pafs.shape[1] // heatmaps.shape[1])
    heatmap_stride = stride_of(size[0], heatmaps.shape[1], contract.heatmap_stride)
    paf_stride = stride_of(size[0], pafs.shape[1], contract.paf_stride)
    return [
        PoseMaps(heatmap, paf, heatmap_stride, paf_stride)
        for heatmap, paf in zip(heatmaps, pafs, strict=True)
    ]


def _of_channels(outputs: Sequence[Tensor], channels: int, layout: str) -> list[str]:
    """The names of the outputs of so many channels, in the input's layout or else in the other."""
    axes = (1, 3) if layout == "nchw" else (3, 1)
    four = [each for each in outputs if len(each.shape) == 4]
    found = ([each.name for each in four if each.shape[axis] == channels] for axis in axes)
    return next(filter(None, found), [])


def _pick_output(
    source: Path,
    outputs: Sequence[Tensor],
    wanted: str,
    channels: int,
    *,
    stage: int | None,
    counted: Sequence[str],
    default: str,
) -> str:
    """The name of one output: ``wanted``, else, where that is the default, by channel count."""
    named = [each.name for each in outputs if wanted in (each.name, _short(each.name))]
    if stage is not None:
        stages = counted or named
        if stage > len(stages):
            raise ModelError(
                f"{source} has the maps of {len(stages)} stage(s), not of stage {stage}; "
                "set output_stage_to_use to null"
            )
        return stages[stage - 1]
    if named:
        return named[0]
    if counted and wanted == default:
        return counted[-1]
    found = ", ".join(map(str, outputs))
    also = f" and none of {channels} channels" if wanted == default else ""
    raise ModelError(
        f"{source} has no output {wanted}{also}, only {found}; name its outputs under "
        "model_output in the inference spec, and its skeleton under pose_config_path"
    )


def _short(name: str) -> str:
    """An output's layer name: ``heatmap_out`` of ``heatmap_out/BiasAdd:0``."""
    return name.split("/", maxsplit=1)[0].split(":", maxsplit=1)[0]


def _as_nhwc(
    maps: NDArray[Any], channels: int, contract: ModelContract, name: str, source: Path
) -> NDArray[np.float32]:
    """Maps (N, ..., ...) as a float32 view (N, h, w, channels)."""
    last = maps.ndim == 4 and maps.shape[3] == channels
    first = maps.ndim == 4 and maps.shape[1] == channels
    if not (first or last):
        raise ModelError(
            f"{source}: output {name} has shape {maps.shape}, "
            f"but the skeleton {contract.skeleton.name} needs {channels} channels"
        )
    keep = last and not (first and contract.layout == "nchw")
    ordered = maps if keep else maps.transpose(0, 2, 3, 1)
    return ordered.astype(np.float32, copy=False)


def _without_repetition(maps: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """``maps`` (N, h, w, C), with every ``times`` x ``times`` equal cells as one."""
    count, height, width, channels = maps.shape
    if times < 2 or height % times or width % times:
        return maps
    single = maps[:, ::times, ::times]
    blocks = maps.reshape(count, height // times, times, width // times, times, channels)
    for row in range(height // times):  # row by row: the first tells of most maps that they differ
        if not (blocks[:, row] == single[:, row, None, :, None]).all():
            return maps
    return single


def stride_of(pixels: int, cells: int, said: float) -> float:
    """Input pixels a cell: what the network says of itself, where that can be true.

    At a fixed size that is no multiple of the stride, the last cell is only partly in the image.
    """
    return said if cells == math.ceil(pixels / said) else pixels / cells
