"""GPU memory beside page-locked host memory, through cuda-python or, where that is not, pycuda."""

import contextlib
import ctypes
import importlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bpnet.errors import MissingLibraryError, ModelError

DRIVER = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
COMPUTE_CAPABILITY = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


def missing_gpu(driver: str = DRIVER) -> str | None:
    """Why no NVIDIA GPU can be used, or None: TensorRT's Runtime crashes where there is none."""
    try:
        library = ctypes.CDLL(driver)
    except OSError:
        return f"the NVIDIA driver ({driver}) is not installed"
    code = library.cuInit(0)
    if code != 0:
        return f"the NVIDIA driver cannot start (cuInit gives error {code})"
    count = ctypes.c_int(0)
    code = library.cuDeviceGetCount(ctypes.byref(count))
    if code != 0 or count.value < 1:
        return "the NVIDIA driver finds no GPU"
    return None


def gpu_name(driver: str = DRIVER) -> str:
    """The first GPU and its compute capability, such as "NVIDIA T4 (sm 7.5)".

    Raises:
        MissingLibraryError: No NVIDIA GPU can be used.
    """
    fault = missing_gpu(driver)
    if fault is not None:
        raise MissingLibraryError(f"this machine's GPU has no name, for {fault}")
    library = ctypes.CDLL(driver)
    device, sides = ctypes.c_int(0), (ctypes.c_int(0), ctypes.c_int(0))
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(device), 0)
    library.cuDeviceGetName(name, len(name), device)
    for side, attribute in zip(sides, COMPUTE_CAPABILITY, strict=True):
        library.cuDeviceGetAttribute(ctypes.byref(side), attribute, device)
    return f"{name.value.decode(errors='replace')} (sm {sides[0].value}.{sides[1].value})"


class CudaMemory(Protocol):
    """What running an engine needs of CUDA. Addresses are whole numbers."""

    def make_stream(self) -> "Stream":
        """A new stream, whose work runs beside that of others."""

    def allocate(self, size: int) -> "Buffer":
        """``size`` bytes on the host and as many on the GPU.

        Raises:
            ModelError: There is not so much memory.
        """

    def upload(self, buffer: "Buffer", size: int, stream: "Stream") -> None:
        """Send the first ``size`` bytes to the GPU, after the stream's work so far."""

    def download(self, buffer: "Buffer", size: int, stream: "Stream") -> None:
        """Fetch the first ``size`` bytes from the GPU, after the stream's work so far."""

    def wait(self, stream: "Stream") -> None:
        """Return when the stream's work is done.

        Raises:
            ModelError: It failed.
        """

    def current(self) -> contextlib.AbstractContextManager[None]:
        """A block in which this thread may use the GPU."""


class Stream:
    """Work of the GPU in the order it was given, ended with the object.

    Attributes:
        native: as its library has it.
        address: as TensorRT wants it.
    """

    def __init__(self, native: Any, address: int, end: Callable[[], object] | None = None) -> None:
        """Take over a stream that ``end`` ends; None: it ends by itself."""
        self.native = native
        self.address = address
        if end is not None:
            weakref.finalize(self, end).atexit = False  # by then CUDA is gone


class Buffer:
    """Page-locked host memory and GPU memory of the same size, freed with the object.

    Attributes:
        host: (size,) uint8.
        address: of the GPU memory.
    """

    def __init__(self, host: NDArray[np.uint8], address: int, free: Callable[[], None]) -> None:
        """Take over memory that ``free`` gives back."""
        self.host = host
        self.address = address
        weakref.finalize(self, free).atexit = False  # by then CUDA is gone


