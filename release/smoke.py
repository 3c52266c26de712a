"""Whether this installation works: the decoder, pictures, ONNX Runtime, the command line, the GPU.

    python smoke.py                             # seconds; nothing is downloaded or trained
    python smoke.py -m model.onnx -i photo.jpg  # your network too, and on a GPU its engine
    python smoke.py --need keras gpu            # fails where these are only missing
    python smoke.py --skip keras gpu            # beside a program that has them

Needs nothing but the installed package. Prints a line a check; the exit code is 1 where one failed.
"""

import argparse
import json
import platform
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bpnet.pose.contract import ModelContract

SPOTS = ((80, 50), (84, 140))  # x, y of the two keypoints of the drawn person, pixels
REACH = 3.0  # pixels between what is drawn and what may be found
DRIFT = 0.05  # largest difference of an engine's maps, as a part of the network's largest value
LARGE = ("keras", "gpu")  # checks that take memory and time, and need not be here
NUMBER, BYTES = 0, 2  # wire types of protocol buffers


class NotHereError(Exception):
    """What a check needs is not installed; says what to do about it."""


class BrokenError(Exception):
    """What is installed does not work."""


def main() -> int:
    """Run every check; 1 where one failed, or was needed and is not here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-m", "--model", type=Path, metavar="FILE", help="an ONNX file to run too")
    parser.add_argument("-i", "--image", type=Path, metavar="FILE", help="a photo, not noise")
    parser.add_argument("--need", nargs="+", default=[], choices=LARGE, help="must be here")
    parser.add_argument("--skip", nargs="+", default=[], choices=LARGE, help="leave these out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks: dict[str, Callable[[], str]] = {
            "versions": versions,
            "decoder": decoder,
            "onnx": lambda: onnx_runtime(folder),
            "command": lambda: command_line(folder),
            "video": lambda: video(folder),
            "keras": keras,
            "gpu": gpu,
        }
        if args.model is not None:
            checks["network"] = lambda: network(args.model, args.image)
            checks["engine"] = lambda: engine(args.model, args.image, folder)
        wanted = [name for name in checks if name not in args.skip]
        failed = [name for name in wanted if not _passes(name, checks[name], args.need)]
    print(f"failed: {', '.join(failed)}" if failed else "all is well")
    return 1 if failed else 0


def _passes(name: str, check: Callable[[], str], needed: list[str]) -> bool:
    try:
        said, passed, mark = check(), True, "ok"
    except NotHereError as error:
        said, passed, mark = str(error), name not in needed, "not here"
    except Exception as error:  # noqa: BLE001  # whatever breaks, the other checks still run
        said, passed, mark = f"{type(error).__name__}: {error}", False, "FAILED"
    print(f"{mark:8}  {name:8}  {said}", flush=True)
    return passed


def versions() -> str:
    """Which bpnet on which Python and machine."""
    import bpnet

    python = platform.python_version()
    return f"bpnet {bpnet.__version__}, Python {python}, {platform.machine()}: {bpnet.__file__}"


def decoder() -> str:
    """A person drawn into maps must come out of the C++ decoder where it was drawn."""
    from bpnet.decode import Decoder
    from bpnet.pose.maps import PoseMaps, map_to_input

    rows, columns = np.mgrid[:32, :32]
    heatmaps = np.zeros((32, 32, 3), np.float32)
    for channel, (x, y) in enumerate(SPOTS):
        far = (map_to_input(columns, 8) - x) ** 2 + (map_to_input(rows, 8) - y) ** 2
        heatmaps[..., channel] = np.exp(-far / (2 * 12.0**2))
    pafs = np.zeros((32, 32, 2), np.float32)
    pafs[..., 1] = 1  # the limb points down
    maps = PoseMaps(heatmaps, pafs, heatmap_stride=8, paf_stride=8)
    return _found(Decoder(_contract().skeleton)(maps).xy)


def onnx_runtime(folder: Path) -> str:
    """The same person in a picture, by a network of three layers in every provider that is here."""
    import onnxruntime

    import bpnet

    model, picture = write_network(folder / "spots.onnx"), write_picture(folder / "spots.png")
    said = [f"ONNX Runtime {onnxruntime.__version__}"]
    here = onnxruntime.get_available_providers()
    for name, known in (("cpu", "CPU"), ("cuda", "CUDA"), ("openvino", "OpenVINO")):
        if f"{known}ExecutionProvider" in here:
            said.append(f"{name} {_found(bpnet.load(model, provider=name)(picture).xy)}")
    return "; ".join(said)


def command_line(folder: Path) -> str:
    """``bpnet inference`` on a folder of pictures, in a process of its own, with a drawing."""
    write_network(folder / "spots.onnx")
    write_picture(folder / "photos" / "drawn.jpg")
    line = ["inference", "-m", "spots.onnx", "--input_type", "dir", "--input", "photos"]
    _bpnet([*line, "-r", "found", "--dump_visualizations"], folder)
    if not (folder / "found" / "images_annotated" / "0.png").is_file():
        raise BrokenError("bpnet inference wrote no drawing")
    return "bpnet inference finds people and draws them"


def video(folder: Path) -> str:
    """A film written and read again, and the codecs of streams."""
    import av

    from bpnet.inference.mp4 import Mp4Writer
    from bpnet.inference.sources import open_source

    film = Mp4Writer(folder / "film.mp4", frame_rate=5, endless=False)
    for number in range(3):
        film.write(_pixels(None), number / 5)
    film.close()
    read = sum(frame.image is not None for frame in open_source(str(film.path), input_type="video"))
    if read != film.frames:
        raise BrokenError(f"{film.frames} frames of a film were written, {read} can be read")
    av.codec.Codec("h264", "r"), av.codec.Codec("hevc", "r")
    return f"PyAV {av.__version__} writes films and reads them, H.264 and H.265 too"


def keras() -> str:
    """Whether TensorFlow adds up, and which GPUs it sees."""
    try:
        import keras as library
        import tensorflow as tf
    except ImportError as error:
        said = f"{error}; training needs pip install 'bpnet[train]' on Python 3.11 or newer"
        raise NotHereError(said) from None
    ones = library.layers.Conv2D(1, 3, kernel_initializer="ones", padding="same")
    found = np.asarray(ones(np.ones((1, 16, 16, 3), np.float32)))[0, 8, 8, 0]
    if found != 27:
        raise BrokenError(f"a convolution of ones gave {found}, not 27")
    gpus = tf.config.list_physical_devices("GPU")
    return f"TensorFlow {tf.__version__}, Keras {library.__version__}, {len(gpus)} GPU(s)"


def gpu() -> str:
    """The driver and its first GPU, and TensorRT."""
    from bpnet.errors import MissingLibraryError
    from bpnet.inference.cuda_memory import gpu_name, missing_gpu
    from bpnet.inference.tensorrt_library import import_tensorrt

    fault = missing_gpu()
    if fault is not None:
        raise NotHereError(fault)
    try:
        trt = import_tensorrt("an engine")
    except MissingLibraryError as error:
        raise NotHereError(f"{gpu_name()}; {error}") from None
    return f"{gpu_name()}, TensorRT {trt.__version__}"


def network(model: Path, image: Path | None) -> str:
    """How many people the network of ``model`` finds in the photo ``image``."""
    import bpnet

    people = bpnet.load(model)(_pixels(image))
    return f"{len(people)} people in {image or 'noise'} by {model}"


def engine(model: Path, image: Path | None, folder: Path) -> str:
    """The same network as a float16 engine, whose maps must be those of ONNX Runtime."""
    gpu()
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise NotHereError("building an engine needs pip install onnx") from None
    line = ["export", "-m", str(model.absolute()), "-o", "copy.onnx", "--data_type", "fp16"]
    _bpnet([*line, "--engine_file", "model.engine"], folder)

    from bpnet.inference.backend import open_backend
    from bpnet.inference.preprocess import InputFit, fit_image

    first, second = open_backend(model, provider="cpu"), open_backend(folder / "model.engine")
    height, width = second.contract.usual_size
    fit = InputFit(height, width, "pad_image_input", multiple=1)
    image_batch = fit_image(_pixels(image), fit).image[None]
    (wanted,), (found,) = first.predict(image_batch), second.predict(image_batch)
    pairs = ((wanted.heatmaps, found.heatmaps), (wanted.pafs, found.pafs))
    drift = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    if not drift < DRIFT:
        raise BrokenError(f"the engine's maps are {drift:.3f} away from the network's")
    return f"{second.runs_on}: maps within {drift:.4f} of the network's"


def _bpnet(arguments: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "bpnet", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        said = run.stderr.strip()[-600:]
        raise BrokenError(f"bpnet {arguments[0]} ended with exit code {run.returncode}: {said}")


def _found(xy: "NDArray[np.float32]") -> str:
    """How far from ``SPOTS`` the one person of ``xy`` (P, 2, 2) is."""
    if xy.shape != (1, 2, 2):
        raise BrokenError(f"one person of two keypoints was drawn, {xy.shape} found")
    far = float(np.linalg.norm(xy[0] - np.array(SPOTS), axis=1).max())
    if far > REACH:
        raise BrokenError(f"a keypoint was found {far:.1f} pixels from where it was drawn")
    return f"finds a drawn person within {far:.2f} pixels"


def _pixels(image: Path | None) -> "NDArray[np.uint8]":
    from bpnet.inference.sources import read_image

    noise = np.random.default_rng(0).integers(0, 256, (288, 384, 3), dtype=np.uint8)
    return noise if image is None else read_image(image)


def write_picture(path: Path) -> Path:
    """A black 256x256 image with a red spot and a green one at ``SPOTS``."""
    import cv2

    rows, columns = np.mgrid[:256, :256]
    image = np.zeros((256, 256, 3), np.float64)
    for channel, (x, y) in zip((2, 1), SPOTS, strict=True):  # OpenCV writes BGR
        far = (columns - x) ** 2 + (rows - y) ** 2
        image[..., channel] = 255 * np.exp(-far / (2 * 12.0**2))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image.astype(np.uint8)):
        raise BrokenError(f"OpenCV cannot write {path.name}")
    return path


def write_network(path: Path) -> Path:
    """A network that sees red as the upper keypoint and green as the lower one.

    The file is written byte by byte (github.com/onnx/onnx, onnx.proto), for the base install has no
    library that writes ONNX.
    """
    colours = [1, 0, 0, 0, 1, 0, 0, 0, 0]  # channels of the heatmaps by those of the image
    graph = [
        (1, _node("AveragePool", ["x"], "p", {"kernel_shape": [8, 8], "strides": [8, 8]})),
        (1, _node("Conv", ["p", "w"], "heatmap_out", {})),
        (1, _node("Conv", ["p", "v", "b"], "paf_out", {})),
        (2, b"spots"),
        (5, _tensor("w", [3, 3, 1, 1], colours)),
        (5, _tensor("v", [2, 3, 1, 1], [0] * 6)),
        (5, _tensor("b", [2], [0, 1])),
        (11, _value("x", ["n", 3, "h", "w"])),
        (12, _value("heatmap_out", ["n", 3, "i", "j"])),
        (12, _value("paf_out", ["n", 2, "i", "j"])),
    ]
    properties = _message([(1, "bpnet"), (2, json.dumps(_contract().to_dict()))])
    opset = _message([(2, 17)])
    path.write_bytes(_message([(1, 8), (7, _message(graph)), (8, opset), (14, properties)]))
    return path


def _contract() -> "ModelContract":
    from bpnet.pose.contract import ModelContract
    from bpnet.pose.skeleton import Skeleton

    skeleton = Skeleton(
        "pair", ("top", "bottom"), ((0, 1),), (0, 1), (0.1, 0.1), {}, ((255, 0, 0),)
    )
    return ModelContract(
        skeleton, layout="nchw", input_name="x", image_scale=(255,) * 3, image_offset=(0,) * 3
    )


def _message(fields: list[tuple[int, Any]]) -> bytes:
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_number(number << 3 | NUMBER), _number(value)]
        else:
            raw = value.encode() if isinstance(value, str) else value
            parts += [_number(number << 3 | BYTES), _number(len(raw)), raw]
    return b"".join(parts)


def _number(value: int) -> bytes:
    low = bytes([value & 0x7F | 0x80])
    return low + _number(value >> 7) if value > 0x7F else bytes([value])


def _node(kind: str, inputs: list[str], output: str, settings: dict[str, list[int]]) -> bytes:
    fields: list[tuple[int, Any]] = [(1, name) for name in inputs]
    fields += [(2, output), (4, kind)]
    for name, values in settings.items():
        numbers: list[tuple[int, Any]] = [(8, value) for value in values]
        fields.append((5, _message([(1, name), *numbers, (20, 7)])))  # 7: whole numbers
    return _message(fields)


def _tensor(name: str, shape: list[int], values: Sequence[float]) -> bytes:
    raw = struct.pack(f"<{len(values)}f", *values)
    return _message([*((1, side) for side in shape), (2, 1), (8, name), (9, raw)])


def _value(name: str, shape: list[int | str]) -> bytes:
    sides = [(1, _message([(1 + isinstance(side, str), side)])) for side in shape]  # 2: a name
    tensor = _message([(1, 1), (2, _message(sides))])
    return _message([(1, name), (2, _message([(1, tensor)]))])


if __name__ == "__main__":
    sys.exit(main())
