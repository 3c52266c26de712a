#!/usr/bin/env python3
"""People in videos with DeepStream: lines of JSON, and the video with the people drawn.

Needs DeepStream with its Python bindings (pyds), and the library that ``make`` builds.

    python3 deepstream/app.py street.mp4 --json people.jsonl --output drawn.mp4
    python3 deepstream/app.py rtsp://camera1/stream rtsp://camera2/stream --json -
"""

import argparse
import importlib
import json
import platform
import signal
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "decoder"))
bpnet_people = importlib.import_module("bpnet_people")  # type: Any

MOST_ELEMENTS = 16  # lines, and circles, of one NvDsDisplayMeta
COLOURS = ((0.18, 0.8, 0.44), (0.2, 0.6, 0.86), (0.95, 0.61, 0.07), (0.91, 0.3, 0.24))


def parse_arguments(arguments: "list[str] | None" = None) -> argparse.Namespace:
    """The command line; of the process where None is given."""
    parser = argparse.ArgumentParser(
        description="People in videos with DeepStream.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="VIDEO", help="files or URIs, such as rtsp://...")
    add(
        "--config",
        default=str(FOLDER / "config_fp16_tensors.txt"),
        metavar="FILE",
        help="configuration of nvinfer, one of those that end in _tensors",
    )
    add("--json", metavar="FILE", help="write a line of JSON a frame; - is the standard output")
    add("--output", metavar="FILE", help="write the drawn video as MP4 (one VIDEO only)")
    add("--display", action="store_true", help="show the drawn video (one VIDEO only)")
    add("--threshold", type=float, default=0.0, help="leave out people of a lower score")
    add("--width", type=int, default=1920, help="of the frames, pixels: the video's own is best")
    add("--height", type=int, default=1080, help="of the frames, pixels")
    parsed = parser.parse_args(arguments)
    if (parsed.output or parsed.display) and len(parsed.inputs) > 1:
        parser.error("--output and --display are for one VIDEO")
    if parsed.output and parsed.display:
        parser.error("give --output or --display, not both")
    if not (parsed.json or parsed.output or parsed.display):
        parser.error("nothing to do: give --json, --output or --display")
    return parsed


def find_people(network: Any, outputs: "dict[str, tuple[Any, list[int]]]") -> "list[Any]":
    """The people of one frame, in pixels of the network's input.

    Args:
        network: A bpnet_people.Network.
        outputs: Pointer to the floats of each output, and its axes without the one of the batch.

    Raises:
        ValueError: The outputs are another network's.
    """
    maps = []  # type: list[Any]
    for key in ("heatmap_output", "paf_output"):
        name = network.contract[key]
        if name not in outputs:
            raise ValueError(f"the engine has no output {name}, only {', '.join(outputs)}")
        maps += outputs[name]
    return list(network.people(*maps))


def read_outputs(pyds: Any, frame_meta: Any) -> "dict[str, tuple[Any, list[int]]]":
    """The outputs of the network for a frame; none where nvinfer attached none."""
    kinds = getattr(pyds, "NvDsMetaType", pyds)
    outputs = {}
    for user_meta in each(frame_meta.frame_user_meta_list, pyds.NvDsUserMeta.cast):
        if user_meta.base_meta.meta_type != kinds.NVDSINFER_TENSOR_OUTPUT_META:
            continue
        tensors = pyds.NvDsInferTensorMeta.cast(user_meta.user_meta_data)
        for index in range(tensors.num_output_layers):
            layer = pyds.get_nvds_LayerInfo(tensors, index)
            axes = layer.inferDims if hasattr(layer, "inferDims") else layer.dims  # before 6.0
            shape = [axes.d[axis] for axis in range(axes.numDims)]
            outputs[layer.layerName] = (pyds.get_ptr(layer.buffer), shape)
    return outputs


def each(node: Any, cast: Any) -> "list[Any]":
    """The data of a linked list of pyds."""
    found = []
    while node is not None:
        try:
            found.append(cast(node.data))
            node = node.next
        except StopIteration:  # the end, in some versions of pyds
            break
    return found


class Probe:
    """Reads the people of every buffer that leaves nvinfer.

    Attributes:
        frames: How many were read.
        fault: Why reading stopped; None while all is well.
    """

    def __init__(self, pyds: Any, gst: Any, arguments: argparse.Namespace, lines: Any) -> None:
        self._pyds, self._gst, self._lines = pyds, gst, lines
        self._size = arguments.width, arguments.height
        self._threshold = arguments.threshold
        self._draws = bool(arguments.output or arguments.display)
        self._network = bpnet_people.Network()
        self._letterbox = bpnet_people.Letterbox(
            arguments.width, arguments.height, self._network.width, self._network.height
        )
        self.frames = 0
        self.fault = None  # type: str | None

    def __call__(self, _pad: Any, info: Any) -> Any:
        """Called by GStreamer for every buffer."""
        batch = self._pyds.gst_buffer_get_nvds_batch_meta(hash(info.get_buffer()))
        try:
            for frame in each(batch.frame_meta_list, self._pyds.NvDsFrameMeta.cast):
                self._read(batch, frame)
        except (ValueError, OSError) as error:
            self.fault = str(error)
            return self._gst.PadProbeReturn.REMOVE
        return self._gst.PadProbeReturn.OK

    def _read(self, batch: Any, frame: Any) -> None:
        outputs = read_outputs(self._pyds, frame)
        if not outputs:
            raise ValueError(
                "nvinfer attached no tensors: give --config one of the files that end in _tensors"
            )
        found = find_people(self._network, outputs)
        sure = [person for person in found if person.score >= self._threshold]
        people = [person.moved(self._letterbox) for person in sure]
        self.frames += 1
        if self._lines is not None:
            line = {
                "source": frame.source_id,
                "frame": frame.frame_num,
                "people": self._network.to_json(people),
            }
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
        if self._draws:
            for index, person in enumerate(people):
                self._draw(batch, frame, person, COLOURS[index % len(COLOURS)])

    def _draw(self, batch: Any, frame: Any, person: Any, colour: "tuple[float, ...]") -> None:
        limbs = [
            (person.keypoints[start], person.keypoints[end])
            for start, end in self._network.limbs
            if person.keypoints[start][2] > 0 and person.keypoints[end][2] > 0
        ]
        for first in range(0, len(limbs), MOST_ELEMENTS):
            meta = self._pyds.nvds_acquire_display_meta_from_pool(batch)
            some = limbs[first : first + MOST_ELEMENTS]
            meta.num_lines = len(some)
            for index, (start, end) in enumerate(some):
                line = meta.line_params[index]
                line.x1, line.y1 = self._pixel(start)
                line.x2, line.y2 = self._pixel(end)
                line.line_width = 4
                line.line_color.set(*colour, 1.0)
            self._pyds.nvds_add_display_meta_to_frame(frame, meta)

    def _pixel(self, keypoint: "tuple[float, float, float]") -> "tuple[int, int]":
        """A keypoint within the frame; the fields of line_params are unsigned."""
        width, height = self._size
        return (
            min(max(round(keypoint[0]), 0), width - 1),
            min(max(round(keypoint[1]), 0), height - 1),
        )


def describe_pipeline(arguments: argparse.Namespace) -> str:
    """The pipeline, as gst-launch-1.0 takes it; paths are set on its elements."""
    count = len(arguments.inputs)
    if arguments.output:
        sink = (
            "nvvideoconvert ! video/x-raw(memory:NVMM),format=I420 ! nvv4l2h264enc ! h264parse ! "
            "mp4mux ! filesink name=file"
        )
    elif arguments.display:
        sink = "nv3dsink" if platform.machine() == "aarch64" else "nveglglessink"
    else:
        sink = "fakesink sync=0"
    sources = [
        f'uridecodebin uri="{to_uri(name)}" ! nvvideoconvert ! video/x-raw(memory:NVMM) ! '
        f"mux.sink_{index}"
        for index, name in enumerate(arguments.inputs)
    ]
    live = int(any("://" in name and not name.startswith("file:") for name in arguments.inputs))
    network = (
        f"nvstreammux name=mux batch-size={count} width={arguments.width} "
        f"height={arguments.height} batched-push-timeout=40000 live-source={live} ! "
        f"nvinfer name=infer ! nvvideoconvert ! nvdsosd ! {sink}"
    )
    return " ".join([network, *sources])


def to_uri(name: str) -> str:
    """A URI as it is, a path as the URI of the file."""
    return name if "://" in name else Path(name).resolve().as_uri()


def run(arguments: argparse.Namespace, lines: Any) -> int:
    """Play the inputs to their end; returns the exit code."""
    gi = importlib.import_module("gi")  # type: Any
    gi.require_version("Gst", "1.0")
    gst = importlib.import_module("gi.repository.Gst")  # type: Any
    pyds = importlib.import_module("pyds")
    gst.init(None)
    pipeline = gst.parse_launch(describe_pipeline(arguments))
    infer = pipeline.get_by_name("infer")
    infer.set_property("config-file-path", str(Path(arguments.config).resolve()))
    if arguments.output:
        pipeline.get_by_name("file").set_property("location", arguments.output)
    probe = Probe(pyds, gst, arguments, lines)
    infer.get_static_pad("src").add_probe(gst.PadProbeType.BUFFER, probe)
    # The end of the stream reaches the MP4 writer, so that what was read is a whole file.
    signal.signal(signal.SIGINT, lambda *_: pipeline.send_event(gst.Event.new_eos()))
    pipeline.set_state(gst.State.PLAYING)
    fault = wait_for_end(gst, pipeline, probe)
    pipeline.set_state(gst.State.NULL)
    if fault is not None:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    sys.stderr.write(f"{probe.frames} frames\n")
    return 0


def wait_for_end(gst: Any, pipeline: Any, probe: Probe) -> "str | None":
    """Wait until all is played; why it failed, None where it did not."""
    bus = pipeline.get_bus()
    while probe.fault is None:
        message = bus.timed_pop_filtered(
            200 * gst.MSECOND, gst.MessageType.ERROR | gst.MessageType.EOS
        )
        if message is None:
            continue
        if message.type == gst.MessageType.EOS:
            break
        error, details = message.parse_error()
        return f"{message.src.get_name()}: {error.message} ({details})"
    return probe.fault


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = parse_arguments()
    try:
        if arguments.json in (None, "-"):
            return run(arguments, sys.stdout if arguments.json else None)
        with Path(arguments.json).open("w", encoding="utf-8") as lines:
            return run(arguments, lines)
    except ImportError as error:
        sys.stderr.write(f"error: {error}: this needs DeepStream's Python bindings, gi and pyds\n")
    except (OSError, RuntimeError) as error:  # of GStreamer: an element is missing
        sys.stderr.write(f"error: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
