"""Small bundles, built and loaded, for the tests of what ``export --bundle`` writes."""

import ctypes
import dataclasses
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bpnet.export.bundle import write_bundle
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton

STUBS = Path(__file__).resolve().parent / "nvdsinfer"
PAIR = Skeleton("pair", ("top", "bottom"), ((0, 1),), (0, 1), (0.1, 0.1), {}, ((255, 0, 0),))
CONTRACT = ModelContract(
    PAIR,
    layout="nhwc",
    input_name="input_1:0",
    paf_output="paf_out/BiasAdd:0",
    heatmap_output="heatmap_out/BiasAdd:0",
    height=64,
    width=96,
)
MOST = 32  # people


def write_network(path: Path, contract: ModelContract, batch: int | str = "batch") -> Path:
    """A file whose input and outputs are those of ``contract``; what it computes is of no use."""
    height, width = contract.height or 0, contract.width or 0
    shapes = {contract.input_name: (height, width, 3)}
    for name, channels, stride in (
        (contract.paf_output, contract.skeleton.paf_channels, contract.paf_stride),
        (contract.heatmap_output, contract.skeleton.heatmap_channels, contract.heatmap_stride),
    ):
        shapes[name] = (int(height / stride), int(width / stride), channels)
    values = []
    for name, (rows, columns, channels) in shapes.items():
        shape = (
            (rows, columns, channels) if contract.layout == "nhwc" else (channels, rows, columns)
        )
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, *shape)))
    graph = helper.make_graph([], "empty", values[:1], values[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph), str(path))
    return path


def make_bundle(folder: Path, contract: ModelContract = CONTRACT, **more: Path) -> Path:
    """A bundle of a network that computes nothing."""
    fp32 = write_network(folder / "models/pose.onnx", contract)
    write_bundle(folder, {"fp32": fp32, **more}, contract)
    return folder


def build(
    bundle: Path, target: str, *, objects_of: Path | None = None, includes: str = str(STUBS)
) -> Path:
    """Run ``make``; what does not depend on the network is taken of a bundle that is built."""
    if objects_of is not None:
        for built in (objects_of / "decoder").glob("*.o"):
            if built.name != "network.o":
                shutil.copyfile(built, bundle / "decoder" / built.name)
    command = ["make", "-j2", target, f"DEEPSTREAM_INCLUDES={includes}", "CXXFLAGS=-O1 -Werror"]
    result = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return bundle


def load_module(path: Path) -> ModuleType:
    """A program of a bundle as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    searched = list(sys.path)
    sys.modules.pop("bpnet_people", None)  # of another bundle
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = searched
    return module


class Parser:
    """The parser of a bundle, called as Gst-nvinfer calls it."""

    def __init__(self, bundle: Path, contract: ModelContract) -> None:
        caller = bundle / "call_parser.so"
        command = ["g++", "-std=c++17", "-shared", "-fPIC", STUBS / "call_parser.cpp", "-o", caller]
        subprocess.run([*map(str, command), "-ldl"], check=True)
        self._call = ctypes.CDLL(str(caller)).call_parser
        self._library = str(bundle / "deepstream/libnvdsinfer_bpnet.so").encode()
        self._contract = contract

    def __call__(
        self,
        heatmaps: NDArray[np.float32],
        pafs: NDArray[np.float32],
        *,
        threshold: float = 0.0,
        names: Mapping[str, str] | None = None,
        kind: int = 0,
        boxes_only: bool = False,
    ) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
        """What the parser returns, boxes (P, 5) and keypoints (P, K, 3) of outputs of one image."""
        contract = dataclasses.replace(self._contract, **(names or {}))
        keypoints = np.zeros((MOST, len(contract.skeleton.keypoints), 3), np.float32)
        boxes = np.zeros((MOST, 5), np.float32)
        heatmaps, pafs = np.ascontiguousarray(heatmaps), np.ascontiguousarray(pafs)
        axes = ctypes.c_uint * 3
        count = self._call(
            self._library,
            contract.heatmap_output.encode(),
            _pointer(heatmaps),
            axes(*heatmaps.shape),
            contract.paf_output.encode(),
            _pointer(pafs),
            axes(*pafs.shape),
            kind,
            contract.width,
            contract.height,
            ctypes.c_float(threshold),
            _pointer(boxes),
            None if boxes_only else _pointer(keypoints),
            MOST,
        )
        return count, boxes[: max(count, 0)], keypoints[: max(count, 0)]


def outputs_of(
    maps: PoseMaps, contract: ModelContract, *, repeats: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heatmaps and PAFs as the network writes them, PAFs upsampled by repetition."""
    pafs = maps.pafs.repeat(repeats, axis=0).repeat(repeats, axis=1)
    both = [np.asarray(values, np.float32) for values in (maps.heatmaps, pafs)]
    if contract.layout == "nchw":
        both = [values.transpose(2, 0, 1) for values in both]
    return np.ascontiguousarray(both[0]), np.ascontiguousarray(both[1])


def _pointer(values: NDArray[np.float32]) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.ctypes.data)
