"""Networks as TensorRT engines, by the Python API of TensorRT 8.5 to 11.

An engine is not portable: it runs on the kind of GPU and with the version of TensorRT that it was
built for. What the network is stands beside it, in ``<engine>.json``:
``{"bpnet": {...}}`` with the same contract that ONNX files of ours carry.
"""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpnet.encryption import missing_model
from bpnet.errors import MissingLibraryError, ModelError
from bpnet.files import sidecar_path
from bpnet.inference.cuda_memory import Buffer, CudaMemory, Stream, missing_gpu, open_cuda
from bpnet.inference.description import Describe, describe_model
from bpnet.inference.preprocess import to_tensor
from bpnet.inference.tensorrt_library import Messages, import_tensorrt, make_logger
from bpnet.inference.tensors import Tensor, complete_contract, in_batches, make_maps
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps

logger = logging.getLogger(__name__)

SIDECAR_KEY = "bpnet"
TYPES: dict[str, type[np.generic]] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "UINT8": np.uint8,
}


def open_engine(
    path: Path, *, describe: Describe | None = None, stage: int | None = None
) -> "TensorRTBackend":
    """The backend of an engine file.

    Raises:
        ModelError: The file is missing, is no engine for this machine, or nobody says what it is.
        MissingLibraryError: There is no NVIDIA GPU, driver, TensorRT or cuda-python.
    """
    if not path.exists():
        raise missing_model(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    beside = read_sidecar(path)
    contract, said = (describe_model(path, describe), None) if beside is None else beside
    if said is not None and said.get("sha256") not in (None, sha256(data).hexdigest()):
        logger.warning("%s is of another engine: its SHA-256 differs", sidecar_path(path))
    fault = missing_gpu()
    if fault is not None:
        raise MissingLibraryError(
            f"{path} needs an NVIDIA GPU, but {fault}; "
            "use the .onnx file that the engine was built from"
        )
    return TensorRTBackend(
        path,
        data,
        contract,
        tensorrt=import_tensorrt(str(path)),
        memory=open_cuda(),
        stage=stage,
        built=said,
    )


def read_sidecar(model: Path) -> tuple[ModelContract, dict[str, Any]] | None:
    """The contract in the sidecar of a model file, and all that it says; None where it has none.

    Raises:
        ModelError: The sidecar cannot be read or says something else.
    """
    path = sidecar_path(model)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get(SIDECAR_KEY), dict):
        raise ModelError(f'{path}: expected {{"{SIDECAR_KEY}": {{...}}}}, the model\'s contract')
    try:
        return ModelContract.from_dict(said[SIDECAR_KEY]), said
    except ModelError as error:
        raise ModelError(f"{path}: {error}; export the model again") from error


