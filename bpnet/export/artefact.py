"""An exported graph in the precision that was asked for, and what INT8 is calibrated with."""

import dataclasses
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from bpnet.errors import DataError
from bpnet.export.calibration import METHODS, collect_histograms, make_ranges
from bpnet.export.float_convolutions import describe_float_convolutions
from bpnet.export.graph import lift, set_contract, version_of
from bpnet.export.images import read_fitted
from bpnet.export.precision import to_float16
from bpnet.export.quantize import quantise, ranged_tensors
from bpnet.export.sensitivity import map_loss
from bpnet.export.tensorfile import read_tensorfile, tensorfile_shape
from bpnet.inference.preprocess import PAD_VALUE, to_tensor
from bpnet.pose.contract import ModelContract

JUDGED = 8  # calibration inputs that methods are compared on

logger = logging.getLogger(__name__)


def to_precision(
    graph: onnx.ModelProto,
    contract: ModelContract,
    data_type: str,
    *,
    ranges: Mapping[str, float] | None = None,
    form: str = "onnxruntime",
    float_nodes: Collection[str] | None = None,
    opset: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The float32 ``graph`` in another precision, with a contract in its metadata that says so.

    Args:
        graph: As ``onnx.to_onnx`` makes it, or ``foreign.read_graph``; it is not changed.
        contract: Its contract.
        data_type: fp32, fp16, int8 or int8+fp16 (TensorRT's form only).
        ranges: Needed for int8: the largest absolute value of each activation, by tensor name.
        form: Of int8, see ``quantize``.
        float_nodes: Convolutions that int8 leaves float; None: those that write the maps.
        opset: Version of the operators; None: the graph's own, or the least that will do.
        notes: What else the contract shall say.

    Raises:
        ModelError: A tensor has no range, or the operators cannot be had in that version.
    """
    extra = {**contract.extra, **(notes or {})}
    result = graph
    if data_type.startswith("int8"):
        if ranges is None:
            raise ValueError(f"{data_type} needs ranges")
        form = "tensorrt" if data_type == "int8+fp16" else form
        result = quantise(graph, ranges, form=form, float_nodes=float_nodes)
        extra["int8_form"] = form
        extra["float_convolutions"] = describe_float_convolutions(result)
    if data_type.endswith("fp16"):
        result = to_float16(result)
    if opset is not None:
        result = lift(result, opset)
    if result is graph:
        result = onnx.ModelProto()
        result.CopyFrom(graph)
    extra["opset"] = str(version_of(result))
    set_contract(result, dataclasses.replace(contract, precision=data_type, extra=extra))
    return result


def find_ranges(
    graph: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
    method: str,
    *,
    total: int | None = None,
) -> dict[str, float]:
    """The table of ranges of a float32 graph, by tensor name; any form of INT8 comes from it.

    Args:
        graph: The network.
        inputs: Its inputs, normalised, in its layout, without the batch axis. Read once.
        method: entropy, percentile, max or mse; see ``calibration.METHODS``.
        total: How many there are, for the progress bar.

    Raises:
        DataError: An image cannot be read.
    """
    shown = tqdm(inputs, total=total, desc="calibrating", unit="image", disable=None)
    return make_ranges(collect_histograms(graph, shown, ranged_tensors(graph)), method)


def best_ranges(
    graph: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
    *,
    total: int,
    forms: Collection[str] = ("onnxruntime",),
) -> tuple[dict[str, float], str]:
    """The table of the method whose INT8 graphs draw the maps with the least mean error.

    No method is best for every network: by entropy a network of ours lost 3.2 AP points and by
    percentile 0, another lost 0.7 and 1.1. The error on a few of the inputs told which.

    Args:
        graph: The network.
        inputs: As for ``find_ranges``. Read once.
        total: How many there are.
        forms: Of INT8, those that the table is for, see ``quantize``: values above a range are
            cut off in one and not in the other, so the best method may not be the same.

    Returns:
        The table, and the name of the method.
    """
    kept: list[NDArray[np.float32]] = []

    def passed() -> Iterator[NDArray[np.float32]]:
        for number, image in enumerate(inputs):
            if number % max(1, total // JUDGED) == 0 and len(kept) < JUDGED:
                kept.append(image)
            yield image

    shown = tqdm(passed(), total=total, desc="calibrating", unit="image", disable=None)
    histograms = collect_histograms(graph, shown, ranged_tensors(graph))
    loss = map_loss(graph, kept)
    tables = {method: make_ranges(histograms, method) for method in METHODS}
    losses = {
        method: sum(loss(quantise(graph, table, form=form)) for form in forms) / len(forms)
        for method, table in tables.items()
    }
    for method, lost in losses.items():
        logger.info("mean error of the maps calibrated by %s: %.3g", method, lost)
    best = min(losses, key=lambda method: (np.isnan(losses[method]), losses[method]))
    return tables[best], best


def photo_inputs(
    paths: Sequence[Path], contract: ModelContract, *, pad_value: int = PAD_VALUE
) -> Iterator[NDArray[np.float32]]:
    """Photos as inputs of the network, padded as inference does; one is in memory at a time.

    Raises:
        DataError: An image cannot be read.
    """
    height, width = fixed_size(contract)
    for image in read_fitted(paths, height=height, width=width, pad_value=pad_value):
        yield to_tensor(image[None], contract)[0]


def tensorfile_inputs(path: Path, contract: ModelContract) -> Iterator[NDArray[np.float32]]:
    """The inputs in a tensorfile, in the network's layout.

    Raises:
        DataError: It is no tensorfile, or holds images of another size.
        MissingLibraryError: h5py is not installed.
    """
    _, *size = tensorfile_shape(path)
    expected = fixed_size(contract)
    if tuple(size) != expected:
        raise DataError(
            f"{path} holds images of {size[0]}x{size[1]} (height x width), but the export is "
            f"{expected[0]}x{expected[1]}; delete it to have it written anew, or change -d"
        )
    return (_in_layout(image, contract) for image in read_tensorfile(path))


def channels_last(
    inputs: Iterable[NDArray[np.float32]], contract: ModelContract
) -> Iterator[NDArray[np.float32]]:
    """Inputs of the network as (H, W, 3), which tensorfiles hold."""
    nchw = contract.layout == "nchw"
    return (image.transpose(1, 2, 0) if nchw else image for image in inputs)


def fixed_size(contract: ModelContract) -> tuple[int, int]:
    """Height and width of an exported model's input, pixels."""
    if contract.height is None or contract.width is None:
        raise ValueError("an exported model has a fixed input size, this contract has none")
    return contract.height, contract.width


def _in_layout(image: NDArray[np.float32], contract: ModelContract) -> NDArray[np.float32]:
    """An image (H, W, 3) as the network has it."""
    ordered = image.transpose(2, 0, 1) if contract.layout == "nchw" else image
    return np.ascontiguousarray(ordered)
