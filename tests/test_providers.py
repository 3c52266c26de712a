"""Which part of ONNX Runtime runs a model, and what is said where it is not there."""

from pathlib import Path

import onnxruntime
import pytest
from spots import write_model, write_spots

from bpnet.cli import main
from bpnet.errors import MissingLibraryError
from bpnet.inference.backend import open_backend
from bpnet.inference.providers import check_provider, choose_provider, provider_list

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
OPENVINO, TENSORRT = "OpenVINOExecutionProvider", "TensorrtExecutionProvider"


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        ([CPU], "cpu"),
        (["AzureExecutionProvider", CPU], "cpu"),
        ([OPENVINO, CPU], "openvino"),
        ([TENSORRT, CUDA, CPU], "cuda"),  # TensorRT builds for minutes: by name only
        ([TENSORRT, CPU], "cpu"),
    ],
)
def test_auto_is_the_best_that_is_there(available: list[str], chosen: str) -> None:
    assert choose_provider("auto", available) == chosen


def test_a_provider_by_name_is_taken() -> None:
    assert choose_provider("tensorrt", [TENSORRT, CUDA, CPU]) == "tensorrt"
    assert choose_provider("cpu", [CUDA, CPU]) == "cpu"


@pytest.mark.parametrize(
    ("asked", "package"),
    [
        ("cuda", "onnxruntime-gpu"),
        ("tensorrt", "onnxruntime-gpu"),
        ("openvino", "onnxruntime-openvino"),
    ],
)
def test_a_provider_that_is_not_there_says_what_to_install(asked: str, package: str) -> None:
    with pytest.raises(
        MissingLibraryError, match=rf"no provider {asked} \(it has: cpu\).*{package}"
    ):
        choose_provider(asked, [CPU])


def test_tensorrt_is_told_of_the_precision() -> None:
    ((name, options), (second, _), (last, _)) = provider_list(
        "tensorrt", threads=None, precision="int8"
    )
    assert (name, second, last) == (TENSORRT, CUDA, CPU)
    assert (options["trt_int8_enable"], options["trt_fp16_enable"]) == ("True", "True")
    ((_, options), *_) = provider_list("tensorrt", threads=None, precision="int8+fp16")
    assert (options["trt_int8_enable"], options["trt_fp16_enable"]) == ("True", "True")
    ((_, options), *_) = provider_list("tensorrt", threads=None, precision="fp16")
    assert (options["trt_int8_enable"], options["trt_fp16_enable"]) == ("False", "True")
    ((_, options), *_) = provider_list("tensorrt", threads=None, precision="fp32")
    assert (options["trt_int8_enable"], options["trt_fp16_enable"]) == ("False", "False")


def test_openvino_is_told_of_the_threads() -> None:
    ((_, options), _) = provider_list("openvino", threads=3, precision="fp32")
    assert options["num_of_threads"] == "3"
    ((_, options), _) = provider_list("openvino", threads=None, precision="fp32")
    assert "num_of_threads" not in options


def test_a_provider_that_does_not_start_is_an_error_only_where_it_was_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_model(tmp_path / "x.onnx")
    on_the_cpu = onnxruntime.InferenceSession(str(path), providers=[CPU])
    with pytest.raises(MissingLibraryError, match=r"x\.onnx: .*not start its provider cuda.*cuDNN"):
        check_provider("cuda", "cuda", on_the_cpu, path)
    assert check_provider("auto", "cuda", on_the_cpu, path) == "cpu"
    assert "the CPU is used" in caplog.text


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="CUDA is there")
def test_the_command_line_ends_in_the_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, image = write_model(tmp_path / "x.onnx"), write_spots(tmp_path / "x.png", [])
    arguments = ["inference", "-m", str(model), "--input", str(image), "-r", str(tmp_path / "r")]
    assert main([*arguments, "--provider", "cuda"]) == 1
    assert "pip install onnxruntime-gpu" in capsys.readouterr().err
    assert main([*arguments, "--provider", "cpu", "--threads", "1"]) == 0
    assert "x.onnx runs on cpu" in capsys.readouterr().err


@pytest.mark.skipif(
    OPENVINO not in onnxruntime.get_available_providers(), reason="onnxruntime-openvino is not here"
)
def test_openvino_finds_what_the_cpu_finds(tmp_path: Path) -> None:
    import numpy as np

    path = write_model(tmp_path / "x.onnx")
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 72, 3), np.uint8)
    here, there = (open_backend(path, provider=name) for name in ("cpu", "openvino"))
    assert there.runs_on == "openvino"
    for one, other in zip(here.predict(images), there.predict(images), strict=True):
        np.testing.assert_allclose(other.heatmaps, one.heatmaps, atol=1e-4)
