"""Engines built by a TensorRT of our own (``engine_builders.py``) in four generations."""

import json
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_builders import make_builder
from onnx import TensorProto, helper
from spots import CONTRACT
from tqdm import tqdm

from bpnet.errors import DataError, MissingLibraryError, ModelError, SpecError
from bpnet.export.engine_types import carried_type
from bpnet.export.tensorrt import EngineSettings, build_engine, build_with
from bpnet.inference.cuda_memory import missing_gpu
from bpnet.inference.tensorrt_backend import read_sidecar

GPU = "NVIDIA T4 (sm 7.5)"
ENGINES = ["8.2.1", "8.6.1", "10.3.0", "11.4.0"]


def make_graph(
    data_type: str = "fp32", *, batch: int | str = "batch", pairs: int = TensorProto.INT8
) -> onnx.ModelProto:
    """A convolution of NCHW images of 16x24 pixels, in ``data_type``."""
    half = "fp16" in data_type
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    weight = helper.make_tensor("w", kind, (3, 3, 1, 1), np.eye(3).ravel())
    nodes, source, values = [], "x", [weight]
    if "int8" in data_type:
        scale = helper.make_tensor("s", kind, (), [0.5])
        values += [scale, helper.make_tensor("z", pairs, (), [0])]
        nodes += [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ]
        source = "d"
    nodes += [
        helper.make_node("Conv", [source, "w"], ["c"], name="conv"),
        helper.make_node("MaxPool", ["c"], ["heatmap_out"], kernel_shape=[8, 8], strides=[8, 8]),
    ]
    shape = (batch, 3, 16, 24)
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info("heatmap_out", kind, (batch, 3, 2, 3))]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def build(version: str, folder: Path, *, graph: onnx.ModelProto | None = None, **settings) -> dict:
    """What the builder did."""
    cores = settings.pop("cores", 0)
    engine = folder / "toy.engine"
    build_with(
        make_builder(version, dla_cores=cores),
        make_graph() if graph is None else graph,
        CONTRACT,
        EngineSettings(**settings),
        engine,
        gpu=GPU,
    )
    return json.loads(engine.read_bytes())


def write_calibration(path: Path, header: str = "TRT-8601-EntropyCalibration2") -> Path:
    scale = struct.pack(">f", 1 / 127).hex()
    path.write_text(f"{header}\nx: {scale}\nc: {scale}\nheatmap_out: {scale}\n")
    return path


@pytest.mark.parametrize("version", ENGINES)
def test_every_generation_builds_fp32_with_the_batches_and_the_workspace(
    version: str, tmp_path: Path
) -> None:
    said = build(version, tmp_path, min_batch=1, opt_batch=4, max_batch=8, workspace=1 << 28)
    assert said["profiles"] == [{"x": [[1, 3, 16, 24], [4, 3, 16, 24], [8, 3, 16, 24]]}]
    space = said["max_workspace_size"] if version == "8.2.1" else said["pools"]["WORKSPACE"]
    assert space == 1 << 28
    assert said["flags"] == ["TF32"]


@pytest.mark.parametrize(
    ("version", "flags"),
    [("8.6.1", ["FP16", "TF32"]), ("10.3.0", ["FP16", "TF32"]), ("11.4.0", ["TF32"])],
)
def test_fp16_of_a_float32_graph_is_a_flag_or_from_11_the_graphs_own_type(
    version: str, flags: list[str], tmp_path: Path
) -> None:
    said = build(version, tmp_path, data_type="fp16")
    assert said["flags"] == flags
    assert said["half"] == said["strong"] == (version == "11.4.0")


@pytest.mark.parametrize("data_type", ["fp16", "int8", "int8+fp16"])
@pytest.mark.parametrize("version", ENGINES)
def test_a_graph_of_the_engines_own_type_is_strongly_typed_from_10(
    version: str, data_type: str, tmp_path: Path
) -> None:
    said = build(version, tmp_path, graph=make_graph(data_type), data_type=data_type)
    assert said["strong"] == (version in ("10.3.0", "11.4.0"))
    flags = {name.upper() for name in data_type.split("+")} if not said["strong"] else set()
    assert set(said["flags"]) == {"TF32"} | flags


