"""The options of ``bpnet inference``: what is read, what is written."""

import argparse
from pathlib import Path

from bpnet.commands.options import at_least

LIVE = ("camera", "stream")  # of the input types, those whose frames come when they come
MOVING = ("video", *LIVE)  # of the input types, those whose frames follow each other
FORMATS = {
    "json": "detections.json",
    "coco": "detections_coco_format.json",
    "jsonl": "detections.jsonl",
    "csv": "detections.csv",
}


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """What is read, and which frames of it."""
    parser.add_argument(
        "--input_type",
        choices=("image", "dir", "json", *MOVING),
        default="image",
        help="what --input is (default: image); dir: a folder, searched with its subfolders; json: "
        "a list of paths, or an object whose images have a full_image_path each; camera: its "
        "number or device; stream: an address such as rtsp://host/path",
    )
    parser.add_argument(
        "--input",
        nargs="+",
        action="extend",
        metavar="INPUT",
        help="file, folder, camera or address; several are taken together",
    )
    parser.add_argument(
        "--image_root_path",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder that --input, or the paths in its JSON file, are below (not for a folder)",
    )
    parser.add_argument(
        "--skip",
        type=at_least(0),
        default=0,
        metavar="N",
        help="leave out the first N images or frames of each input (default: 0)",
    )
    parser.add_argument(
        "--every",
        type=at_least(1),
        default=1,
        metavar="N",
        help="use one in N images or frames (default: 1, all)",
    )
    parser.add_argument(
        "--max_frames",
        type=at_least(1),
        metavar="N",
        help="use at most N images or frames of each input (default: all)",
    )
    parser.add_argument(
        "--track",
        action="store_true",
        help="follow people through each video, camera and stream: an id a person; "
        "tracker in the inference spec says how",
    )


def add_live_options(parser: argparse.ArgumentParser) -> None:
    """What cameras and streams do when they are too fast, or lost."""
    group = parser.add_argument_group("cameras and streams")
    group.add_argument(
        "--live_frames",
        choices=("latest", "all"),
        default="latest",
        help="when frames come faster than they are used; latest: the oldest that wait are dropped "
        "and counted (default); all: reading waits, which the other side must bear",
    )
    group.add_argument(
        "--live_queue",
        type=at_least(1),
        default=4,
        metavar="N",
        help="frames that wait at most (default: 4)",
    )
    group.add_argument(
        "--reconnects",
        type=at_least(0),
        default=8,
        metavar="N",
        help="attempts in a row, after growing waits, before a stream is given up (default: 8)",
    )
    group.add_argument(
        "--stream_timeout",
        type=at_least(1),
        default=10,
        metavar="SECONDS",
        help="without data after which a stream counts as lost (default: 10)",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """What is written, drawn and shown."""
    parser.add_argument(
        "--formats",
        nargs="+",
        action="extend",
        choices=tuple(FORMATS),
        metavar="FORMAT",
        help="files to write: json (detections.json), coco (COCO results), jsonl (a line a frame), "
        "csv (a row a keypoint); default: json, and jsonl for videos, cameras and streams",
    )
    parser.add_argument(
        "--dump_visualizations",
        action="store_true",
        help="write the images, or a film of the frames, with people drawn on",
    )
    parser.add_argument(
        "--draw",
        choices=("people", "heatmaps", "pafs"),
        help="what is drawn (default: people); implies --dump_visualizations",
    )
    parser.add_argument(
        "--draw_scores", action="store_true", help="write scores beside the people drawn"
    )
    parser.add_argument(
        "--show", action="store_true", help="show the drawings in a window; q or Esc ends the run"
    )
