"""Measure ``bpnet inference`` on a video beside its bare network, and whether its memory grows.

    python benchmarks/inference.py --model human-pose-estimation-0001.onnx --video clip.mp4 \
        --spec specs/infer_spec_lightweight_openpose.yaml --json
    python benchmarks/inference.py --memory --json

The first runs the network alone on tensors that are ready (ONNX Runtime's own session, as many
threads), and then the same number of frames through the whole pipeline: decoding, network, people,
drawing, MP4, detections.json and JSON lines. Rounds take the two in turn; ``ratio`` is the median
of the rounds' ratios of images/s. ``network_core_ms`` and ``pipeline_core_ms``: what a frame costs
on all cores together, which other programs disturb less; ``core_ms`` is each step's own thread.

``--memory`` sends frames of 96x96 through a network of one convolution and fits a line to the
resident size; ``bytes_per_frame`` is its slope, without the first fifth, which fills the queues.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bpnet.inference.description import describe_by_inference_spec
from bpnet.inference.frame_result import FrameChoice
from bpnet.inference.frames import Frame, FrameSource
from bpnet.inference.outputs import DetectionsFile, LinesFile, write_all
from bpnet.inference.pictures import Films, make_draw
from bpnet.inference.pipeline import run
from bpnet.inference.predictor import Predictor, build_predictor, predictor_of
from bpnet.inference.preprocess import to_tensor
from bpnet.inference.results import pose_block
from bpnet.inference.sources import open_source
from bpnet.inference.stages import StageTimes
from bpnet.pose.contract import ModelContract
from bpnet.pose.maps import PoseMaps
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import read_spec
from bpnet.spec.tracker import TrackerSettings

SIDE = 96  # pixels of the memory test's frames
SAMPLE_EVERY = 50  # frames


def main() -> None:
    """Measure the speed, or with --memory the memory, and print it."""
    arguments = _arguments()
    result = _measure_memory(arguments.frames or 10_000) if arguments.memory else _speed(arguments)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


def _speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Images/s of the bare network and of the pipeline, in turn."""
    spec = read_spec(arguments.spec, InferenceSpec)
    predictor = build_predictor(
        arguments.model,
        spec,
        describe=lambda path: describe_by_inference_spec(path, spec),
        threads=arguments.threads,
        batch_size=arguments.batch,
    )
    frames = arguments.frames or 160
    bare = _BareNetwork(arguments.model, predictor, arguments.video, arguments.threads)
    times = StageTimes()
    bare.seconds(arguments.batch)
    _pipeline_seconds(predictor, arguments.video, arguments.batch, StageTimes())
    rounds, cores = [], []
    for _ in range(arguments.rounds):
        at = [time.process_time()]
        alone = bare.seconds(frames)
        at.append(time.process_time())
        whole, done = _pipeline_seconds(predictor, arguments.video, frames, times)
        at.append(time.process_time())
        rounds.append((frames / alone, done / whole))
        cores.append(((at[1] - at[0]) / frames, (at[2] - at[1]) / done))
    return {
        "ratio": statistics.median(whole / alone for alone, whole in rounds),
        "ratios": [round(whole / alone, 4) for alone, whole in rounds],
        "network_images_per_s": statistics.median(alone for alone, _ in rounds),
        "pipeline_images_per_s": statistics.median(whole for _, whole in rounds),
        "threads": arguments.threads or "all",
        "batch": arguments.batch,
        "network_core_ms": round(1000 * statistics.median(alone for alone, _ in cores), 1),
        "pipeline_core_ms": round(1000 * statistics.median(whole for _, whole in cores), 1),
        "core_ms": {
            name: round(1000 * stage.cpu_seconds / max(stage.frames, 1), 3)
            for name, stage in vars(times).items()
        },
    }


