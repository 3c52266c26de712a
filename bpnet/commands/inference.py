"""Find the people in images, videos, cameras and streams; write them to files and draw them."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bpnet.commands.inference_options import (
    LIVE,
    add_input_options,
    add_live_options,
    add_output_options,
)
from bpnet.commands.options import (
    add_key,
    add_launcher_options,
    add_log_level,
    add_results,
    add_spec_options,
    print_dry_run,
    warn_of_missing,
)
from bpnet.commands.prediction import (
    RESULTS_DIR,
    add_model_options,
    missing_model,
    open_predictor,
    read_inference_spec,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.inference.frames import FrameSource
    from bpnet.inference.live import StreamPolicy

logger = logging.getLogger(__name__)

EPILOG = """examples:
  bpnet inference -m model.onnx --input photo.jpg -r results --dump_visualizations
  bpnet inference -i infer_spec.yaml -m model.keras --input_type dir --input photos -r results
  bpnet inference -m model.onnx --input_type video --input a.mp4 b.mp4 --track \\
      --dump_visualizations --formats json csv
  bpnet inference -m model.onnx --input_type stream --input rtsp://host/door --track --show

The results go to -r (default: results): detections.json, for videos, cameras and streams also
detections.jsonl (a line a frame, written at once, so it can be followed), what --formats adds, and
drawings: images_annotated/<n>.png of photos, Pose_Estimation.mp4 of a video, a camera or a stream
(of several Pose_Estimation_<name>.mp4). Several inputs run at once; entries of several videos mix,
and each says its source and frame.
Results grow in these files, not in memory. Whatever ends a run (Ctrl-C, a full disk, a camera
unplugged), what was done is in them.
An image or frame that cannot be used is named and the rest is done; the exit code is then 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_model_options(parser)
    add_input_options(parser)
    add_live_options(parser)
    add_output_options(parser)
    add_results(parser)
    add_key(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Detect people; 1 if an image or frame could not be used."""
    from bpnet.commands.inference_run import Run, print_summary
    from bpnet.commands.inference_window import open_window
    from bpnet.commands.status import status

    spec = read_inference_spec(args)
    if args.dry_run:
        print_dry_run(spec)
        warn_of_missing([*missing_model(args, spec), *_missing_inputs(args)])
        return ExitCode.DONE
    if args.input is None:
        raise SpecError("--input is missing: name an image, a folder, a video, a camera, a stream")
    results_dir = args.results_dir or RESULTS_DIR
    with status(results_dir, "inference") as write_status:
        window = open_window() if args.show else None
        sources = _open_sources(args)
        try:
            predictor, spec = open_predictor(args, spec)
            work = Run(args, spec, predictor, sources, results_dir, window)
        except BaseException:
            for source in sources:
                source.close()
            raise
        done = work()
        write_status(kpi=done.kpi())
        if done.counts.failed:
            said = f"{done.counts.failed} of {done.total} {done.unit}s could not be used."
            write_status(status="FAILURE", message=said)
    print_summary(done)
    return ExitCode.FAILED if done.counts.failed else ExitCode.DONE


def _open_sources(args: argparse.Namespace) -> "list[FrameSource]":
    from bpnet.inference.sources import open_source

    policy = _policy(args)
    sources: list[FrameSource] = []
    try:
        for text in args.input:
            sources.append(
                open_source(
                    text, input_type=args.input_type, root=args.image_root_path, policy=policy
                )
            )
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _policy(args: argparse.Namespace) -> "StreamPolicy":
    """What cameras and streams do; warns where there are none, and of scores that nobody draws."""
    from bpnet.inference.live import StreamPolicy

    policy = StreamPolicy(
        frames=args.live_frames,
        queue=args.live_queue,
        reconnects=args.reconnects,
        timeout=args.stream_timeout,
    )
    if args.input_type not in LIVE and policy != StreamPolicy():
        logger.warning(
            "--live_frames, --live_queue, --reconnects, --stream_timeout: no effect on files"
        )
    drawn = args.draw or ("people" if args.dump_visualizations or args.show else None)
    if args.draw_scores and drawn != "people":
        logger.warning("--draw_scores: no effect where no people are drawn")
    return policy


def _missing_inputs(args: argparse.Namespace) -> list[str]:
    """The input files that are not there; an address among them is shown without its password."""
    from bpnet.inference.addresses import without_password

    if args.input_type in LIVE:
        return []
    root = args.image_root_path if args.input_type in ("image", "video") else Path()
    missing = [each for each in args.input or () if not (root / each).exists()]
    return [without_password(each) for each in missing]
