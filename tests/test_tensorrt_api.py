"""What our code asks of TensorRT, and what ``engines.py`` plays, is what the real libraries have.

Each part needs the library it reads; ``test_tensorrt_nvidia.py`` runs this file with NVIDIA's own
bindings of TensorRT 8.6, 10 and 11. They import without a GPU over stubs of their libraries.
"""

import ast
import importlib
import io
from pathlib import Path

import engine_builders
import pytest
from engines import Cuda, ICudaEngine, IExecutionContext, ILogger, Runtime
from spots import CONTRACT
from test_tensorrt_build import make_graph
from tqdm import tqdm

import bpnet
from bpnet.errors import ModelError
from bpnet.export.engine_progress import make_monitor
from bpnet.export.engine_types import make_calibrator
from bpnet.export.tensorrt import EngineSettings, build_with
from bpnet.inference.tensorrt_library import Messages, make_logger

FILES = (
    *("export/tensorrt.py", "export/engine_types.py"),
    *("inference/tensorrt_backend.py", "inference/tensorrt_library.py"),
)
OBJECTS = {  # what our code calls the objects of TensorRT; "": the module
    **dict.fromkeys(["trt", "tensorrt", "self._trt"], ""),
    **dict.fromkeys(["builder", "self._builder"], "Builder"),
    **dict.fromkeys(["config", "self._config"], "IBuilderConfig"),
    **dict.fromkeys(["engine", "self._engine"], "ICudaEngine"),
    **dict.fromkeys(["network", "self._network"], "INetworkDefinition"),
    "parser": "OnnxParser",
    "parser.get_error(index)": "ParserError",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "self._network.get_input(0)": "ITensor",
    "self._config.get_timing_cache()": "ITimingCache",
    "self._runtime": "Runtime",
    "lane.context": "IExecutionContext",
}
IN_LOOPS = {  # names that are not written beside their owner
    ("BuilderFlag", "FP16"),
    ("BuilderFlag", "INT8"),
    ("BuilderFlag", "OBEY_PRECISION_CONSTRAINTS"),
    ("BuilderFlag", "STRICT_TYPES"),
    ("Builder", "platform_has_fast_fp16"),
    ("Builder", "platform_has_fast_int8"),
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"),
}
ONLY_IN = {  # first and last major version, of 8.6 to 11
    **dict.fromkeys(IN_LOOPS, (8, 10)),
    ("BuilderFlag", "STRICT_TYPES"): (8, 8),
    ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"): (10, 11),
    ("", "IInt8EntropyCalibrator2"): (8, 10),
    ("", "IProgressMonitor"): (10, 11),
    ("IBuilderConfig", "int8_calibrator"): (8, 10),
    ("IBuilderConfig", "progress_monitor"): (10, 11),
    ("IBuilderConfig", "set_calibration_profile"): (8, 10),
    ("IBuilderConfig", "max_workspace_size"): (8, 8),
    ("ILayer", "precision"): (8, 10),
}


def asked() -> set[tuple[str, str]]:
    """Every (class, name) that our code asks of TensorRT, by itself or by getattr and hasattr."""
    found = set(IN_LOOPS)
    for file in FILES:
        text = (Path(bpnet.__file__).parent / file).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute):
                owner, name = ast.unparse(node.value), node.attr
            elif (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("getattr", "hasattr")
                and isinstance(node.args[1], ast.Constant)
            ):
                owner, name = ast.unparse(node.args[0]), node.args[1].value
            else:
                continue
            module, _, inner = owner.rpartition(".")
            if owner in OBJECTS:
                found.add((OBJECTS[owner], name))
            elif OBJECTS.get(module) == "":  # trt.BuilderFlag.TF32
                found.add((inner, name))
    return {(owner, name) for owner, name in found if not name.startswith("__")}


def test_the_list_of_what_is_asked_is_not_empty() -> None:
    found = asked()
    assert {("Builder", "build_serialized_network"), ("BuilderFlag", "TF32")} <= found
    assert {("IExecutionContext", "execute_async_v3"), ("ITimingCache", "serialize")} <= found
    assert set(ONLY_IN) <= found
    assert len(found) > 60


@pytest.fixture(scope="module")
def tensorrt():
    return pytest.importorskip("tensorrt", exc_type=ImportError)


def test_tensorrt_has_every_name_that_is_asked_for(tensorrt) -> None:
    major = int(tensorrt.__version__.split(".")[0])
    for owner, name in sorted(asked()):
        there = hasattr(getattr(tensorrt, owner) if owner else tensorrt, name)
        assert there == allowed((owner, name), major), f"{owner}.{name} in {tensorrt.__version__}"


def allowed(name: tuple[str, str], major: int) -> bool:
    first, last = ONLY_IN.get(name, (8, 11))
    return first <= major <= last


PLAYED = (
    *(ICudaEngine, IExecutionContext, Runtime, ILogger),
    *(engine_builders.Builder, engine_builders.INetworkDefinition, engine_builders.OnnxParser),
    *(engine_builders.IOptimizationProfile, engine_builders.ITimingCache),
    engine_builders.IBuilderConfig,
)
OWN = {"flags", "pools", "profiles", "timing_cache", "calibration_profile"}  # memory of the play


