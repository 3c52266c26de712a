"""A GPU and a TensorRT of our own, in host memory, as strict as the real ones about their use.

Names, arguments and results are those of TensorRT 8.5 to 11 and of cuda-python; that the real
libraries have them is tested where those are installed (``test_tensorrt_api.py``). Work given to a
stream is done when the stream is waited for, so what forgets to wait reads old numbers.
"""

import ctypes
import enum
import json
from functools import partial
from types import SimpleNamespace

import numpy as np


class Cuda:
    """``cuda.bindings.runtime``, with a limit of memory."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self, limit: int = 10**8) -> None:
        self.limit = limit
        self.blocks: dict[int, ctypes.Array] = {}
        self.work: dict[int, list] = {}

    def cudaStreamCreate(self):  # noqa: N802
        self.work[len(self.work) + 1] = []
        return 0, len(self.work)

    def cudaStreamDestroy(self, stream):  # noqa: N802
        self.work[stream] = []
        return (0,)

    def cudaMalloc(self, size):  # noqa: N802
        if sum(map(len, self.blocks.values())) + size > self.limit:
            return 2, None
        block = (ctypes.c_uint8 * size)()
        self.blocks[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    cudaMallocHost = cudaMalloc  # noqa: N815

    def cudaFree(self, address):  # noqa: N802
        del self.blocks[address]
        return (0,)

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaGetErrorString(self, code):  # noqa: N802
        return 0, {2: b"out of memory"}[code]

    def cudaMemcpyAsync(self, target, source, size, kind, stream):  # noqa: N802
        assert target in self.blocks
        assert source in self.blocks
        assert kind in (1, 2)
        assert size <= min(len(self.blocks[target]), len(self.blocks[source]))
        self.work[stream].append(lambda: ctypes.memmove(target, source, size))
        return (0,)

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        for step in self.work[stream]:
            step()
        self.work[stream].clear()
        return (0,)


class PyCudaDriver:
    """``pycuda.driver`` over the same memory; a thread has to push the context before it works."""

    Error = RuntimeError

    def __init__(self, cuda: Cuda) -> None:
        self._cuda, self._pushed = cuda, 0

    def init(self):
        pass

    def Device(self, number):  # noqa: N802
        assert number == 0
        return SimpleNamespace(retain_primary_context=lambda: self)

    def push(self):
        self._pushed += 1

    def pop(self):
        self._pushed -= 1

    def Stream(self):  # noqa: N802
        assert self._pushed
        address = self._cuda.cudaStreamCreate()[1]
        wait = partial(self._cuda.cudaStreamSynchronize, address)
        return SimpleNamespace(handle=address, synchronize=wait)

    def pagelocked_empty(self, shape, dtype):
        assert self._pushed
        return np.empty(shape, dtype)

    def mem_alloc(self, size):
        assert self._pushed
        code, address = self._cuda.cudaMalloc(size)
        if code:
            raise self.Error("cuMemAlloc failed: out of memory")
        return DeviceAllocation(address, self._cuda)

    def memcpy_htod_async(self, target, source, stream):
        memory = np.frombuffer(self._cuda.blocks[target], np.uint8)
        self._cuda.work[stream.handle].append(partial(np.copyto, memory[: source.size], source))

    def memcpy_dtoh_async(self, target, source, stream):
        memory = np.frombuffer(self._cuda.blocks[source], np.uint8)
        self._cuda.work[stream.handle].append(partial(np.copyto, target, memory[: target.size]))


class DeviceAllocation:
    def __init__(self, address: int, cuda: Cuda) -> None:
        self._address, self._cuda = address, cuda

    def __int__(self) -> int:
        return self._address

    def free(self):
        self._cuda.cudaFree(self._address)


DataType = enum.Enum("DataType", ["FLOAT", "HALF", "INT8", "UINT8"])
TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
TensorFormat = enum.Enum("TensorFormat", ["LINEAR", "CHW16"])
DTYPES = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8}


class ILogger:
    """Needs its own ``__init__``, as every class of a binding does that is inherited from."""

    INTERNAL_ERROR, ERROR, WARNING = range(3)

    def __init__(self) -> None:
        self.ready = True


class Runtime:
    """Makes engines of the JSON of ``engine_bytes``."""

    def __init__(self, logger, cuda: Cuda) -> None:
        assert logger.ready
        self._logger, self._cuda = logger, cuda
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, data):
        try:
            said = json.loads(data)
        except ValueError:
            self._logger.log(ILogger.ERROR, "magic tag does not match")
            return None
        if said.get("version_compatible") and not self.engine_host_code_allowed:
            self._logger.log(ILogger.ERROR, "engine host code is not allowed")
            return None
        return ICudaEngine(said, self._logger, self._cuda)


class ICudaEngine:
    def __init__(self, said, logger, cuda: Cuda) -> None:
        self._said, self._logger, self._cuda = said, logger, cuda
        self._tensors = {each["name"]: each for each in said["tensors"]}
        self._contexts = 0

    @property
    def num_io_tensors(self):
        return len(self._tensors)

    def get_tensor_name(self, index):
        return list(self._tensors)[index]

    def get_tensor_shape(self, name):
        return tuple(self._tensors[name]["shape"])

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name == self.get_tensor_name(0) else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType[self._tensors[name]["type"]]

    def get_tensor_format(self, name):
        return TensorFormat[self._tensors[name].get("format", "LINEAR")]

    def get_tensor_profile_shape(self, name, profile_index):
        assert profile_index == 0
        return [tuple(shape) for shape in self._said["profile"]]

    def create_execution_context(self):
        self._contexts += 1
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._shape = engine, (0, 0, 0, 0)
        self._nhwc = engine._said["layout"] == "nhwc"
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name, shape):
        assert isinstance(shape, tuple)
        assert {type(side) for side in shape} == {int}
        fixed = [self._engine.get_tensor_shape(name)] * 3
        least, _, most = self._engine._said.get("profile", fixed)
        if not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
            self._engine._logger.log(ILogger.ERROR, "out of the profile")
            return False
        self._shape = shape
        return True

    def get_tensor_shape(self, name):
        if name == self._engine.get_tensor_name(0):
            return self._shape
        tensor = self._engine._tensors[name]
        count, height, width = self._image()
        cells = height // tensor["cell"], width // tensor["cell"]
        channels = len(tensor["bias"])
        return (count, *cells, channels) if self._nhwc else (count, channels, *cells)

    def set_tensor_address(self, name, memory):
        assert type(memory) is int
        self._addresses[name] = memory
        return memory in self._engine._cuda.blocks

    def execute_async_v3(self, stream_handle):
        if set(self._addresses) != set(self._engine._tensors):
            self._engine._logger.log(ILogger.ERROR, "a tensor has no address")
            return False
        self._engine._cuda.work[stream_handle].append(self._execute)
        return True

    def _execute(self):
        pixels = self._memory(self._engine.get_tensor_name(0)).astype(np.float32)
        pixels = pixels if self._nhwc else pixels.transpose(0, 2, 3, 1)
        count, height, width = self._image()
        for name, tensor in list(self._engine._tensors.items())[1:]:
            cell = tensor["cell"]
            blocks = pixels.reshape(count, height // cell, cell, width // cell, cell, 3)
            maps = blocks.mean(axis=(2, 4)) @ np.array(tensor["weights"], np.float32).T
            maps += np.array(tensor["bias"], np.float32)
            self._memory(name)[...] = maps if self._nhwc else maps.transpose(0, 3, 1, 2)

    def _memory(self, name):
        """The GPU side of a tensor."""
        shape = self.get_tensor_shape(name)
        dtype = np.dtype(DTYPES[self._engine._tensors[name]["type"]])
        block = self._engine._cuda.blocks[self._addresses[name]]
        size = int(np.prod(shape)) * dtype.itemsize
        assert size <= len(block)
        return np.frombuffer(block, np.uint8)[:size].view(dtype).reshape(shape)

    def _image(self):
        """Count, height and width of the input."""
        return self._shape[:3] if self._nhwc else (self._shape[0], *self._shape[2:])


def make_tensorrt(cuda: Cuda, *, version: str = "10.3.0") -> SimpleNamespace:
    """A module ``tensorrt`` whose GPU is ``cuda``."""
    return SimpleNamespace(
        __version__=version,
        ILogger=ILogger,
        Runtime=lambda logger: Runtime(logger, cuda),
        TensorFormat=TensorFormat,
        TensorIOMode=TensorIOMode,
        init_libnvinfer_plugins=lambda logger, namespace: True,
    )


def engine_bytes(
    *,
    layout: str = "nchw",
    profile: list | None = None,
    shape: tuple = (-1, 3, -1, -1),
    types: tuple[str, str] = ("FLOAT", "FLOAT"),
    names: tuple[str, str, str] = ("x", "heatmap_out", "paf_out"),
    paf_cell: int = 8,
    input_format: str = "LINEAR",
) -> bytes:
    """The network of ``spots.write_model`` as an engine: red is top, green bottom, limbs down.

    Args:
        layout: of the input and the outputs.
        profile: least, best and most shape of the input, where ``shape`` leaves it open.
        shape: of the input; -1: any.
        types: of the input and the outputs.
        names: of the input, the heatmaps and the PAFs.
        paf_cell: pixels a PAF cell.
        input_format: of the input.
    """
    profile = profile or [[1, 3, 8, 8], [4, 3, 256, 256], [4, 3, 512, 512]]
    if layout == "nhwc":
        profile = [[count, height, width, 3] for count, _, height, width in profile]
        shape = (shape[0], *shape[2:], 3)
    heatmaps = [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    open_shape = [-1, -1, -1, -1]
    said = {
        "layout": layout,
        "tensors": [
            {"name": names[0], "shape": shape, "type": types[0], "format": input_format},
            {"name": names[1], "shape": open_shape, "type": types[1], "cell": 8}
            | {"weights": heatmaps, "bias": [0, 0, 0]},
            {"name": names[2], "shape": open_shape, "type": types[1], "cell": paf_cell}
            | {"weights": [[0, 0, 0], [0, 0, 0]], "bias": [0, 1]},
        ],
    }
    return json.dumps(said | ({"profile": profile} if -1 in shape else {})).encode()
