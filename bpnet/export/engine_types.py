"""Which number types an engine computes in, and how its TensorRT is told."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from bpnet.errors import ModelError
from bpnet.export.calibration_cache import header, read_cache
from bpnet.export.engine_settings import flags_of
from bpnet.export.precision import to_float16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineTypes:
    """How TensorRT is told the types.

    Attributes:
        strong: They are the graph's.
        paired: The graph has Q/DQ pairs.
        flags: BuilderFlags of the types that the builder may choose beside float32.
        calibration_cache: Where INT8's ranges come from; None: the graph has them, or no INT8.
    """

    strong: bool
    paired: bool
    flags: tuple[str, ...] = ()
    calibration_cache: Path | None = None


def carried_type(graph: onnx.ModelProto) -> str:
    """The type that ``graph`` itself computes in: fp32, fp16, int8 or int8+fp16."""
    paired = any(node.op_type == "DequantizeLinear" for node in graph.graph.node)
    half = any(one.data_type == onnx.TensorProto.FLOAT16 for one in graph.graph.initializer)
    if paired:
        return "int8+fp16" if half else "int8"
    return "fp16" if half else "fp32"


def settle_types(
    trt: Any,
    graph: onnx.ModelProto,
    data_type: str,
    *,
    strict: bool,
    calibration_cache: Path | None,
    path: Path,
) -> tuple[onnx.ModelProto, EngineTypes]:
    """The graph that TensorRT gets for an engine of ``data_type``, and how it is told its types.

    Args:
        trt: The module of TensorRT.
        graph: Not changed.
        data_type: fp32, fp16, int8 or int8+fp16.
        strict: No other types, where TensorRT leaves a choice.
        calibration_cache: For INT8 of a graph without Q/DQ pairs.
        path: Of the engine, for errors.

    Raises:
        ModelError: The graph cannot become such an engine with this TensorRT.
    """
    carried = carried_type(graph)
    _check_conversion(graph, carried, data_type, path)
    always_strong = not hasattr(trt.BuilderFlag, "FP16")  # TensorRT 11
    paired = "int8" in carried
    if "int8" in data_type and not paired:
        if always_strong or calibration_cache is None:
            raise ModelError(_without_ranges(trt, path, always_strong))
        return graph, EngineTypes(False, paired, flags_of(data_type), calibration_cache)
    if calibration_cache is not None:
        why = "the graph has Q/DQ pairs" if paired else f"the engine is {data_type}"
        logger.warning("%s has no effect on %s: %s", calibration_cache, path, why)
    can_be_strong = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    exact = carried == data_type or strict
    if always_strong or (can_be_strong and data_type != "fp32" and exact):
        if "fp16" in data_type and "fp16" not in carried:
            graph = to_float16(graph)
        return graph, EngineTypes(True, paired)
    return graph, EngineTypes(False, paired, flags_of(data_type))


def cache_for(trt: Any, cache: Path, tensors: Collection[str]) -> bytes:
    """The calibration cache with the first line that this TensorRT wants.

    Args:
        trt: The module of TensorRT.
        cache: Of any release: the scales are the same.
        tensors: Of the network; the cache has to know them.

    Raises:
        DataError: It cannot be read, or is no cache.
        ModelError: It was made for another network.
    """
    known = read_cache(cache)
    missing = [name for name in tensors if name not in known]
    if missing:
        raise ModelError(
            f"{cache} was made for another network: it has no {missing[0]}; calibrate again"
        )
    release = ".".join(trt.__version__.split(".")[:3])
    _, _, scales = cache.read_text(encoding="utf-8").partition("\n")
    return f"{header(release)}\n{scales}".encode()


def make_calibrator(trt: Any, cache: bytes) -> Any:
    """A calibrator of TensorRT's that has no images, only ``cache``."""

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]  # without types
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: Any) -> None:
            return None

    return Calibrator()


def _check_conversion(graph: onnx.ModelProto, carried: str, data_type: str, path: Path) -> None:
    """Types can be lowered, never raised; and TensorRT knows only pairs around zero."""
    for kind in ("fp16", "int8"):
        if kind in carried and kind not in data_type:
            raise ModelError(
                f"{path}: the graph is {carried}, an engine of {data_type} needs the float32 graph"
            )
    unsigned = [
        one.name
        for one in graph.graph.initializer
        if one.data_type == onnx.TensorProto.UINT8 and "int8" in carried
    ]
    if unsigned:
        raise ModelError(
            f"{path}: the graph is INT8 in ONNX Runtime's form ({unsigned[0]} is uint8), which "
            "TensorRT does not take; export it with --int8_form tensorrt"
        )


def _without_ranges(trt: Any, path: Path, always_strong: bool) -> str:
    if always_strong:
        return (
            f"{path}: TensorRT {trt.__version__} takes INT8 only from Q/DQ pairs, not from a "
            "calibration cache; export the graph with --data_type int8 --int8_form tensorrt"
        )
    return (
        f"{path}: INT8 needs ranges, and the graph has no Q/DQ pairs; export it with --data_type "
        "int8 --int8_form tensorrt, or give a calibration cache (--cal_cache_file)"
    )
