"""What ``bpnet doctor`` asks of GPUs, providers, TensorRT, video codecs, screens and settings."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bpnet.commands.doctor_libraries import BROKEN, MISSING, NOTE, OK, Check, run_apart
from bpnet.errors import BpnetError, MissingLibraryError

ADD = bytes.fromhex(  # an ONNX file of one addition, y = x + x
    "08083a350a0e0a01780a017812017922034164641201675a0f0a0178120a0a08080112040a02080162"
    "0f0a0179120a0a08080112040a02080142040a00100d"
)
DECODERS = ("h264", "hevc", "vp9", "av1", "mjpeg")  # of videos, cameras and streams
NO_CODEC = "pip install --force-reinstall av brings FFmpeg with it; a system's own FFmpeg may lack"


def check_gpu(*, thorough: bool) -> Iterator[Check]:
    """The NVIDIA driver and GPU, and with ``thorough`` whether TensorFlow sees it."""
    from bpnet.inference.cuda_memory import gpu_name, missing_gpu

    area = "GPU"
    fault = missing_gpu()
    if fault is not None:
        yield Check(area, "NVIDIA GPU", MISSING, fault, "everything but engines runs on the CPU")
        return
    yield Check(area, "NVIDIA GPU", OK, gpu_name())
    if importlib.util.find_spec("tensorflow") is None:
        return
    if not thorough:
        yield Check(area, "TensorFlow", NOTE, "not asked for its GPUs", "--thorough asks, in 10 s")
        return
    run = run_apart("import tensorflow as t; print(len(t.config.list_physical_devices('GPU')))")
    count = run.stdout.strip()
    if run.returncode == 0 and count.isdecimal() and int(count) > 0:
        yield Check(area, "TensorFlow", OK, f"GPUs that it sees: {count}")
    else:
        remedy = "pip install 'bpnet[train-gpu]', which brings the CUDA libraries"
        yield Check(area, "TensorFlow", MISSING, "sees no GPU", remedy)


def check_providers() -> Iterator[Check]:
    """Every provider of ONNX Runtime, tried on a network of one addition."""
    from bpnet.inference.providers import NAMES, NEEDS, PACKAGES

    try:
        import onnxruntime
    except ImportError:
        return  # the base install says so
    available = onnxruntime.get_available_providers()
    for provider, name in NAMES.items():
        area, said = "ONNX Runtime", f"provider {provider}"
        if name not in available:
            remedy = f"pip uninstall onnxruntime, then pip install {PACKAGES[provider]}"
            yield Check(area, said, MISSING, "not in this ONNX Runtime", remedy)
        elif _starts(name):
            yield Check(area, said, OK, "starts")
        elif provider == "cpu":
            yield Check(area, said, BROKEN, "does not start", "pip install --upgrade onnxruntime")
        else:
            yield Check(area, said, MISSING, "does not start", f"it needs {NEEDS[provider]}")


def _starts(name: str) -> bool:
    """Whether a session runs on the provider: where it cannot, ONNX Runtime takes the CPU."""
    import numpy as np
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

    from bpnet.inference.onnx_backend import FAILURES

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says is what is asked here
    try:
        session = onnxruntime.InferenceSession(ADD, options, providers=[name])
        (doubled,) = session.run(None, {"x": np.ones(1, np.float32)})
    except (*FAILURES, EPFail, RuntimeError, ValueError):
        return False
    return name in session.get_providers() and float(doubled[0]) == 2.0


def check_tensorrt() -> Iterator[Check]:
    """TensorRT's Python module, what it needs of CUDA, and NVIDIA's own builder."""
    from bpnet.inference.tensorrt_library import import_tensorrt

    area = "TensorRT"
    try:
        trt = import_tensorrt("running an engine")
    except MissingLibraryError as error:
        yield Check(area, "runtime", MISSING, "not installed", str(error).partition(": ")[2])
    else:
        version = getattr(trt, "__version__", "of unknown version")
        yield Check(area, "runtime", OK, f"{version} ({trt.__name__})")
    names = [name for name in ("cuda", "pycuda") if importlib.util.find_spec(name) is not None]
    library = "cuda-python" if "cuda" in names else "pycuda"
    if names:
        yield Check(area, "GPU memory", OK, f"through {library}")
    else:
        yield Check(area, "GPU memory", MISSING, "no cuda-python", "pip install 'bpnet[tensorrt]'")
    builder = shutil.which("trtexec")
    found = builder or "not on the PATH; bpnet export --engine_file does without"
    yield Check(area, "trtexec", OK if builder else NOTE, found)


def check_video() -> Iterator[Check]:
    """The codecs that FFmpeg has, and whether a window can be opened."""
    area = "video"
    try:
        import av
        import cv2
    except ImportError:
        return  # the base install says so
    decoders = {name: _has_codec(name, "r") for name in DECODERS}
    lacking = [name for name, there in decoders.items() if not there]
    there = ", ".join(name for name in decoders if decoders[name]) or "none"
    state = (OK if not lacking else NOTE) if decoders["h264"] else MISSING
    remedy = f"{NO_CODEC} {', '.join(lacking)}" if lacking else ""
    ffmpeg = getattr(av, "ffmpeg_version_info", "")
    yield Check(area, "decoders", state, f"{there} (FFmpeg {ffmpeg})".replace(" )", ")"), remedy)
    if _has_codec("libx264", "w"):
        yield Check(area, "films", OK, "H.264")
    else:
        yield Check(area, "films", NOTE, "MPEG-4, which is larger", f"{NO_CODEC} libx264")
    headless = "GUI:                           NONE" in cv2.getBuildInformation()
    screen = os.name == "nt" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if headless:
        remedy = "pip uninstall opencv-python-headless && pip install opencv-python"
        yield Check(area, "--show", MISSING, "OpenCV has no windows", remedy)
    elif not screen:
        yield Check(area, "--show", MISSING, "there is no screen", "use --dump_visualizations")
    else:
        yield Check(area, "--show", OK, "OpenCV has windows")


def _has_codec(name: str, mode: str) -> bool:
    import av

    try:
        av.codec.Codec(name, mode)  # type: ignore[arg-type]  # "r" or "w"
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def check_settings(home: Path | None = None) -> Iterator[Check]:
    """The environment's settings of bpnet, without what is secret.

    Args:
        home: In place of the user's own folder.
    """
    from bpnet.commands.options import KEY_VARIABLE
    from bpnet.spec.mounts import SEPARATOR, TAO_FILE, VARIABLE, read_mounts

    area = "settings"
    key = "set" if os.environ.get(KEY_VARIABLE) else "not set"
    yield Check(area, KEY_VARIABLE, OK, f"{key}; the key of encrypted model files")
    try:
        mounts = read_mounts().mounts
    except BpnetError as error:
        yield Check(area, VARIABLE, BROKEN, str(error), f"set {VARIABLE} anew, or unset it")
        return
    for mount in mounts:
        state = OK if Path(mount.here).is_dir() else NOTE
        remedy = "" if state == OK else f"{mount.here} is not a folder of this machine"
        yield Check(area, VARIABLE, state, f"{mount.there} is {mount.here}", remedy)
    file = (home or Path.home()) / TAO_FILE.name
    if not mounts and file.is_file():
        said = f"{VARIABLE}={TAO_FILE} maps TAO's paths; several stand apart by {SEPARATOR}"
        yield Check(area, VARIABLE, NOTE, f"{file} is there, and not used", said)
