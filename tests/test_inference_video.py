"""``bpnet inference`` on videos and streams: what it writes, and what is left when it is ended."""

import csv
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import sends, serving, wreck_packets
from listed import spots_image
from spots import write_model
from test_inference_outputs import full_disk

from bpnet.cli import main
from bpnet.inference.mp4 import Mp4Writer


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of a person of spots that goes right by two pixels a frame, at uneven times."""
    folder = tmp_path_factory.mktemp("clip")
    film = Mp4Writer(folder / "walk.mp4", frame_rate=20, endless=False)
    for number in range(24):
        image = spots_image(folder, (60 + 2 * number, 50), (64 + 2 * number, 140))
        film.write(image, time_of(number))
    film.close()
    return folder / "walk.mp4"


def time_of(number: int) -> float:
    return number / 20 + (0.5 if number > 12 else 0)


def command(folder: Path, *arguments: str | Path) -> list[str]:
    """A command line with the network of spots and the results in ``folder``/r."""
    model = write_model(folder / "pair.onnx")
    given = ["inference", "-m", model, "-r", folder / "r", "--set", "input_shape=[256, 256]"]
    return [str(each) for each in (*given, *arguments)]


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        return [frame.time for frame in container.decode(video=0)]


def read_images(folder: Path) -> list[dict]:
    return json.loads((folder / "r/detections.json").read_text())["images"]


def read_lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "r/detections.jsonl").read_text().splitlines()]


def test_a_video_becomes_every_kind_of_result(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = ("--formats", "json", "jsonl", "coco", "csv")
    arguments = ("--input_type", "video", "--input", clip, "--track", "--draw", "people", *formats)
    assert main(command(tmp_path, *arguments)) == 0
    images = read_images(tmp_path)
    assert [image["frame"] for image in images] == list(range(24))
    assert [image["time"] for image in images] == pytest.approx([time_of(i) for i in range(24)])
    assert [image["ids"] for image in images] == [[1]] * 24
    np.testing.assert_allclose(images[20]["keypoints"], [[[100, 50], [104, 140]]], atol=1.5)
    assert read_lines(tmp_path) == images
    assert len(json.loads((tmp_path / "r/detections_coco_format.json").read_text())) == 24
    with (tmp_path / "r/detections.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 24 * 2
    film = tmp_path / "r/Pose_Estimation.mp4"
    assert frame_times(film) == pytest.approx([time_of(i) for i in range(24)], abs=1e-3)
    with av.open(str(film)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert first[95, 62, 0] > 150  # the limb is red
    assert first[95, 62, 1] < 80
    assert not list((tmp_path / "r").glob(".*"))
    said = capsys.readouterr().out
    assert "24 people in 24 frames" in said
    assert "\nframes/s: " in said
    assert "images" not in said


def test_several_videos_have_a_film_each(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    inputs = ("--input", clip, "--input", other, other)
    arguments = ("--input_type", "video", *inputs, "--dump_visualizations", "--max_frames", "5")
    assert main(command(tmp_path, *arguments)) == 0
    films = sorted(each.name for each in (tmp_path / "r").glob("*.mp4"))
    assert films == [f"Pose_Estimation_{name}.mp4" for name in ("other", "other_2", "walk")]
    assert all(len(frame_times(tmp_path / "r" / film)) == 5 for film in films)
    by_source = [image["source"] for image in read_images(tmp_path)]
    assert sorted(by_source) == sorted([str(clip)] * 5 + [str(other)] * 10)


def test_a_broken_frame_is_named_and_the_rest_is_done(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes())
    wreck_packets(broken, [10])
    arguments = ("--input_type", "video", "--input", broken, "--dump_visualizations")
    assert main(command(tmp_path, *arguments)) == 1
    images = read_images(tmp_path)
    errors = [image["error"] for image in images if "error" in image]
    assert errors
    assert all("broken.mp4" in error for error in errors)
    assert errors[0] in capsys.readouterr().err
    assert images[-1]["frame"] == 23
    assert len(frame_times(tmp_path / "r/Pose_Estimation.mp4")) == len(images) - len(errors)


def test_photos_of_several_inputs_are_numbered_through(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = spots_image(tmp_path, (80, 50), (84, 140))
        cv2.imwrite(str(folder / name), image[..., ::-1])
    arguments = ("--input_type", "dir", "--input", folder / "a", folder / "b", "--draw", "heatmaps")
    assert main(command(tmp_path, *arguments)) == 0
    images = read_images(tmp_path)
    assert [(Path(i["full_image_path"]).name, i["viz_id"]) for i in images] == [
        ("1.png", 0),
        ("2.png", 1),
        ("3.png", 2),
    ]
    drawn = sorted(each.name for each in (tmp_path / "r/images_annotated").iterdir())
    assert drawn == ["0.png", "1.png", "2.png"]
    assert not (tmp_path / "r/detections.jsonl").exists()


def test_a_full_disk_leaves_what_was_done(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--input_type", "video", "--input", clip, "--dump_visualizations")
    line = command(tmp_path, *arguments)
    with full_disk(4000):
        assert main(line) == 1
    assert "cannot be written: File too large" in capsys.readouterr().err
    images = read_images(tmp_path)
    assert 0 < len(images) < 24
    assert [image["frame"] for image in images] == list(range(len(images)))
    assert len(read_lines(tmp_path)) - len(images) in (0, 1)
    last = (tmp_path / "r/status.json").read_text().splitlines()[-1]
    assert json.loads(last)["status"] == "FAILURE"


@pytest.fixture
def stalled(clip: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a stream that gives all of the clip and then nothing more."""
    over = threading.Event()
    with av.open(str(clip)) as source, av.open(str(tmp_path / "walk.ts"), "w") as stream:
        out = stream.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = out
                stream.mux(packet)
    data = (tmp_path / "walk.ts").read_bytes()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sends(data, length=len(data) * 100)(handler)
        over.wait()

    with serving([answer]) as address:
        yield f"http://user:secret@{address}/walk.ts"
        over.set()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_stream_with_all_its_files_valid(
    stalled: str, tmp_path: Path, number: int, code: int
) -> None:
    arguments = ("--input_type", "stream", "--input", stalled, "--dump_visualizations", "--track")
    live = ("--live_frames", "all", "--stream_timeout", "3")
    live += ("--formats", "json", "jsonl", "csv", "coco")
    running = subprocess.Popen(
        [sys.executable, "-m", "bpnet", *command(tmp_path, *arguments, *live)],
        stderr=subprocess.PIPE,
        text=True,
    )
    followed = tmp_path / "r/detections.jsonl"
    while not (followed.exists() and followed.read_text().count("\n") >= 10):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.02)
    running.send_signal(number)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == code, said
    images = read_images(tmp_path)
    assert read_lines(tmp_path) == images
    assert len(images) >= 10
    assert len(frame_times(tmp_path / "r/Pose_Estimation.mp4")) == len(images)
    assert len(json.loads((tmp_path / "r/detections_coco_format.json").read_text())) >= 10
    assert not list((tmp_path / "r").glob(".*"))
    results = "".join(each.read_text() for each in (tmp_path / "r").glob("*.[jc]s*"))
    assert "secret" not in said + results
    assert "user:***@" in results