def open_cuda() -> CudaMemory:
    """CUDA through cuda-python, of whatever version, else through pycuda.

    Raises:
        MissingLibraryError: Neither is installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError:
        try:
            from cuda import cudart as runtime  # before cuda-python 12.8
        except ImportError:
            return _open_pycuda()
    return CudaPython(runtime)


def _open_pycuda() -> CudaMemory:
    try:
        driver = importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise MissingLibraryError(
            "TensorRT engines need cuda-python: pip install 'bpnet[tensorrt]' "
            "(pycuda will do where that is what the machine has)"
        ) from error
    return PyCuda(driver)


class CudaPython:
    """Through ``cuda.bindings.runtime``, or ``cuda.cudart`` as it was called before.

    Every function of it gives a tuple that starts with an error code.
    """

    def __init__(self, runtime: Any) -> None:
        """Use the first GPU."""
        self._runtime = runtime

    def make_stream(self) -> Stream:
        """A new stream."""
        native = self._call("cudaStreamCreate")
        runtime = self._runtime

        def end() -> None:
            runtime.cudaStreamDestroy(native)

        return Stream(native, int(native), end)

    def allocate(self, size: int) -> Buffer:
        """``size`` bytes on the host and as many on the GPU."""
        runtime = self._runtime
        pinned = int(self._call("cudaMallocHost", size))
        try:
            address = int(self._call("cudaMalloc", size))
        except ModelError:
            runtime.cudaFreeHost(pinned)
            raise
        host = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pinned))

        def free() -> None:
            runtime.cudaFree(address)
            runtime.cudaFreeHost(pinned)

        return Buffer(host, address, free)

    def upload(self, buffer: Buffer, size: int, stream: Stream) -> None:
        """Send the first ``size`` bytes to the GPU."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(
            "cudaMemcpyAsync", buffer.address, buffer.host.ctypes.data, size, kind, stream.native
        )

    def download(self, buffer: Buffer, size: int, stream: Stream) -> None:
        """Fetch the first ``size`` bytes from the GPU."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(
            "cudaMemcpyAsync", buffer.host.ctypes.data, buffer.address, size, kind, stream.native
        )

    def wait(self, stream: Stream) -> None:
        """Return when the stream's work is done."""
        self._call("cudaStreamSynchronize", stream.native)

    def current(self) -> contextlib.AbstractContextManager[None]:
        """Nothing to do: the runtime makes the GPU current in every thread."""
        return contextlib.nullcontext()

    def _call(self, name: str, *arguments: Any) -> Any:
        code, *values = getattr(self._runtime, name)(*arguments)
        if int(code) != 0:
            text = self._runtime.cudaGetErrorString(code)[1]
            said = text.decode() if isinstance(text, bytes) else str(code)
            raise ModelError(f"the GPU failed: {name}: {said} (error {int(code)})")
        return values[0] if values else None


class PyCuda:
    """Through pycuda, in the first GPU's primary context, which TensorRT uses too."""

    def __init__(self, driver: Any) -> None:
        """Take the primary context of the first GPU."""
        self._driver = driver
        with self._failures("init"):
            driver.init()
            self._context = driver.Device(0).retain_primary_context()

    def make_stream(self) -> Stream:
        """A new stream."""
        with self._failures("Stream"):
            native = self._driver.Stream()
        return Stream(native, int(native.handle))

    def allocate(self, size: int) -> Buffer:
        """``size`` bytes on the host and as many on the GPU."""
        with self._failures(f"mem_alloc of {size} bytes"):
            host = self._driver.pagelocked_empty(size, np.uint8)
            memory = self._driver.mem_alloc(size)
        return Buffer(host, int(memory), memory.free)

    def upload(self, buffer: Buffer, size: int, stream: Stream) -> None:
        """Send the first ``size`` bytes to the GPU."""
        with self._failures("memcpy_htod_async"):
            self._driver.memcpy_htod_async(buffer.address, buffer.host[:size], stream.native)

    def download(self, buffer: Buffer, size: int, stream: Stream) -> None:
        """Fetch the first ``size`` bytes from the GPU."""
        with self._failures("memcpy_dtoh_async"):
            self._driver.memcpy_dtoh_async(buffer.host[:size], buffer.address, stream.native)

    def wait(self, stream: Stream) -> None:
        """Return when the stream's work is done."""
        with self._failures("synchronize"):
            stream.native.synchronize()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make the context this thread's own for the length of the block."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    @contextlib.contextmanager
    def _failures(self, name: str) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise ModelError(f"the GPU failed: {name}: {error}") from error
