"""What ``engines.py`` plays is what the real libraries have. Each part needs the library it reads.

The bindings import without a GPU where their shared libraries, or stubs of them, are found.
"""

import importlib

import pytest
from engines import Cuda, ICudaEngine, IExecutionContext, ILogger, Runtime


@pytest.fixture(scope="module")
def tensorrt():
    return pytest.importorskip("tensorrt", exc_type=ImportError)


@pytest.mark.parametrize("played", [ICudaEngine, IExecutionContext, Runtime, ILogger])
def test_tensorrt_has_every_method_that_is_played(tensorrt, played: type) -> None:
    real = getattr(tensorrt, played.__name__)
    names = [name for name in vars(played) if not name.startswith("_")]
    assert [name for name in names if not hasattr(real, name)] == []


def test_tensorrts_values_have_the_names_that_are_played(tensorrt) -> None:
    assert (tensorrt.DataType.FLOAT.name, tensorrt.DataType.HALF.name) == ("FLOAT", "HALF")
    assert tensorrt.TensorIOMode.INPUT.name == "INPUT"
    assert tensorrt.TensorFormat.LINEAR.name == "LINEAR"
    assert tensorrt.ILogger.INTERNAL_ERROR != tensorrt.ILogger.ERROR
    assert hasattr(tensorrt, "init_libnvinfer_plugins")
    assert list(tensorrt.Dims((1, -1))) == [1, -1]


def test_a_logger_of_ours_is_one_of_tensorrts(tensorrt) -> None:
    from bpnet.inference.tensorrt_backend import _make_logger, _Messages

    said = _Messages()
    logger = _make_logger(tensorrt, said)
    logger.log(tensorrt.ILogger.WARNING, "never mind")
    assert said.last() == ""
    logger.log(tensorrt.ILogger.ERROR, "magic tag\n")
    assert said.last() == " (TensorRT says: magic tag)"


@pytest.mark.parametrize(
    ("owner", "name", "words"),
    [
        ("ICudaEngine", "get_tensor_profile_shape", "name: str, profile_index: "),
        ("IExecutionContext", "set_input_shape", "name: str, shape: "),
        ("IExecutionContext", "set_tensor_address", "name: str, memory: "),
        ("IExecutionContext", "execute_async_v3", "stream_handle: "),
    ],
)
def test_tensorrts_methods_take_what_they_are_given(
    tensorrt, owner: str, name: str, words: str
) -> None:
    assert words in getattr(getattr(tensorrt, owner), name).__doc__


def test_cuda_python_has_every_function_that_is_played() -> None:
    for module in ("cuda.bindings.runtime", "cuda.cudart"):
        try:
            runtime = importlib.import_module(module)
        except ImportError:
            continue
        played = [name for name in vars(Cuda) if name.startswith("cuda")]
        assert [name for name in played if not hasattr(runtime, name)] == []
        assert int(runtime.cudaMemcpyKind.cudaMemcpyHostToDevice) == 1
        assert int(runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost) == 2
        assert int(runtime.cudaStream_t(7)) == 7
        return
    pytest.skip("cuda-python is not installed")