@pytest.mark.parametrize("played", PLAYED)
def test_tensorrt_has_every_method_that_is_played(tensorrt, played: type) -> None:
    real = getattr(tensorrt, played.__name__)
    major = int(tensorrt.__version__.split(".")[0])
    names = [
        name
        for name in vars(played)
        if not name.startswith("_") and name not in OWN
        if allowed((played.__name__, name), major)
    ]
    assert [name for name in names if not hasattr(real, name)] == []


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0", "11.4.0"])
def test_a_played_generation_has_the_flags_of_the_real_one(tensorrt, version: str) -> None:
    if version.split(".")[0] != tensorrt.__version__.split(".")[0]:
        return
    played = engine_builders.make_builder(version)
    for group in ("BuilderFlag", "NetworkDefinitionCreationFlag"):
        real = getattr(tensorrt, group)
        for owner, name in asked():
            if owner == group and name != "STRICT_TYPES":
                assert hasattr(real, name) == hasattr(getattr(played, group), name), name
        for flag in getattr(played, group):
            assert hasattr(real, flag.name)
    assert hasattr(tensorrt, "IInt8EntropyCalibrator2") == hasattr(
        played, "IInt8EntropyCalibrator2"
    )


def test_tensorrts_values_have_the_names_that_are_played(tensorrt) -> None:
    assert (tensorrt.DataType.FLOAT.name, tensorrt.DataType.HALF.name) == ("FLOAT", "HALF")
    assert tensorrt.TensorIOMode.INPUT.name == "INPUT"
    assert tensorrt.TensorFormat.LINEAR.name == "LINEAR"
    assert tensorrt.ILogger.INTERNAL_ERROR != tensorrt.ILogger.ERROR
    assert list(tensorrt.Dims((1, -1))) == [1, -1]
    for flag in ("EXPLICIT_BATCH", "STRONGLY_TYPED"):
        real = getattr(tensorrt.NetworkDefinitionCreationFlag, flag, None)
        assert real is None or int(real) in (0, 1)


def test_a_logger_of_ours_is_one_of_tensorrts(tensorrt) -> None:
    said = Messages()
    logger = make_logger(tensorrt, said)
    logger.log(tensorrt.ILogger.WARNING, "never mind")
    assert said.last() == ""
    logger.log(tensorrt.ILogger.WARNING, "CUDA does not start")
    assert said.last(warnings=True) == " (TensorRT says: CUDA does not start)"
    logger.log(tensorrt.ILogger.ERROR, "magic tag\n")
    assert said.last() == " (TensorRT says: magic tag)"


def test_a_calibrator_of_ours_is_one_of_tensorrts(tensorrt) -> None:
    if hasattr(tensorrt, "IInt8EntropyCalibrator2"):
        calibrator = make_calibrator(tensorrt, b"TRT-8601-EntropyCalibration2\n")
        assert isinstance(calibrator, tensorrt.IInt8EntropyCalibrator2)
        assert calibrator.read_calibration_cache().startswith(b"TRT-8601")
        assert calibrator.get_batch(["x"]) is None
        names = {"get_batch_size", "get_batch", "read_calibration_cache"}
        assert names < set(dir(tensorrt.IInt8EntropyCalibrator2))


def test_a_monitor_of_ours_is_one_of_tensorrts(tensorrt) -> None:
    if hasattr(tensorrt, "IProgressMonitor"):
        names = {"phase_start", "step_complete", "phase_finish"}
        assert names < set(dir(tensorrt.IProgressMonitor))
        with tqdm(file=io.StringIO()) as bar:
            monitor = make_monitor(tensorrt, bar)
            monitor.phase_start("Building engine", None, 6)
            assert monitor.step_complete("Building engine", 0) is True
            assert (bar.n, bar.total) == (1, 6)


def test_a_builder_without_a_gpu_ends_in_a_sentence(tensorrt, tmp_path: Path) -> None:
    try:
        tensorrt.Builder(make_logger(tensorrt, Messages()))
    except TypeError:
        with pytest.raises(ModelError, match=r"TensorRT .* cannot start with this machine's GPU"):
            build_with(
                tensorrt,
                make_graph(),
                CONTRACT,
                EngineSettings(),
                tmp_path / "toy.engine",
                gpu="none",
            )


@pytest.mark.parametrize(
    ("owner", "name", "words"),
    [
        ("ICudaEngine", "get_tensor_profile_shape", "name: str, profile_index: "),
        ("IExecutionContext", "set_input_shape", "name: str, shape: "),
        ("IExecutionContext", "set_tensor_address", "name: str, memory: "),
        ("IExecutionContext", "execute_async_v3", "stream_handle: "),
        ("IOptimizationProfile", "set_shape", "input: str, min: "),
        ("IBuilderConfig", "create_timing_cache", "serialized_timing_cache: "),
        ("IBuilderConfig", "set_timing_cache", "ignore_mismatch: bool) -> bool"),
        ("IBuilderConfig", "set_memory_pool_limit", "pool_size: "),
        ("IBuilderConfig", "add_optimization_profile", ") -> int"),
        ("Builder", "create_network", "flags: "),
        ("Builder", "build_serialized_network", ") -> tensorrt"),
        ("OnnxParser", "parse", "model: "),
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
