"""Find the people in images; write them to detections.json and draw them."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    persons_block,
    pose_block,
    read_inference_spec,
    spec_block,
    write_json,
)
from bpnet.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from bpnet.inference.files import FileResult
    from bpnet.inference.predictor import Predictor
    from bpnet.inference.sources import ImageList
    from bpnet.pose.skeleton import Skeleton

logger = logging.getLogger(__name__)

EPILOG = """examples:
  bpnet inference -m model.onnx --input photo.jpg -r results --dump_visualizations
  bpnet inference -i infer_spec.yaml -m model.keras --input_type dir --input photos -r results

The results go to -r (default: results): detections.json and, with --dump_visualizations,
images_annotated/<n>.png.
An image that cannot be used is named and the rest is done; the exit code is then 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_model_options(parser)
    parser.add_argument(
        "--input_type",
        choices=("image", "dir", "json"),
        default="image",
        help="what --input is (default: image); dir: a folder, searched with its subfolders; json: "
        "a list of paths, or an object whose images have a full_image_path each",
    )
    parser.add_argument("--input", type=Path, metavar="PATH", help="image, folder or JSON file")
    parser.add_argument(
        "--image_root_path",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder that --input, or the paths in its JSON file, are below (not for a folder)",
    )
    parser.add_argument(
        "--dump_visualizations", action="store_true", help="write the images with people drawn on"
    )
    add_results(parser)
    add_key(parser)
    add_spec_options(parser)
    add_log_level(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace) -> int:
    """Detect people; 1 if an image could not be used."""
    from bpnet.commands.status import status
    from bpnet.inference.sources import list_images

    spec = read_inference_spec(args)
    if args.dry_run:
        print_dry_run(spec)
        warn_of_missing([*missing_model(args, spec), *_missing_input(args)])
        return ExitCode.DONE
    if args.input is None:
        raise SpecError("--input is missing: name an image, a folder or a JSON file")
    results_dir = args.results_dir or RESULTS_DIR
    with status(results_dir, "inference") as write_status:
        images = list_images(args.input, input_type=args.input_type, root=args.image_root_path)
        predictor = open_predictor(args, spec)
        drawings = results_dir / "images_annotated" if args.dump_visualizations else None
        entries, failures = _detect(predictor, images, drawings)
        content = {
            **images.header,
            **pose_block(predictor.backend.contract.skeleton),
            "inference_spec": spec_block(spec),
            "images": entries,
        }
        write_json(results_dir / "detections.json", content)
        people = sum(len(entry.get("keypoints", ())) for entry in entries)
        write_status(kpi={"images": len(entries), "people": people, "failed": failures})
        if failures:
            said = f"{failures} of {len(entries)} images could not be used."
            write_status(status="FAILURE", message=said)
    print(f"{people} people in {len(entries) - failures} images: {results_dir / 'detections.json'}")
    if drawings is not None:
        print(f"drawings: {drawings}")
    if failures and len(entries) > 1:  # of a single image all is said
        logger.error("%s of %s images could not be used", failures, len(entries))
    return ExitCode.FAILED if failures else ExitCode.DONE


def _missing_input(args: argparse.Namespace) -> list[Path]:
    """The input, if it is not there."""
    root = args.image_root_path if args.input_type == "image" else Path()
    return [args.input] if args.input is not None and not (root / args.input).exists() else []


def _detect(
    predictor: "Predictor", images: "ImageList", drawings: Path | None
) -> tuple[list[dict[str, Any]], int]:
    """The entry of each image, and how many could not be used."""
    from tqdm import tqdm

    from bpnet.inference.files import predict_files

    entries: list[dict[str, Any]] = []
    failures = 0
    skeleton = predictor.backend.contract.skeleton
    results = predict_files(predictor, images.paths)
    for result in tqdm(results, total=len(images.paths), unit="image", disable=None):
        index = len(entries)
        entry: dict[str, Any] = {**images.records[index], "full_image_path": str(result.path)}
        if result.persons is None:
            failures += 1
            logger.error("%s", result.failure)
            entry["error"] = result.failure
        else:
            entry |= persons_block(result.persons)
            if drawings is not None:
                entry["viz_id"] = index
                _draw(drawings / f"{index}.png", result, skeleton)
        entries.append(entry)
    return entries, failures


def _draw(path: Path, result: "FileResult", skeleton: "Skeleton") -> None:
    """The image of ``result`` with its people, as a PNG file."""
    import cv2

    from bpnet.drawing import draw_persons
    from bpnet.files import replacing

    assert result.image is not None
    assert result.persons is not None
    drawing = draw_persons(result.image, result.persons, skeleton)
    encoded = cv2.imencode(".png", drawing[..., ::-1])[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