def test_a_stream_that_is_cut_off_leaves_what_was_done(
    stalled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = ("--live_frames", "all", "--reconnects", "0", "--stream_timeout", "1")
    arguments = ("--input_type", "stream", "--input", stalled, "--dump_visualizations", *live)
    assert main(command(tmp_path, *arguments)) == 1
    images = read_images(tmp_path)
    assert "error" in images[-1]
    assert len(images) > 10
    assert len(frame_times(tmp_path / "r/Pose_Estimation.mp4")) == len(images) - 1
    said = capsys.readouterr().err
    assert images[-1]["error"] in said
    assert "secret" not in said


@pytest.mark.coco
def test_a_person_of_a_real_clip_is_followed(shared_data: Path, tmp_path: Path) -> None:
    repository = Path(__file__).resolve().parents[1]
    spec = repository / "specs/infer_spec_lightweight_openpose.yaml"
    skeleton = repository / "model_pose_config/bpnet_18joints.json"
    clip = shared_data / "video/one-by-one-person-detection.mp4"
    model = shared_data / "models/human-pose-estimation-0001.onnx"
    line = ["inference", "-i", spec, "--set", f"pose_config_path={skeleton}", "-m", model]
    line += ["--input_type", "video", "--input", clip, "-r", tmp_path / "r", "--track"]
    line += ["--dump_visualizations", "--skip", "78", "--every", "2", "--max_frames", "4"]
    assert main([str(each) for each in line]) == 0
    images = read_images(tmp_path)
    assert [image["frame"] for image in images] == [78, 80, 82, 84]
    walker = [image["ids"].index(1) for image in images]
    for image, place in zip(images, walker, strict=True):
        assert sum(score > 0 for score in image["keypoint_scores"][place]) >= 10
    assert [image["time"] for image in images] == pytest.approx([7.8, 8.0, 8.2, 8.4])
    times = frame_times(tmp_path / "r/Pose_Estimation.mp4")
    assert times == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=1e-3)


def test_show_without_a_screen_ends_in_a_sentence(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    line = command(tmp_path, "--input_type", "video", "--input", clip, "--show")
    assert main(line) == 1
    assert "--show needs a screen" in capsys.readouterr().err
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(line) == 1  # OpenCV of the tests is the headless one
    assert "pip install opencv-python" in capsys.readouterr().err
