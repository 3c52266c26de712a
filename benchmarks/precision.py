"""Measure what an export's precision gains in speed on this CPU, and what it costs in AP.

    python benchmarks/precision.py --json
    python benchmarks/precision.py --model model.keras --dataset coco_spec.json \
        --calibration photos --size 192x256 --json

Speed is that of the default network (three stages, random weights: dense arithmetic takes as long
with any) at 288x384, through ``bpnet inference``'s own ONNX backend, an image at a time. Every
round runs all precisions in turn; ``int8_speedup`` is the median of the rounds' ratios fp32 / int8,
so that other programs disturb both sides alike. On a CPU without VNNI, INT8 gains little.

AP is that of ``--model`` on the test_data of ``--dataset``, every image padded to ``--size``, by
one decoder for all; differences have paired bootstrap intervals. AP is in points (hundredths).
"""

import argparse
import json
import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from tqdm import tqdm

from bpnet.data.coco import read_subset
from bpnet.errors import SpecError
from bpnet.export.artefact import best_ranges, find_ranges, photo_inputs, to_precision
from bpnet.export.images import choose_images, drawn_images
from bpnet.export.trial import Candidate, compare_networks, labelled_photos, predictor_at
from bpnet.inference.backend import Backend, open_backend
from bpnet.inference.description import describe_by_inference_spec
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.preprocess import to_tensor
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec

SKELETON = Path(__file__).parents[1] / "model_pose_config" / "bpnet_18joints.json"
SIZE = (288, 384)  # height and width of the speed measurement, pixels
KINDS = {  # name in the JSON: data type, form of INT8
    "fp32": ("fp32", "onnxruntime"),
    "fp16": ("fp16", "onnxruntime"),
    "int8": ("int8", "onnxruntime"),
    "int8_tensorrt": ("int8", "tensorrt"),
    "int8_fp16": ("int8+fp16", "tensorrt"),
}


@dataclass(frozen=True)
class Network:
    """A network before it is exported."""

    graph: onnx.ModelProto
    contract: ModelContract
    trained: Backend | None


def main() -> None:
    """Measure speed, and AP where a model is given, and print both."""
    logging.basicConfig(level=logging.WARNING)
    arguments = _arguments()
    print(f"ONNX Runtime {onnxruntime.__version__}, CPU {'with' if has_vnni() else 'without'} VNNI")
    figures: dict[str, Any] = {"vnni": has_vnni()}
    if arguments.rounds:
        figures |= measure_speed(arguments)
    if arguments.model:
        figures |= measure_ap(arguments)
    if arguments.json:
        print(json.dumps(figures))


def measure_speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds an image and speed-up over fp32, of the default network."""
    network = _default_network(arguments.layout)
    images = drawn_images(2, height=SIZE[0], width=SIZE[1])
    inputs = [to_tensor(image[None], network.contract)[0] for image in images]
    ranges = find_ranges(network.graph, inputs, "max", total=len(inputs))
    models = _export(network, ranges)
    backends = {
        name: OnnxBackend(Path(f"{name}.onnx"), data=data, threads=arguments.threads)
        for name, data in models.items()
    }
    seconds = _rounds(backends, images[0], arguments.rounds)
    figures: dict[str, Any] = {"size": "x".join(map(str, SIZE)), "layout": arguments.layout}
    print(f"{'':16}{'ms an image':>14}{'times fp32':>14}{'MB':>10}")
    for name, times in seconds.items():
        ratios = [plain / own for plain, own in zip(seconds["fp32"], times, strict=True)]
        milliseconds, speedup = 1000 * statistics.median(times), statistics.median(ratios)
        megabytes = len(models[name]) / 1e6
        print(f"{name:16}{milliseconds:14.1f}{speedup:14.2f}{megabytes:10.1f}")
        figures |= {f"{name}_ms": round(milliseconds, 2), f"{name}_mb": round(megabytes, 2)}
        if name != "fp32":
            figures[f"{name}_speedup"] = round(speedup, 3)
    return figures


def measure_ap(arguments: argparse.Namespace) -> dict[str, Any]:
    """AP of the model of --model, and of all that is exported from it."""
    spec = None
    if arguments.inference_spec is not None:
        spec = read_spec(arguments.inference_spec, InferenceSpec)
    network = _open(arguments, spec)
    height, width = arguments.size
    pad_value = (spec or InferenceSpec()).pad_value
    photos = choose_images(arguments.calibration, arguments.photos)
    inputs = photo_inputs(photos, network.contract, pad_value=pad_value)
    if arguments.method == "best":
        forms = {form for data_type, form in KINDS.values() if data_type.startswith("int8")}
        ranges, method = best_ranges(network.graph, inputs, total=len(photos), forms=forms)
        print(f"calibrated by {method}")
    else:
        ranges = find_ranges(network.graph, inputs, arguments.method, total=len(photos))
    candidates = [
        Candidate(
            name,
            KINDS[name][0],
            predictor_at(
                OnnxBackend(Path(f"{name}.onnx"), data=data), spec, height=height, width=width
            ),
        )
        for name, data in _export(network, ranges).items()
    ]
    section = read_spec(arguments.dataset, DatasetSpec)
    if section.test_data is None:
        raise SpecError(f"{arguments.dataset} has no test_data, which AP is measured on")
    dataset, folder = read_subset(section, section.test_data)
    images = dataset.images[: arguments.images]
    assert network.trained is not None
    comparisons = compare_networks(
        predictor_at(network.trained, spec, height=height, width=width),
        candidates,
        tqdm(labelled_photos(images, folder), total=len(images), unit="image", disable=None),
        dataset=dataset,
    )
    figures: dict[str, Any] = {"images": len(images)}
    for one in comparisons:
        print("\n".join(one.lines()))
        assert one.ap is not None
        assert one.people is not None
        figures |= {
            "ap_trained": _points(one.ap.before),
            f"ap_{one.name}": _points(one.ap.after),
            f"ap_{one.name}_difference_interval": [_points(one.ap.low), _points(one.ap.high)],
            f"map_error_{one.name}": max(one.heatmaps.relative_maximum, one.pafs.relative_maximum),
            f"people_{one.name}": round(one.people.share, 4),
            f"people_identical_{one.name}": one.people.identical,
        }
    return figures


def has_vnni() -> bool:
    """Does the CPU multiply int8 in one instruction? False where nobody says."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "vnni" in flags or "i8mm" in flags