class TensorRTBackend:
    """An engine and how to feed it. Any number of threads may call it at once.

    Each thread gets an execution context, a stream and buffers of its own, so what they ask for
    runs side by side.

    Attributes:
        contract: what the network is; ``height`` and ``width`` where the engine fixes them.
        runs_on: TensorRT and its version.
    """

    def __init__(
        self,
        path: Path,
        data: bytes,
        contract: ModelContract,
        *,
        tensorrt: Any,
        memory: CudaMemory,
        stage: int | None = None,
        built: Mapping[str, Any] | None = None,
    ) -> None:
        """Make an engine of ``data``, the content of the file ``path``.

        Args:
            path: stands for the engine in errors.
            data: the serialized engine.
            contract: what is said of the network.
            tensorrt: the module.
            memory: of the GPU.
            stage: whose maps are read, from 1; None: the last.
            built: what the sidecar says of the build: ``tensorrt``, ``gpu``,
                ``version_compatible``.

        Raises:
            ModelError: This TensorRT cannot run it, or it is no PAF network.
        """
        self._path, self._memory = path, memory
        self._said = Messages()
        self.runs_on = f"TensorRT {tensorrt.__version__}"
        with memory.current():
            memory.make_stream()  # fails where the driver is too old, which TensorRT crashes at
            self._logger = make_logger(tensorrt, self._said)
            if hasattr(tensorrt, "init_libnvinfer_plugins"):  # the lean runtime has none
                tensorrt.init_libnvinfer_plugins(self._logger, "")
            self._runtime = self._start(tensorrt)
            if built and built.get("version_compatible") is True:
                # Such an engine carries a runtime of its own version as code of the host.
                self._runtime.engine_host_code_allowed = True
            engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise ModelError(
                f"{path} cannot run here: an engine needs the TensorRT version and the kind of GPU "
                f"that it was built for{_origin(built or {})}, this is {self.runs_on}"
                f"{self._said.last()}; build it again from its .onnx file"
            )
        if not hasattr(engine, "num_io_tensors"):
            raise ModelError(f"{path} needs TensorRT 8.5 or newer, this is {self.runs_on}")
        self._engine = engine
        inputs, self._outputs = _list_tensors(engine, tensorrt, path)
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            found = ", ".join(map(str, inputs)) or "none"
            raise ModelError(f"{path}: expected one input of four axes, found {found}")
        self._types = {
            each.name: _type_of(engine, each, path) for each in (*inputs, *self._outputs)
        }
        image, self._batches, self._sizes = _within_profile(engine, inputs[0])
        self.contract: ModelContract = complete_contract(
            contract, path, image, self._outputs, stage=stage
        )
        self._lanes = threading.local()

    def predict(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        """The maps of each of ``images``, (N, H, W, 3) uint8 RGB."""
        least, most = self._batches
        with self._memory.current():
            return in_batches(images, self._run, least=least, most=most)

    def _start(self, tensorrt: Any) -> Any:
        """TensorRT's runtime."""
        try:
            return tensorrt.Runtime(self._logger)
        except TypeError as error:  # pybind11: the factory function returned nullptr
            raise ModelError(
                f"{self._path}: {self.runs_on} cannot start with this machine's GPU and driver"
                f"{self._said.last(warnings=True)}; update the driver, or use the .onnx file"
            ) from error

    def _run(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        name = self.contract.input_name
        values = to_tensor(images, self.contract, self._types[name])
        lane = self._lane()
        shape = tuple(int(side) for side in values.shape)
        if not lane.context.set_input_shape(name, shape):
            raise ModelError(
                f"{self._path} cannot run images {shape}: it was built for {self._sizes}"
                f"{self._said.last()}; change input_shape and batch_size, or build it again"
            )
        arrays = {name: self._array(lane, name, shape)}
        np.copyto(arrays[name], values)
        self._memory.upload(lane.buffers[name], values.nbytes, lane.stream)
        for output in self._outputs:
            found = tuple(int(side) for side in lane.context.get_tensor_shape(output.name))
            arrays[output.name] = self._array(lane, output.name, found)
        self._execute(lane, shape)
        wanted = self.contract.heatmap_output, self.contract.paf_output
        for output_name in wanted:
            size = arrays[output_name].nbytes
            self._memory.download(lane.buffers[output_name], size, lane.stream)
        self._memory.wait(lane.stream)
        heatmaps, pafs = (arrays[each].copy() for each in wanted)  # the next run overwrites them
        height, width = images.shape[1:3]
        return make_maps(heatmaps, pafs, self.contract, self._path, size=(height, width))

    def _execute(self, lane: "_Lane", shape: tuple[int, ...]) -> None:
        if not lane.context.execute_async_v3(lane.stream.address):
            raise ModelError(f"{self._path} failed on images {shape}{self._said.last()}")

    def _lane(self) -> "_Lane":
        """This thread's way to the GPU."""
        lane: _Lane | None = getattr(self._lanes, "own", None)
        if lane is None:
            context = self._engine.create_execution_context()
            if context is None:
                raise ModelError(f"{self._path}: the GPU has no room for it{self._said.last()}")
            lane = self._lanes.own = _Lane(context, self._memory.make_stream(), {})
        return lane

    def _array(self, lane: "_Lane", name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The host side of a tensor of ``shape``; the engine is told of the GPU side."""
        if min(shape) < 1:
            raise ModelError(f"{self._path}: tensor {name} has no definite shape: {shape}")
        dtype = np.dtype(self._types[name])
        size = int(np.prod(shape)) * dtype.itemsize
        if name not in lane.buffers or lane.buffers[name].host.size < size:
            lane.buffers[name] = self._memory.allocate(size)
        if not lane.context.set_tensor_address(name, lane.buffers[name].address):
            raise ModelError(f"{self._path}: tensor {name} has no place{self._said.last()}")
        return lane.buffers[name].host[:size].view(dtype).reshape(shape)


@dataclass
class _Lane:
    """What one thread runs an engine with; memory that is outgrown is freed with its buffer."""

    context: Any
    stream: Stream
    buffers: dict[str, Buffer]


def _origin(built: Mapping[str, Any]) -> str:
    """What the sidecar says an engine was built with, within a sentence."""
    version, gpu = built.get("tensorrt"), built.get("gpu")
    parts = [f"TensorRT {version}"] * bool(version) + [str(gpu)] * bool(gpu)
    return f" ({', '.join(parts)})" if parts else ""


def _list_tensors(engine: Any, tensorrt: Any, path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs; -1 in a shape: any number."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape = tuple(side if side >= 0 else None for side in engine.get_tensor_shape(name))
        if engine.get_tensor_format(name) != tensorrt.TensorFormat.LINEAR:
            raise ModelError(
                f"{path}: tensor {name} has a packed format; build the engine with plain (LINEAR) "
                "inputs and outputs"
            )
        is_input = engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(Tensor(name, shape))
    return inputs, outputs


def _type_of(engine: Any, tensor: Tensor, path: Path) -> type[np.generic]:
    name = engine.get_tensor_dtype(tensor.name).name
    if name not in TYPES:
        raise ModelError(
            f"{path}: tensor {tensor.name} is {name}; expected one of {', '.join(TYPES)}"
        )
    return TYPES[name]


def _within_profile(engine: Any, image: Tensor) -> tuple[Tensor, tuple[int, int], str]:
    """The input with the sides that the first profile fixes; its batches; its sizes in words."""
    if None not in image.shape:
        return image, (image.shape[0], image.shape[0]), str(list(image.shape))
    least, _, most = (
        tuple(map(int, each)) for each in engine.get_tensor_profile_shape(image.name, 0)
    )
    shape = _fixed_sides(least, most)
    return Tensor(image.name, shape), (least[0], most[0]), f"{list(least)} to {list(most)}"


def _fixed_sides(least: Sequence[int], most: Sequence[int]) -> tuple[int | None, ...]:
    return tuple(low if low == high else None for low, high in zip(least, most, strict=True))