class _BareNetwork:
    """The network without anything around it, on tensors of the video's first frames."""

    def __init__(self, model: Path, predictor: Predictor, video: Path, threads: int | None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        providers = onnxruntime.get_available_providers()
        self._session = onnxruntime.InferenceSession(str(model), options, providers=providers)
        contract = predictor.backend.contract
        self._outputs = [contract.heatmap_output, contract.paf_output]
        with closing(open_source(str(video), input_type="video")) as source:
            frames = [frame.image for frame in islice(source, predictor.batch_size)]
        inputs = [
            predictor.prepare(image).inputs[-1].image for image in frames if image is not None
        ]
        name = self._session.get_inputs()[0].name
        self._feed = {name: to_tensor(np.stack(inputs), contract)}
        self._batch = len(inputs)

    def seconds(self, images: int) -> float:
        """For so many images, in whole batches."""
        runs = max(1, round(images / self._batch))
        began = time.perf_counter()
        for _ in range(runs):
            self._session.run(self._outputs, self._feed)
        return (time.perf_counter() - began) * images / (runs * self._batch)


def _pipeline_seconds(
    predictor: Predictor, video: Path, frames: int, times: StageTimes
) -> tuple[float, int]:
    """Seconds from opening the video to closing the last file, and how many frames it was."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        source = open_source(str(video), input_type="video")
        count = _write(predictor, source, Path(folder), frames, times)
        return time.perf_counter() - began, count


def _write(
    predictor: Predictor, source: FrameSource, folder: Path, frames: int, times: StageTimes
) -> int:
    """All that ``--track --dump_visualizations`` writes of a video; how many frames it was."""
    skeleton = predictor.backend.contract.skeleton
    outputs = [
        LinesFile(folder / "detections.jsonl"),
        Films(folder, [source]),
        DetectionsFile(folder / "detections.json", pose_block(skeleton), pictures=False),
    ]
    results = run(
        predictor,
        [source],
        tracker=TrackerSettings(),
        draw=make_draw("people", skeleton),
        choice=FrameChoice(most=frames),
        times=times,
    )
    return write_all(results, outputs, times=times).images


class _DrawnFrames:
    """Frames with one moving bright square, as a source without an end that anybody knows."""

    name = "squares"
    moving = True
    count = None
    frame_rate = 30.0
    dropped = 0

    def __init__(self, frames: int, resident: list[int]) -> None:
        self.header: dict[str, Any] = {}
        self._frames = frames
        self._resident = resident

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            image = np.zeros((SIDE, SIDE, 3), np.uint8)
            image[20:60, index % 60 : index % 60 + 20] = 255
            if index % SAMPLE_EVERY == 0:
                self._resident.append(_resident_bytes())
            yield Frame(image, index, index / 30)

    def close(self) -> None:
        """Nothing is open."""


class _OneCell:
    """A network of one operation: brightness is keypoint 0 above and keypoint 1 below."""

    def __init__(self) -> None:
        skeleton = Skeleton("pair", ("a", "b"), ((0, 1),), (0, 1), (0.1, 0.1), {}, ((255, 0, 0),))
        self.contract = ModelContract(skeleton)

    def predict(self, images: NDArray[np.uint8]) -> list[PoseMaps]:
        """The maps of (N, H, W, 3) images."""
        value = images[:, 4::8, 4::8, 0].astype(np.float32) / 256
        upper = np.arange(value.shape[1])[None, :, None] < value.shape[1] // 2
        heatmaps = np.stack([value * upper, value * ~upper, 1 - value], axis=-1)
        pafs = np.stack([np.zeros_like(value), np.ones_like(value)], axis=-1)
        return [PoseMaps(*each, 8.0, 8.0) for each in zip(heatmaps, pafs, strict=True)]


def _measure_memory(frames: int) -> dict[str, Any]:
    """The slope of the resident size over so many frames."""
    resident: list[int] = []
    spec = InferenceSpec(input_shape=[SIDE, SIDE])
    predictor = predictor_of(_OneCell(), spec, batch_size=8)
    source = _DrawnFrames(frames, resident)
    with tempfile.TemporaryDirectory() as folder:
        count = _write(predictor, source, Path(folder), frames, StageTimes())
    settled = resident[len(resident) // 5 :]
    at = SAMPLE_EVERY * np.arange(len(settled))
    slope = float(np.polyfit(at, settled, 1)[0])
    return {
        "bytes_per_frame": round(slope, 2),
        "frames": count,
        "resident_mb_first": round(settled[0] / 2**20, 1),
        "resident_mb_last": round(settled[-1] / 2**20, 1),
    }


def _resident_bytes() -> int:
    """Of this process (Linux)."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, help="ONNX model")
    parser.add_argument("--video", type=Path, help="video file")
    parser.add_argument("--spec", type=Path, help="inference spec")
    parser.add_argument("--frames", type=int, help="a round (default: 160; with --memory 10000)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--batch", type=int, default=8, help="images a run (default: 8)")
    parser.add_argument("--threads", type=int, help="of the network (default: all cores)")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--json", action="store_true", help="print a line of JSON")
    arguments = parser.parse_args()
    if not arguments.memory and not (arguments.model and arguments.video and arguments.spec):
        parser.error("--model, --video and --spec are needed, or --memory")
    return arguments


if __name__ == "__main__":
    main()