def test_pairs_with_a_float32_rest_become_int8_with_a_float16_rest(tmp_path: Path) -> None:
    graph = make_graph("int8")
    said = build("8.6.1", tmp_path, graph=graph, data_type="int8+fp16")
    assert (said["flags"], said["half"]) == (["FP16", "INT8", "TF32"], False)
    said = build("11.4.0", tmp_path, graph=graph, data_type="int8+fp16")
    assert (said["strong"], said["half"]) == (True, True)
    assert carried_type(graph) == "int8"  # the caller's own is as it was


@pytest.mark.parametrize(("version", "number"), [("8.6.1", 8601), ("10.3.0", 100300)])
def test_a_calibration_cache_of_any_release_gets_this_ones_header(
    version: str, number: int, tmp_path: Path
) -> None:
    cache = write_calibration(tmp_path / "cal.bin", "TRT-7103-EntropyCalibration2")
    said = build(version, tmp_path, data_type="int8", calibration_cache=cache, max_batch=2)
    header, *scales = said["cache"].splitlines()
    assert header == f"TRT-{number}-EntropyCalibration2"
    assert scales == ["x: 3c010204", "c: 3c010204", "heatmap_out: 3c010204"]
    assert said["calibration_profile"]["x"][2] == [2, 3, 16, 24]


def test_int8_without_ranges_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"INT8 needs ranges.*--int8_form tensorrt.*cache"):
        build("10.3.0", tmp_path, data_type="int8")
    cache = write_calibration(tmp_path / "cal.bin")
    with pytest.raises(ModelError, match=r"TensorRT 11\.4\.0 takes INT8 only from Q/DQ"):
        build("11.4.0", tmp_path, data_type="int8", calibration_cache=cache)
    cache.write_text("TRT-8601-EntropyCalibration2\nelse: 3c010204\n")
    with pytest.raises(ModelError, match=r"cal\.bin was made for another network: it has no x"):
        build("10.3.0", tmp_path, data_type="int8", calibration_cache=cache)
    assert not list(tmp_path.glob("toy.engine*"))


