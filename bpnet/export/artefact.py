"""An exported graph in the precision that was asked for, and how it compares with the network."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from bpnet.export.calibration import collect_histograms, make_ranges
from bpnet.export.graph import set_contract
from bpnet.export.images import read_fitted
from bpnet.export.precision import to_float16
from bpnet.export.quantize import quantise, ranged_tensors
from bpnet.export.verify import Comparison, compare_maps
from bpnet.inference.backend import Backend
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.preprocess import to_tensor
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps


@dataclass(frozen=True)
class Calibration:
    """How INT8 ranges are found.

    Attributes:
        images: Photos like those that the network will see.
        method: entropy, percentile, max or mse; see ``calibration.METHODS``.
    """

    images: Sequence[Path]
    method: str = "percentile"


def calibrate(
    graph: onnx.ModelProto, contract: ModelContract, calibration: Calibration
) -> dict[str, float]:
    """The table of ranges of a float32 graph, by tensor name; any form of INT8 comes from it.

    Raises:
        DataError: An image cannot be read.
        ModelError: The contract fixes no input size.
    """
    paths = tqdm(calibration.images, desc="calibrating", unit="image", disable=None)
    height, width = fixed_size(contract)
    fitted = read_fitted(paths, height=height, width=width)
    inputs = (to_tensor(image[None], contract)[0] for image in fitted)
    histograms = collect_histograms(graph, inputs, ranged_tensors(graph))
    return make_ranges(histograms, calibration.method)


def to_precision(
    graph: onnx.ModelProto,
    contract: ModelContract,
    data_type: str,
    *,
    calibration: Calibration | None = None,
    form: str = "onnxruntime",
) -> onnx.ModelProto:
    """The float32 ``graph`` as fp32, fp16 or int8, with a contract that says so.

    Args:
        graph: As ``onnx.to_onnx`` makes it; it is not changed.
        contract: Its contract.
        data_type: fp32, fp16 or int8.
        calibration: Needed for int8.
        form: Of int8, see ``quantize``.
    """
    if data_type == "fp32":
        return graph
    extra = dict(contract.extra)
    if data_type == "fp16":
        result = to_float16(graph)
    elif calibration is None:
        raise ValueError("int8 needs a calibration")
    else:
        result = quantise(graph, calibrate(graph, contract, calibration), form=form)
        extra |= {
            "int8_form": form,
            "calibration": f"{calibration.method} of {len(calibration.images)} images",
        }
    set_contract(result, dataclasses.replace(contract, precision=data_type, extra=extra))
    return result


def compare(
    trained: Sequence[PoseMaps],
    graph: onnx.ModelProto,
    images: Sequence[NDArray[np.uint8]],
    *,
    name: Path,
    precision: str,
) -> Comparison:
    """The maps ``trained`` of ``images`` (H, W, 3) uint8 RGB beside those that ``graph`` draws.

    The graph is read as ``bpnet inference`` would read it, so its metadata is tried too; ``name``
    stands for it in errors.
    """
    exported = OnnxBackend(name, data=graph.SerializeToString())
    return compare_maps(trained, draw_maps(exported, images), precision=precision)


def draw_maps(backend: Backend, images: Sequence[NDArray[np.uint8]]) -> list[PoseMaps]:
    """The maps of each of ``images`` (H, W, 3) uint8 RGB, one at a time to spare memory."""
    return [backend.predict(image[None])[0] for image in images]


def fixed_size(contract: ModelContract) -> tuple[int, int]:
    """Height and width of an exported model's input, pixels."""
    if contract.height is None or contract.width is None:
        raise ValueError("an exported model has a fixed input size, this contract has none")
    return contract.height, contract.width
