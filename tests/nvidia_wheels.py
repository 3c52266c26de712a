"""NVIDIA's own TensorRT on a machine without a GPU, for tests that are asked for.

The environment variable ``BPNET_NVIDIA_WHEELS`` names a folder for downloads (40 MB of bindings,
146 MB of TensorRT-RTX; 0.7 GB unpacked); without it these tests are skipped. They need a C
compiler.

* Bindings (the Python module) of a release, over libraries of nothing: every name of the API is
  there, and a builder or runtime is refused, as on a machine without a GPU.
* TensorRT-RTX, NVIDIA's builder for RTX cards, which builds without a card. Its libraries come in
  ONNX Runtime's wheel; a few lines of C hand them to the bindings of TensorRT 11.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

VARIABLE = "BPNET_NVIDIA_WHEELS"
BINDINGS = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.0.1": "tensorrt-cu12-bindings==10.0.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.16.1": "tensorrt-cu12-bindings==10.16.1.11",
    "11.4.0": "tensorrt-cu13-bindings==11.4.0.106",
}
CUDA = {"12": "cuda-python==12.6.2.post1", "13": "cuda-bindings==13.4.4"}
RTX = "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0"
RTX_BINDINGS, RTX_VERSION = "11.4.0", "10701"  # NV_TENSORRT_VERSION of TensorRT-RTX 1.7.1

REFUSING = (
    "createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL "
    "createNvOnnxParserRefitter_INTERNAL createNvOnnxParser_INTERNAL getBuilderPluginRegistry "
    "getPluginRegistry getNvOnnxParserVersion "
    # Parsers of other formats, in TensorRT 8.
    "_ZN11nvuffparser15createUffParserEv _ZN14nvcaffeparser117createCaffeParserEv "
    "_ZN14nvcaffeparser123shutdownProtobufLibraryEv "
    "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi"
)
STUB = "void *{name}(void) {{ return 0; }}\n"
PLUGINS = "_Bool initLibNvInferPlugins(void *logger, const char *space) { return 1; }\n"
FORWARD = """#include <dlfcn.h>
#include <stdlib.h>
static void *find(const char *name) {
    void *library = dlopen("LIBRARY", RTLD_NOW | RTLD_GLOBAL);
    void *found = library ? dlsym(library, name) : 0;
    if (!found) abort();
    return found;
}
"""
CORE = """void *createInferBuilder_INTERNAL(void *logger, int version) {
    return ((void *(*)(void *, int))find("createInferBuilder_INTERNAL"))(logger, VERSION);
}
void *getBuilderPluginRegistry(int capability) {
    return ((void *(*)(int))find("getBuilderPluginRegistry"))(capability);
}
void *getPluginRegistry(void) { return ((void *(*)(void))find("getPluginRegistry"))(); }
void *createInferRuntime_INTERNAL(void *logger, int version) { return 0; }
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version) { return 0; }
"""
PARSER = """void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version) {
    return ((void *(*)(void *, void *, int))find("createNvOnnxParser_INTERNAL"))(
        network, logger, VERSION);
}
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version) { return 0; }
int getNvOnnxParserVersion(void) { return VERSION; }
"""


def bindings(version: str) -> Path:
    """A folder for PYTHONPATH with TensorRT's module of ``version`` over libraries of nothing."""
    home = _home() / f"bindings-{version}"
    if not (home / "ready").exists():
        package = _unpack_bindings(version, home)
        source = "".join(STUB.format(name=name) for name in REFUSING.split()) + PLUGINS
        for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin", "nvparsers"):
            _compile(source, package / f"lib{library}.so.{version.split('.')[0]}")
        (home / "ready").touch()
    return home


def tensorrt_rtx() -> Path:
    """A folder for PYTHONPATH with TensorRT's module over TensorRT-RTX, which builds."""
    home = _home() / "rtx"
    if not (home / "ready").exists():
        package = _unpack_bindings(RTX_BINDINGS, home)
        _unpack(RTX, home)
        libraries = home / "onnxruntime_ep_nv_tensorrt_rtx"
        major = RTX_BINDINGS.split(".")[0]
        for stem, name, source in (
            ("libtensorrt_rtx.so.*", "nvinfer", CORE),
            ("libtensorrt_onnxparser_rtx.so.*", "nvonnxparser", PARSER),
        ):
            (library,) = libraries.glob(stem)
            text = (FORWARD + source).replace("LIBRARY", str(library))
            _compile(text.replace("VERSION", RTX_VERSION), package / f"lib{name}.so.{major}")
        _compile(PLUGINS, package / f"libnvinfer_plugin.so.{major}")
        (home / "ready").touch()
    return home


def cuda_python(major: str) -> Path:
    """A folder for PYTHONPATH with cuda-python of a major version."""
    home = _home() / f"cuda-{major}"
    if not (home / "ready").exists():
        _unpack(CUDA[major], home, dependencies=True)
        (home / "ready").touch()
    return home


def run_python(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the modules of ``home``, one process a version: they cannot share one."""
    environment = os.environ | {"PYTHONPATH": f"{home}{os.pathsep}{Path(__file__).parent}"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _home() -> Path:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"set {VARIABLE} to a folder for NVIDIA's wheels (see nvidia_wheels.py)")
    return Path(folder).resolve()


def _unpack_bindings(version: str, home: Path) -> Path:
    """The module ``tensorrt``, as NVIDIA's own small package makes it; its libraries' place."""
    _unpack(BINDINGS[version], home)
    (home / "tensorrt").mkdir(exist_ok=True)
    (home / "tensorrt" / "__init__.py").write_text(
        "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"
    )
    return home / "tensorrt_bindings"


def _unpack(requirement: str, home: Path, *, dependencies: bool = False) -> None:
    wheels = home.parent / "wheels" / requirement
    if not list(wheels.glob("*.whl")):
        kinds = ["--only-binary=:all:", *([] if dependencies else ["--no-deps"])]
        command = [sys.executable, "-m", "pip", "download", "-q", *kinds, "-d", str(wheels)]
        ran = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
        if "No matching distribution" in ran.stderr:
            pytest.skip(f"{requirement} has no wheel for this Python")
        assert ran.returncode == 0, ran.stderr
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(home)


def _compile(source: str, target: Path) -> None:
    command = ["cc", "-shared", "-fPIC", "-w", "-xc", "-", "-o", str(target), "-ldl"]
    command.append(f"-Wl,-soname,{target.name}")
    subprocess.run(command, input=source, text=True, check=True)