def test_types_are_lowered_never_raised(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the graph is fp16, an engine of fp32 needs the float32"):
        build("10.3.0", tmp_path, graph=make_graph("fp16"))
    with pytest.raises(ModelError, match=r"the graph is int8, an engine of fp16"):
        build("11.4.0", tmp_path, graph=make_graph("int8"), data_type="fp16")


def test_onnx_runtimes_int8_is_refused_with_what_to_do(tmp_path: Path) -> None:
    graph = make_graph("int8", pairs=TensorProto.UINT8)
    with pytest.raises(ModelError, match=r"\(z is uint8\).*--int8_form tensorrt"):
        build("10.3.0", tmp_path, graph=graph, data_type="int8")


def test_strict_types_leave_no_choice(tmp_path: Path) -> None:
    assert build("8.6.1", tmp_path, strict_types=True)["flags"] == []  # no TF32
    said = build("8.6.1", tmp_path, data_type="fp16", strict_types=True)
    assert "OBEY_PRECISION_CONSTRAINTS" in said["flags"]
    assert said["held"] == ["HALF", "None"]  # the convolution, not the pooling
    assert "STRICT_TYPES" in build("8.2.1", tmp_path, data_type="fp16", strict_types=True)["flags"]
    said = build("10.3.0", tmp_path, data_type="fp16", strict_types=True)
    assert (said["strong"], said["half"], said["held"][0]) == (True, True, "None")
    cache = write_calibration(tmp_path / "cal.bin")
    held = {"strict_types": True, "calibration_cache": cache}
    assert build("10.3.0", tmp_path, data_type="int8", **held)["held"][0] == "INT8"


def test_a_fixed_batch_is_the_graphs_own(tmp_path: Path) -> None:
    said = build("10.3.0", tmp_path, graph=make_graph(batch=4))
    assert said["profiles"] == []
    assert json.loads((tmp_path / "toy.engine.json").read_text())["batches"] == [4, 4, 4]
    with pytest.raises(ModelError, match=r"takes 4 images a run.*1 to 8.*without a fixed batch"):
        build("10.3.0", tmp_path, graph=make_graph(batch=4), max_batch=8)


def test_a_graph_of_any_size_is_refused(tmp_path: Path) -> None:
    graph = make_graph()
    graph.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    with pytest.raises(ModelError, match=r"input x has no definite size.*-d"):
        build("10.3.0", tmp_path, graph=graph)


def test_options_of_the_builder_reach_it(tmp_path: Path) -> None:
    options = {"builder_level": 5, "hardware_compatible": True, "version_compatible": True}
    said = build("8.6.1", tmp_path, **options)
    assert said["builder_optimization_level"] == 5
    assert said["hardware_compatibility_level"] == "AMPERE_PLUS"
    assert "VERSION_COMPATIBLE" in said["flags"]
    for name, value in options.items():
        with pytest.raises(ModelError, match=r"needs TensorRT 8\.6, this is TensorRT 8\.2\.1"):
            build("8.2.1", tmp_path, **{name: value})


def test_a_dla_runs_what_it_can(tmp_path: Path) -> None:
    said = build("10.3.0", tmp_path, data_type="fp16", dla_core=1, cores=2)
    assert (said["default_device_type"], said["DLA_core"]) == ("DLA", 1)
    assert "GPU_FALLBACK" in said["flags"]
    with pytest.raises(ModelError, match="no DLA core 1, this machine has 0"):
        build("10.3.0", tmp_path, data_type="fp16", dla_core=1)
    with pytest.raises(ModelError, match="a DLA runs one batch size"):
        build("10.3.0", tmp_path, data_type="fp16", dla_core=0, max_batch=2, cores=1)


def test_a_timing_cache_is_read_and_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timings = tmp_path / "timings"
    build("10.3.0", tmp_path, timing_cache=timings)
    assert timings.read_bytes() == b"timings"
    build("10.3.0", tmp_path, timing_cache=timings)
    assert not caplog.messages
    timings.write_bytes(b"another GPU's")
    build("10.3.0", tmp_path, timing_cache=timings)
    assert "timings is of another TensorRT or GPU" in caplog.text
    assert timings.read_bytes() == b"timings"
    with pytest.raises(DataError, match="cannot be read"):
        build("10.3.0", tmp_path, timing_cache=tmp_path)


def test_a_sidecar_says_what_the_engine_is_and_the_engine_has_no_prefix(tmp_path: Path) -> None:
    build("10.3.0", tmp_path, data_type="fp16", min_batch=1, opt_batch=2, max_batch=4)
    engine = tmp_path / "toy.engine"
    assert engine.read_bytes().startswith(b"{")  # the plan, from its first byte
    beside = read_sidecar(engine)
    assert beside is not None
    contract, said = beside
    assert (contract.precision, contract.skeleton) == ("fp16", CONTRACT.skeleton)
    assert (said["tensorrt"], said["gpu"], said["batches"]) == ("10.3.0", GPU, [1, 2, 4])
    assert sorted(tmp_path.iterdir()) == [engine, tmp_path / "toy.engine.json"]


def test_what_the_parser_and_the_builder_say_is_passed_on(tmp_path: Path) -> None:
    graph = make_graph()
    graph.graph.node[1].domain = "com.example"
    with pytest.raises(ModelError, match=r"TensorRT 11\.4\.0 cannot read the graph: no importer"):
        build("11.4.0", tmp_path, graph=graph)
    trt = make_builder("10.3.0")

    def refuse(logger):
        logger.log(trt.ILogger.WARNING, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt.Builder = refuse
    with pytest.raises(ModelError, match=r"TensorRT 10\.3\.0 cannot start.*error: 35"):
        build_with(trt, graph, CONTRACT, EngineSettings(), tmp_path / "toy.engine", gpu=GPU)


class Interrupted(tqdm):
    """A bar during whose second step the user presses Ctrl-C."""

    def update(self, n: float = 1) -> None:
        if self.n:
            raise KeyboardInterrupt
        self.n += n


def test_ctrl_c_ends_the_build_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bpnet.export.tensorrt.tqdm", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        build("10.3.0", tmp_path)
    assert not list(tmp_path.iterdir())
    build("8.6.1", tmp_path)  # it has no monitor


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data_type": "bf16"}, "one of fp32, fp16, int8, int8\\+fp16, found 'bf16'"),
        ({"opt_batch": 4}, "found 1, 4 and 1"),
        ({"workspace": 0}, "found 0"),
        ({"builder_level": 6}, "0 to 5, found 6"),
        ({"dla_core": -1, "data_type": "fp16"}, "count from 0"),
        ({"dla_core": 0}, "fp16 and int8 only"),
    ],
)
def test_impossible_settings_are_named(settings: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        EngineSettings(**settings)


@pytest.mark.skipif(missing_gpu() is None, reason="there is a GPU")
def test_without_a_gpu_building_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingLibraryError, match=r"toy\.engine cannot be built here.*driver"):
        build_engine(make_graph(), CONTRACT, EngineSettings(), tmp_path / "toy.engine")