def _rounds(
    backends: dict[str, OnnxBackend], image: NDArray[np.uint8], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each round, which takes all in turn; one round to warm up does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for number in tqdm(range(rounds + 1), desc="rounds", disable=None):
        for name, backend in backends.items():
            begun = time.perf_counter()
            backend.predict(image[None])
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def _export(network: Network, ranges: dict[str, float]) -> dict[str, bytes]:
    """The file of every kind."""
    found = {}
    for name, (data_type, form) in KINDS.items():
        table = ranges if data_type.startswith("int8") else None
        model = to_precision(network.graph, network.contract, data_type, ranges=table, form=form)
        found[name] = model.SerializeToString()
    return found


def _default_network(layout: str) -> Network:
    """The default network with random weights, at ``SIZE``."""
    import keras

    from bpnet.export.onnx import to_onnx
    from bpnet.model.network import build_network
    from bpnet.spec.network import BpNetLiteModel

    keras.utils.set_random_seed(0)
    model = build_network(BpNetLiteModel(kernel_initializer="xavier"))
    contract = ModelContract(Skeleton.load(SKELETON))
    graph, exported = to_onnx(model, contract, height=SIZE[0], width=SIZE[1], layout=layout)
    return Network(graph, exported, None)


def _open(arguments: argparse.Namespace, spec: InferenceSpec | None) -> Network:
    """The network of --model, at the size of --size."""
    height, width = arguments.size
    path: Path = arguments.model
    if path.suffix in (".onnx", ".etlt"):
        from bpnet.export.foreign import read_graph, with_size

        def describe(found: Path) -> ModelContract:
            if spec is None:
                raise SpecError(f"{found} does not say what it is; give --inference_spec")
            return describe_by_inference_spec(found, spec)

        graph, contract = read_graph(path, describe=describe)
        graph, contract = with_size(graph, contract, height=height, width=width)
        return Network(graph, contract, open_backend(path, describe=describe, provider="cpu"))
    from bpnet.export.onnx import to_onnx
    from bpnet.inference.keras_backend import KerasBackend
    from bpnet.model.files import find_model, load_model

    model, said = load_model(find_model(path))
    if said is None:
        raise SpecError(f"{path} does not say what it is; bpnet train writes models that do")
    graph, exported = to_onnx(model, said, height=height, width=width, layout=arguments.layout)
    return Network(graph, exported, KerasBackend(model, said))


def _points(ap: float) -> float:
    return round(100 * ap, 3)


def _size(text: str) -> tuple[int, int]:
    height, width = map(int, text.split("x"))
    return height, width


def _arguments(command_line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="of the speed; 0: not measured")
    parser.add_argument("--threads", type=int, help="of ONNX Runtime (default: all cores)")
    parser.add_argument("--layout", choices=("nhwc", "nchw"), default="nhwc")
    parser.add_argument("--model", type=Path, help="trained model (.keras, .onnx), for AP")
    parser.add_argument("--dataset", type=Path, help="dataset spec; its test_data is evaluated")
    parser.add_argument("--inference_spec", type=Path, help="of a foreign model")
    parser.add_argument("--calibration", type=Path, help="folder of photos to calibrate INT8 with")
    parser.add_argument("--photos", type=int, default=100, help="how many of them")
    parser.add_argument("--method", default="best", help="of the ranges, see bpnet export")
    parser.add_argument("--size", type=_size, default=SIZE, help="HxW of the input, for AP")
    parser.add_argument("--images", type=int, help="only the first so many images, for AP")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    arguments = parser.parse_args(command_line)
    if arguments.model and not (arguments.dataset and arguments.calibration):
        parser.error("--model needs --dataset and --calibration")
    return arguments


if __name__ == "__main__":
    main()
