"""A conversion that was killed and run again gives the files of one that was not."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpnet.cli import main

IMAGES = 140
SIDE = 1000  # pixels; so large that the masks take a while


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A dataset in which every image has a labelled person and a region to mask."""
    coco = {
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}],
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "height": SIDE, "width": SIDE}
            for number in range(IMAGES)
        ],
        "annotations": [
            {
                "id": 2 * number + crowd,
                "image_id": number,
                "category_id": 1,
                "bbox": [number, number, 300, 400],
                "iscrowd": crowd,
                "keypoints": [50, 50, 2 - 2 * crowd],
                "segmentation": [[number, 0, 900, number, 40 * crowd, 800]],
            }
            for number in range(IMAGES)
            for crowd in (0, 1)
        ],
    }
    (tmp_path / "people.json").write_text(json.dumps(coco))
    section = {
        "images_root_dir_path": "images",
        "mask_root_dir_path": "out/masks",
        "annotation_root_dir_path": "people.json",
    }
    content = {
        "root_directory_path": ".",
        "train_data": section,
        "categories": [{"name": "person", "keypoints": ["nose"]}],
        "data_filtering_params": {"min_acceptable_kpts": 1},
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(content))
    return path


ARGUMENTS = ["dataset_convert", "-d", "spec.json", "-o", "out/train", "-s", "3"]
ARGUMENTS += ["--generate_masks"]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"  # it has ended, and nobody has asked yet how


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc")
def test_a_killed_conversion_goes_on_to_the_same_files(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    masks = Path("out/masks")
    process = subprocess.Popen([sys.executable, "-m", "bpnet", *ARGUMENTS, "-j", "2"])
    while process.poll() is None and len(list(masks.glob("?*.png"))) < IMAGES // 8:
        time.sleep(0.002)
    tasks = Path(f"/proc/{process.pid}/task")
    started = [
        int(one) for task in tasks.iterdir() for one in (task / "children").read_text().split()
    ]
    process.send_signal(signal.SIGKILL)
    process.wait()
    drawn = len([path for path in masks.glob("*.png") if not path.name.startswith(".")])
    assert 0 < drawn < IMAGES
    assert not list(Path("out").glob("train*"))
    end = time.monotonic() + 20
    while any(map(is_running, started)) and time.monotonic() < end:
        time.sleep(0.05)
    assert started
    assert not any(map(is_running, started))
    # What a process leaves that is killed in the middle of a file.
    (masks / f".7.{process.pid}.part.png").write_bytes(b"\x89PNG half")
    (Path("out") / f".train-fold-000-of-001.{process.pid}.part").write_bytes(b"half")

    assert main([*ARGUMENTS, "-j", "1"]) == 0

    after = contents(Path("out"))
    Path("out").rename("killed")
    assert main([*ARGUMENTS, "-j", "1"]) == 0
    assert contents(Path("out")) == after
    assert len(after) == IMAGES + 4
