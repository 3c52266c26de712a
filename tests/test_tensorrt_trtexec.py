"""The lines for trtexec are those of each release, and ask for what the builder is asked for."""

import dataclasses
import shlex
from pathlib import Path

import pytest
from spots import CONTRACT

from bpnet.export.tensorrt import EngineSettings
from bpnet.export.trtexec import lines

NHWC = dataclasses.replace(
    CONTRACT, layout="nhwc", input_name="input_1:0", height=288, width=384, precision="fp32"
)
COMMON = {
    *("--onnx", "--saveEngine", "--minShapes", "--optShapes", "--maxShapes", "--noTF32"),
    *("--timingCacheFile", "--builderOptimizationLevel", "--hardwareCompatibilityLevel"),
    *("--versionCompatible", "--useDLACore", "--allowGPUFallback"),
}
TYPED = {"--fp16", "--int8", "--calib", "--precisionConstraints", "--layerPrecisions"}
OPTIONS = {  # of trtexec --help
    "8": {*COMMON, *TYPED, "--workspace"},
    "10": {*COMMON, *TYPED, "--memPoolSize", "--stronglyTyped"},
    "11": {*COMMON, "--memPoolSize"},
}


def of(precision: str, **extra: str):
    return dataclasses.replace(NHWC, precision=precision, extra=extra)


def options_of(line: str) -> set[str]:
    return {word.partition("=")[0] for word in shlex.split(line)[1:]}


def test_the_whole_line_of_each_release() -> None:
    settings = EngineSettings("fp16", min_batch=1, opt_batch=4, max_batch=8)
    shapes = " ".join(
        f"--{bound}Shapes=input_1:0:{count}x288x384x3"
        for bound, count in (("min", 1), ("opt", 4), ("max", 8))
    )
    files = "trtexec --onnx=m.onnx --saveEngine=m.engine"
    assert lines(Path("m.onnx"), settings, NHWC) == {
        "8": f"{files} {shapes} --fp16 --workspace=2048",
        "10": f"{files} {shapes} --fp16 --memPoolSize=workspace:2048",
        "11": "# TensorRT 11: it takes the types of the file; export it with --data_type fp16",
    }
    half = lines(Path("m.onnx"), settings, of("fp16"))
    assert half["10"] == f"{files} {shapes} --stronglyTyped --memPoolSize=workspace:2048"
    assert half["11"] == f"{files} {shapes} --memPoolSize=workspace:2048"


def test_a_fixed_batch_has_no_shapes_and_names_are_quoted() -> None:
    found = lines(
        Path("my model.onnx"), EngineSettings(), NHWC, batch=4, engine=Path("out dir/a.plan")
    )
    start = "trtexec '--onnx=my model.onnx' '--saveEngine=out dir/a.plan'"
    assert found["11"] == f"{start} --memPoolSize=workspace:2048"


def test_channels_stand_where_the_layout_has_them() -> None:
    contract = dataclasses.replace(NHWC, layout="nchw", input_name="input_1")
    line = lines(Path("m.onnx"), EngineSettings(), contract)["10"]
    assert "--maxShapes=input_1:1x3x288x384" in line.split()


@pytest.mark.parametrize("data_type", ["int8", "int8+fp16"])
def test_pairs_need_no_cache(data_type: str) -> None:
    found = lines(Path("m.onnx"), EngineSettings(data_type), of(data_type, int8_form="tensorrt"))
    flags = {f"--{name}" for name in data_type.split("+")}
    assert flags <= options_of(found["8"])
    assert "--stronglyTyped" in options_of(found["10"])
    assert not options_of(found["11"]) & {*TYPED, "--stronglyTyped"}


def test_a_calibration_cache_is_for_8_and_10() -> None:
    settings = EngineSettings("int8+fp16", calibration_cache=Path("cal.bin"))
    found = lines(Path("m.onnx"), settings, NHWC)
    for release in ("8", "10"):
        assert "--int8 --fp16 --calib=cal.bin" in found[release]
    assert found["11"].endswith("export it with --data_type int8+fp16 --int8_form tensorrt")


def test_a_dla_takes_int8_from_the_cache_and_the_float32_file() -> None:
    settings = EngineSettings("int8+fp16", dla_core=1, calibration_cache=Path("cal.bin"))
    found = lines(Path("m.onnx"), settings, NHWC)
    for release in ("8", "10"):
        assert "--int8 --fp16 --calib=cal.bin" in found[release]
        assert "--useDLACore=1" in found[release]
    paired = lines(Path("m.onnx"), settings, of("int8+fp16", int8_form="tensorrt", opset="19"))
    for release in ("8", "10"):
        assert paired[release].startswith(f"# TensorRT {release}: a DLA takes its INT8 ranges")
        assert paired[release].endswith(
            "build the file of --data_type fp32 with --int8 --fp16 --calib=cal.bin --useDLACore=1"
        )
    assert found["11"] == paired["11"]
    assert found["11"].startswith("# TensorRT 11: ")
    assert found["11"].endswith("use --data_type fp16")


def test_every_option_is_one_of_the_release() -> None:
    everything = EngineSettings(
        "int8+fp16",
        calibration_cache=Path("cal.bin"),
        timing_cache=Path("timings"),
        dla_core=0,
        hardware_compatible=True,
        version_compatible=True,
        builder_level=5,
        strict_types=True,
    )
    strict = EngineSettings("fp32", strict_types=True)
    used: dict[str, set[str]] = {"8": set(), "10": set(), "11": set()}
    for settings, contract in (
        (everything, NHWC),
        (dataclasses.replace(everything, dla_core=None), of("int8+fp16")),
        (dataclasses.replace(everything, data_type="fp16"), of("fp16")),
        (strict, NHWC),
    ):
        for release, line in lines(Path("m.onnx"), settings, contract).items():
            if not line.startswith("#"):
                assert options_of(line) <= OPTIONS[release], line
                used[release] |= options_of(line)
    assert used == OPTIONS


def test_a_file_that_cannot_become_the_engine_says_what_to_do() -> None:
    runtime = of("int8", int8_form="onnxruntime")
    for line in lines(Path("m.onnx"), EngineSettings("int8"), runtime).values():
        assert line.endswith("export it with --int8_form tensorrt")
    for line in lines(Path("m.onnx"), EngineSettings("fp16"), of("int8")).values():
        assert line.endswith("the file is int8; export it with --data_type fp16")
    for line in lines(Path("m.onnx"), EngineSettings("int8"), NHWC).values():
        assert line.endswith("export it with --data_type int8 --int8_form tensorrt")


def test_operators_that_8_does_not_read_are_told_of() -> None:
    found = lines(Path("m.onnx"), EngineSettings("int8+fp16"), of("int8+fp16", opset="19"))
    assert found["8"].startswith(
        "# TensorRT 8: it reads operators up to version 17; build the file"
    )
    assert found["10"].startswith("trtexec")
    found = lines(Path("m.onnx"), EngineSettings(), of("fp32", opset="21"))
    assert found["8"].endswith("export it with --opset 17")
    assert lines(Path("m.onnx"), EngineSettings(), of("fp32", opset="17"))["8"].startswith("trt")
