"""Networks in ONNX files, run by ONNX Runtime: ours, NVIDIA's deployable, anybody's PAF network."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from bpnet.errors import ModelError
from bpnet.inference.description import Describe, describe_model
from bpnet.inference.preprocess import to_tensor
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps

METADATA_KEY = "bpnet"
FAILURES = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
)
TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


class OnnxBackend:
    """A session of ONNX Runtime and how to feed it.

    Attributes:
        contract: what the network is; ``height`` and ``width`` where the graph fixes them.
        batch: images a run where the graph fixes it, else None.
    """

    def __init__(
        self,
        path: Path,
        *,
        data: bytes | None = None,
        describe: Describe | None = None,
        stage: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Open ``path``, or ``data`` where the file was encrypted.

        Raises:
            ModelError: The file is not a PAF network in ONNX, or nobody says what it is.
        """
        self._path = path
        self._session = _open_session(path, data, threads)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise ModelError(f"{path}: expected one input of four axes, found {found or 'none'}")
        contract = self._read_contract() or describe_model(path, describe)
        self._input_name: str = inputs[0].name
        self._type = TYPES[inputs[0].type]
        shape = inputs[0].shape
        layout = {(True, False): "nchw", (False, True): "nhwc"}.get(
            (shape[1] == 3, shape[3] == 3), contract.layout
        )
        rows, columns = (shape[2], shape[3]) if layout == "nchw" else (shape[1], shape[2])
        self.batch: int | None = shape[0] if isinstance(shape[0], int) else None
        self.contract: ModelContract = dataclasses.replace(
            contract,
            layout=layout,
            input_name=inputs[0].name,
            height=rows if isinstance(rows, int) else None,
            width=columns if isinstance(columns, int) else None,
        )
        self._choose_outputs(stage)

    def predict(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        """The maps of each of ``images``, (N, H, W, 3) uint8 RGB."""
        step = self.batch or len(images)
        maps: list[PoseMaps] = []
        for start in range(0, len(images), step):
            chunk = images[start : start + step]
            if len(chunk) < step:
                rest = np.zeros((step - len(chunk), *chunk.shape[1:]), np.uint8)
                maps += self._run(np.concatenate([chunk, rest]))[: len(chunk)]
            else:
                maps += self._run(chunk)
        return maps

    def _run(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        try:
            heatmaps, pafs = self._session.run(
                [self.contract.heatmap_output, self.contract.paf_output],
                {self._input_name: to_tensor(images, self.contract, self._type)},
            )
        except FAILURES as error:
            size = "x".join(str(side) for side in images.shape[:3])
            raise ModelError(f"{self._path} failed on images {size}: {error}") from error
        skeleton = self.contract.skeleton
        heatmaps = self._as_nhwc(heatmaps, skeleton.heatmap_channels, self.contract.heatmap_output)
        pafs = self._as_nhwc(pafs, skeleton.paf_channels, self.contract.paf_output)
        heatmap_stride = images.shape[1] / heatmaps.shape[1]
        paf_stride = images.shape[1] / pafs.shape[1]
        return [
            PoseMaps(heatmap, paf, heatmap_stride, paf_stride)
            for heatmap, paf in zip(heatmaps, pafs, strict=True)
        ]

    def _as_nhwc(self, maps: NDArray[Any], channels: int, name: str) -> NDArray[np.float32]:
        """Maps (N, ..., ...) as a float32 view (N, h, w, channels)."""
        if maps.ndim == 4 and maps.shape[3] == channels and maps.shape[1] != channels:
            ordered = maps
        elif maps.ndim == 4 and maps.shape[1] == channels and maps.shape[3] != channels:
            ordered = maps.transpose(0, 2, 3, 1)
        elif maps.ndim == 4 and maps.shape[1] == maps.shape[3] == channels:
            ordered = maps if self.contract.layout == "nhwc" else maps.transpose(0, 2, 3, 1)
        else:
            raise ModelError(
                f"{self._path}: output {name} has shape {maps.shape}, "
                f"but the skeleton {self.contract.skeleton.name} needs {channels} channels"
            )
        return ordered.astype(np.float32, copy=False)

    def _read_contract(self) -> ModelContract | None:
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            return None
        try:
            return ModelContract.from_dict(json.loads(text))
        except ValueError as error:
            raise ModelError(f"{self._path}: its metadata is not JSON: {error}") from error

    def _choose_outputs(self, stage: int | None) -> None:
        """Set the names of the outputs that are the maps of ``stage``."""
        skeleton = self.contract.skeleton
        outputs = self._session.get_outputs()
        same_count = skeleton.heatmap_channels == skeleton.paf_channels
        names = []
        for wanted, channels in (
            (self.contract.heatmap_output, skeleton.heatmap_channels),
            (self.contract.paf_output, skeleton.paf_channels),
        ):
            named = [each.name for each in outputs if wanted in (each.name, _short(each.name))]
            counted = [
                each.name
                for each in outputs
                if not same_count and len(each.shape) == 4 and channels in each.shape[1::2]
            ]
            names.append(self._pick(named, counted, stage, wanted, channels))
        heatmap_output, paf_output = names
        self.contract = dataclasses.replace(
            self.contract, heatmap_output=heatmap_output, paf_output=paf_output
        )

    def _pick(
        self,
        named: Sequence[str],
        counted: Sequence[str],
        stage: int | None,
        wanted: str,
        channels: int,
    ) -> str:
        """One output: by name, else by channel count; ``stage`` counts from 1."""
        if stage is not None:
            stages = counted or named
            if stage > len(stages):
                raise ModelError(
                    f"{self._path} has the maps of {len(stages)} stage(s), not of stage {stage}; "
                    "set output_stage_to_use to null"
                )
            return stages[stage - 1]
        if named or counted:
            return named[0] if named else counted[-1]
        found = ", ".join(f"{each.name} {each.shape}" for each in self._session.get_outputs())
        raise ModelError(
            f"{self._path} has no output {wanted} and none of {channels} channels, only {found}; "
            "name its outputs under model_output in the inference spec, and its skeleton under "
            "pose_config_path"
        )


def _open_session(path: Path, data: bytes | None, threads: int | None) -> Any:
    """A session on the GPU where ONNX Runtime has one, else on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads is not None:
        options.intra_op_num_threads = threads
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    available = onnxruntime.get_available_providers()
    try:
        return onnxruntime.InferenceSession(
            str(path) if data is None else data,
            options,
            providers=[provider for provider in wanted if provider in available],
        )
    except FAILURES as error:
        raise ModelError(f"{path} is not an ONNX model that can run: {error}") from error


def _short(name: str) -> str:
    """An output's layer name: ``heatmap_out`` of ``heatmap_out/BiasAdd:0``."""
    return name.split("/", maxsplit=1)[0].split(":", maxsplit=1)[0]
