"""How fast ``bpnet dataset_convert`` is, and how much memory it takes, at the size of COCO.

    python benchmarks/convert.py                   # 118,287 images and 262,465 people, with masks
    python benchmarks/convert.py --images 5000 --json

Writes an annotation file like COCO's person_keypoints_train2017.json into a temporary folder, with
polygons and run lengths as long as COCO's, and converts it as a user would, in a process of its
own. The memory is that of the command and its processes together. The last line with ``--json``:
images_per_s, peak_mb, and reading_s, the seconds until the first mask is drawn.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

IMAGES = 118_287  # of COCO train2017
PEOPLE_AN_IMAGE = 262_465 / IMAGES
WIDTH, HEIGHT = 640, 480
NAMES = [f"keypoint_{number}" for number in range(17)]
LABELLED, CROWD = 0.57, 0.015  # parts of the people
VERTICES = 33  # of a person, on average
INTERVAL = 0.05  # seconds between looks at the memory


def main() -> None:
    """Convert, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=IMAGES, help="images (default: COCO's)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw masks")
    parser.add_argument("--folder", type=Path, help="where the temporary files go")
    parser.add_argument("--json", action="store_true", help="the last line is JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        annotations = Path(folder) / "people.json"
        with annotations.open("w") as file:
            write_annotations(file, arguments.images)
        megabytes = annotations.stat().st_size / 1e6
        figures = _convert(_write_spec(Path(folder)), workers=arguments.workers)
    figures["images_per_s"] = arguments.images / figures["seconds"]
    if arguments.json:
        print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    else:
        print(f"annotation file {megabytes:.0f} MB, {arguments.images} images")
        print("  ".join(f"{name} {value:.1f}" for name, value in figures.items()))


def write_annotations(file: TextIO, images: int) -> None:
    """An annotation file in the order of COCO's: images, annotations, categories."""
    random = np.random.default_rng(0)
    file.write('{"info": {"description": "drawn at random"}, "images": [')
    for number in range(images):
        url = f"http://images.example.org/train2017/{number:012d}.jpg"
        image = {
            "license": 3,
            "file_name": f"{number:012d}.jpg",
            "coco_url": url,
            "height": HEIGHT,
            "width": WIDTH,
            "date_captured": "2013-11-14 11:18:45",
            "flickr_url": f"http://farm9.example.org/8186/{number:010d}_16b871e5a6_z.jpg",
            "id": number,
        }
        file.write((", " if number else "") + json.dumps(image))
    file.write('], "annotations": [')
    for number, person in enumerate(_people(random, images)):
        file.write((", " if number else "") + json.dumps({**person, "id": number}))
    category = {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2]]}
    file.write('], "categories": ' + json.dumps([category]) + "}")


def _people(random: np.random.Generator, images: int) -> Iterator[dict[str, Any]]:
    for _ in range(round(images * PEOPLE_AN_IMAGE)):
        width, height = random.uniform(20, 300), random.uniform(30, 400)
        left, top = random.uniform(0, WIDTH - width), random.uniform(0, HEIGHT - height)
        inside = np.array([left, top]) + random.random((17, 2)) * [width, height]
        flags = random.integers(0, 3, 17) if random.random() < LABELLED else np.zeros(17, int)
        table = np.column_stack([inside.astype(int) * (flags > 0)[:, None], flags])
        crowd = random.random() < CROWD
        segmentation: Any = [_outline(random, left, top, width, height)]
        if crowd:
            segmentation = {"size": [HEIGHT, WIDTH], "counts": _run_lengths(random)}
        yield {
            "segmentation": segmentation,
            "num_keypoints": int((flags > 0).sum()),
            "area": round(width * height * 0.5, 5),
            "iscrowd": int(crowd),
            "keypoints": table.ravel().tolist(),
            "image_id": int(random.integers(images)),
            "bbox": [round(value, 2) for value in (left, top, width, height)],
            "category_id": 1,
        }


def _outline(
    random: np.random.Generator, left: float, top: float, width: float, height: float
) -> list[float]:
    """A closed outline, x and y in turns, of two decimals as COCO's."""
    angles = np.linspace(0, 2 * np.pi, max(4, random.poisson(VERTICES)), endpoint=False)
    radius = random.uniform(0.3, 0.5, len(angles))
    x = left + width * (0.5 + radius * np.cos(angles))
    y = top + height * (0.5 + radius * np.sin(angles))
    return [float(value) for value in np.column_stack([x, y]).round(2).ravel()]


def _run_lengths(random: np.random.Generator) -> list[int]:
    """Uncompressed run lengths that add up to the image."""
    cuts = np.sort(random.choice(WIDTH * HEIGHT, size=random.integers(50, 1500), replace=False))
    return [int(run) for run in np.diff(np.concatenate([[0], cuts, [WIDTH * HEIGHT]]))]


def _write_spec(folder: Path) -> Path:
    spec = {
        "dataset": "drawn",
        "root_directory_path": str(folder),
        "train_data": {
            "images_root_dir_path": "images",
            "mask_root_dir_path": "masks",
            "annotation_root_dir_path": "people.json",
        },
        "categories": [{"name": "person", "keypoints": NAMES}],
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return path


def _convert(spec: Path, *, workers: int) -> dict[str, float]:
    """Seconds, seconds before the first mask, and the greatest memory of a conversion, MB."""
    command = [sys.executable, "-m", "bpnet", "dataset_convert", "-d", str(spec)]
    command += ["-o", str(spec.parent / "out" / "train"), "--generate_masks", "-j", str(workers)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak, reading = 0.0, 0.0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        if not reading and (spec.parent / "masks").exists():
            reading = time.perf_counter() - begun
        time.sleep(INTERVAL)
    if process.returncode:
        raise SystemExit(f"dataset_convert ended with exit code {process.returncode}")
    return {"seconds": time.perf_counter() - begun, "reading_s": reading, "peak_mb": peak}


def _memory(process: int) -> float:
    """Megabytes of a process and those that it started, pages that they share counted once."""
    folder = Path("/proc") / str(process)
    try:
        rollup = (folder / "smaps_rollup").read_text()
        children = (folder / "task" / str(process) / "children").read_text().split()
    except OSError:  # it has just ended
        return 0.0
    line = next((line for line in rollup.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) / 1024 + sum(_memory(int(child)) for child in children)


if __name__ == "__main__":
    main()
