"""TensorRT engines on a GPU of our own (``engines.py``), and sentences where there is none."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from engines import Cuda, PyCudaDriver, engine_bytes, make_tensorrt
from spots import CONTRACT, write_model, write_spots

from bpnet.errors import MissingLibraryError, ModelError
from bpnet.inference.backend import open_backend
from bpnet.inference.cuda_memory import CudaPython, PyCuda, gpu_name, missing_gpu
from bpnet.inference.predictor import predictor_of
from bpnet.inference.tensorrt_backend import TensorRTBackend, read_sidecar
from bpnet.spec.inference import InferenceSpec

IMAGES = np.random.default_rng(0).integers(0, 255, (6, 16, 24, 3), np.uint8)
PEOPLE = [((80, 50), (84, 140)), ((180, 90), (180, 200))]


def open_toy(cuda: Cuda | None = None, **described) -> TensorRTBackend:
    cuda = cuda or Cuda()
    data = engine_bytes(**described)
    return TensorRTBackend(
        Path("toy.engine"), data, CONTRACT, tensorrt=make_tensorrt(cuda), memory=CudaPython(cuda)
    )


def expected(images: np.ndarray) -> np.ndarray:
    count, height, width, _ = images.shape
    blocks = (images / 255).reshape(count, height // 8, 8, width // 8, 8, 3)
    return blocks.mean(axis=(2, 4))[..., :2]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("half", [False, True])
def test_an_engine_draws_the_maps_of_every_image(layout: str, half: bool) -> None:
    kind = "HALF" if half else "FLOAT"
    backend = open_toy(layout=layout, types=(kind, kind))
    maps = backend.predict(IMAGES)  # 6 images, 4 at once at most
    assert len(maps) == 6
    found = np.stack([each.heatmaps[..., :2] for each in maps])
    np.testing.assert_allclose(found, expected(IMAGES), atol=2e-3 if half else 1e-6)
    assert maps[0].heatmaps.dtype == np.float32
    assert (maps[0].pafs[..., 1] == 1).all()
    assert backend.contract.layout == layout


def test_pycuda_will_do() -> None:
    cuda = Cuda()
    backend = TensorRTBackend(
        Path("toy.engine"),
        engine_bytes(),
        CONTRACT,
        tensorrt=make_tensorrt(cuda),
        memory=PyCuda(PyCudaDriver(cuda)),
    )
    found = np.stack([each.heatmaps[..., :2] for each in backend.predict(IMAGES)])
    np.testing.assert_allclose(found, expected(IMAGES), atol=1e-6)
    cuda.limit = 0
    with pytest.raises(ModelError, match=r"the GPU failed: mem_alloc.*out of memory"):
        backend.predict(np.zeros((1, 64, 96, 3), np.uint8))
    del backend
    assert not cuda.blocks


def test_maps_stay_when_the_engine_runs_again() -> None:
    backend = open_toy()
    first = backend.predict(IMAGES[:1])[0].heatmaps
    before = first.copy()
    backend.predict(IMAGES[1:2])
    np.testing.assert_array_equal(first, before)


def test_a_larger_image_gets_larger_buffers_and_the_old_are_freed() -> None:
    cuda = Cuda()
    backend = open_toy(cuda)
    backend.predict(IMAGES[:1])
    backend.predict(np.zeros((1, 64, 96, 3), np.uint8))
    assert len(cuda.blocks) == 6  # host and GPU, of three tensors
    found = backend.predict(IMAGES[:1])[0].heatmaps[..., :2]
    np.testing.assert_allclose(found, expected(IMAGES[:1])[0], atol=1e-6)
    del backend
    assert not cuda.blocks


def test_each_thread_has_its_own_context() -> None:
    backend = open_toy()
    found = {}

    def predict(index: int) -> None:
        found[index] = backend.predict(IMAGES[index : index + 1])[0].heatmaps[..., :2]

    threads = [threading.Thread(target=predict, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backend._engine._contexts == 3
    for index, maps in found.items():
        np.testing.assert_allclose(maps, expected(IMAGES)[index], atol=1e-6)


def test_a_fixed_batch_is_filled_up() -> None:
    backend = open_toy(shape=(4, 3, 16, 24))
    assert (backend.contract.height, backend.contract.width) == (16, 24)
    maps = backend.predict(IMAGES)
    found = np.stack([each.heatmaps[..., :2] for each in maps])
    np.testing.assert_allclose(found, expected(IMAGES), atol=1e-6)


def test_a_profile_of_one_size_is_a_fixed_size() -> None:
    backend = open_toy(profile=[[1, 3, 16, 24], [2, 3, 16, 24], [2, 3, 16, 24]])
    assert (backend.contract.height, backend.contract.width) == (16, 24)


def test_sizes_outside_the_profile_end_in_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"built for \[1, 3, 8, 8\] to \[4, 3, 512, 512\].*prof"):
        open_toy().predict(np.zeros((1, 520, 16, 3), np.uint8))


def test_too_little_memory_ends_in_a_sentence() -> None:
    with pytest.raises(ModelError, match="out of memory"):
        open_toy(Cuda(limit=1000)).predict(IMAGES)


def test_an_engine_of_another_version_says_what_to_do() -> None:
    cuda = Cuda()
    with pytest.raises(ModelError, match=r"toy\.engine cannot run here.*TensorRT 10.*magic tag"):
        TensorRTBackend(
            Path("toy.engine"),
            b"ftrt",
            CONTRACT,
            tensorrt=make_tensorrt(cuda),
            memory=CudaPython(cuda),
        )


def test_an_engine_of_another_machine_says_what_it_was_built_with() -> None:
    cuda = Cuda()
    with pytest.raises(ModelError, match=r"built for \(TensorRT 8\.6\.1, NVIDIA T4 \(sm 7\.5\)\)"):
        TensorRTBackend(
            Path("toy.engine"),
            b"ftrt",
            CONTRACT,
            tensorrt=make_tensorrt(cuda),
            memory=CudaPython(cuda),
            built={"tensorrt": "8.6.1", "gpu": "NVIDIA T4 (sm 7.5)"},
        )


def test_a_version_compatible_engine_may_run_the_code_it_carries() -> None:
    cuda = Cuda()
    data = json.dumps({**json.loads(engine_bytes()), "version_compatible": True}).encode()
    tools = {"tensorrt": make_tensorrt(cuda), "memory": CudaPython(cuda)}
    built = {"version_compatible": True}
    backend = TensorRTBackend(Path("toy.engine"), data, CONTRACT, **tools, built=built)
    assert len(backend.predict(IMAGES[:1])) == 1
    with pytest.raises(ModelError, match="engine host code is not allowed"):
        TensorRTBackend(Path("toy.engine"), data, CONTRACT, **tools)


def test_a_runtime_that_does_not_start_says_what_to_do() -> None:
    cuda = Cuda()
    tensorrt = make_tensorrt(cuda)

    def refuse(logger):
        logger.log(tensorrt.ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    tensorrt.Runtime = refuse
    with pytest.raises(ModelError, match=r"toy\.engine: TensorRT 10.*error: 35.*\.onnx file"):
        TensorRTBackend(
            Path("toy.engine"),
            engine_bytes(),
            CONTRACT,
            tensorrt=tensorrt,
            memory=CudaPython(cuda),
        )


def test_packed_inputs_are_refused() -> None:
    with pytest.raises(ModelError, match=r"tensor x has a packed format"):
        open_toy(input_format="CHW16")
    with pytest.raises(ModelError, match=r"tensor x is INT8"):
        open_toy(types=("INT8", "FLOAT"))


@pytest.mark.parametrize(
    "changes",
    [{}, {"flip_test": True}, {"multi_scale_inference": True, "scales": [0.5, 1.0]}],
)
def test_an_engine_finds_the_people_that_the_onnx_file_finds(tmp_path: Path, changes: dict) -> None:
    image = cv2.imread(str(write_spots(tmp_path / "x.png", PEOPLE)))[..., ::-1]
    spec = InferenceSpec(**changes)
    onnx = predictor_of(open_backend(write_model(tmp_path / "x.onnx")), spec)(image)
    engine = predictor_of(open_toy(), spec)(image)
    assert len(onnx) == len(engine) == 2
    np.testing.assert_allclose(engine.xy, onnx.xy, atol=1e-3)
    np.testing.assert_allclose(engine.score, onnx.score, atol=1e-5)


def test_the_sidecar_says_what_the_engine_is(tmp_path: Path) -> None:
    engine = tmp_path / "m.engine"
    assert read_sidecar(engine) is None
    sidecar = tmp_path / "m.engine.json"
    sidecar.write_text(json.dumps({"bpnet": CONTRACT.to_dict(), "tensorrt": "10.3.0"}))
    beside = read_sidecar(engine)
    assert beside is not None
    assert (beside[0], beside[1]["tensorrt"]) == (CONTRACT, "10.3.0")
    for broken in ("{", "[]", "{}", '{"bpnet": 3}', '{"bpnet": {}}'):
        sidecar.write_text(broken)
        with pytest.raises(ModelError, match=r"m\.engine\.json"):
            read_sidecar(engine)


def test_a_sidecar_of_another_engine_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = tmp_path / "m.engine"
    engine.write_bytes(b"abc")
    sidecar = tmp_path / "m.engine.json"
    of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    for digest, told in ((of_abc, False), (of_abc[::-1], True)):
        sidecar.write_text(json.dumps({"bpnet": CONTRACT.to_dict(), "sha256": digest}))
        with contextlib.suppress(MissingLibraryError, ModelError):
            open_backend(engine)
        assert ("m.engine.json is of another engine" in caplog.text) == told


@pytest.mark.skipif(missing_gpu() is None, reason="there is a GPU")
@pytest.mark.parametrize("suffix", [".engine", ".plan", ".trt"])
def test_without_a_gpu_an_engine_ends_in_a_sentence_and_no_crash(
    tmp_path: Path, suffix: str
) -> None:
    engine = tmp_path / f"m{suffix}"
    engine.write_bytes(engine_bytes())
    Path(f"{engine}.json").write_text(json.dumps({"bpnet": CONTRACT.to_dict()}))
    with pytest.raises(MissingLibraryError, match=rf"m\{suffix} needs an NVIDIA GPU.*\.onnx file"):
        open_backend(engine)
    image = str(write_spots(tmp_path / "x.png", PEOPLE))
    arguments = ["inference", "-m", str(engine), "--input", image, "-r", str(tmp_path / "r")]
    ran = subprocess.run(
        [sys.executable, "-m", "bpnet", *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "needs an NVIDIA GPU" in ran.stderr.splitlines()[-1]


def test_a_driver_that_is_not_there_is_named() -> None:
    assert missing_gpu("libnowhere.so.1") == "the NVIDIA driver (libnowhere.so.1) is not installed"


DRIVER = """#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 7 ? "Toy Orin" : "none", size);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("count", [0, 1])
def test_a_gpu_is_named_with_its_compute_capability(count: int, tmp_path: Path) -> None:
    library = tmp_path / f"libdriver{count}.so"
    command = ["cc", "-shared", "-fPIC", f"-DCOUNT={count}", "-xc", "-", "-o", str(library)]
    subprocess.run(command, input=DRIVER, text=True, check=True)
    if count:
        assert gpu_name(str(library)) == "Toy Orin (sm 8.7)"
    else:
        with pytest.raises(MissingLibraryError, match="finds no GPU"):
            gpu_name(str(library))
