"""``bpnet inference`` through ``main``: results, drawings, and every wrong input in a sentence."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from spots import CONTRACT, write_model, write_spots

from bpnet.cli import main


@pytest.fixture
def infer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict, str]]:
    """Runs the command: exit code, detections.json, what was said."""
    model = write_model(tmp_path / "pair.onnx")

    def run(*arguments: str | Path) -> tuple[int, dict, str]:
        results = tmp_path / "results"
        code = main(
            ["inference", "-m", str(model), "-r", str(results), *(str(each) for each in arguments)]
        )
        said = capsys.readouterr()
        path = results / "detections.json"
        content = json.loads(path.read_text()) if path.exists() else {}
        return code, content, said.out + said.err

    return run


def test_a_person_is_found_where_it_is_and_drawn(
    infer: Callable[..., tuple[int, dict, str]], tmp_path: Path
) -> None:
    photo = write_spots(tmp_path / "photo.png", [((80, 50), (84, 140))])
    code, content, _ = infer("--input", photo, "--dump_visualizations")
    assert code == 0
    assert content["categories"][0]["keypoints"] == ["top", "bottom"]
    assert content["categories"][0]["skeleton"] == [[1, 2]]
    (entry,) = content["images"]
    assert entry["full_image_path"] == str(photo)
    np.testing.assert_allclose(entry["keypoints"], [[[80, 50], [84, 140]]], atol=1.0)
    assert np.shape(entry["keypoint_scores"]) == (1, 2)
    assert len(entry["scores"]) == 1
    drawing = cv2.imread(str(tmp_path / "results/images_annotated/0.png"))
    assert drawing.shape == (256, 256, 3)
    assert drawing[95, 82].tolist() == [0, 0, 255]  # the limb is red
    lines = (tmp_path / "results/status.json").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["STARTED", "RUNNING", "SUCCESS"]


def test_a_json_input_keeps_its_own_words(
    infer: Callable[..., tuple[int, dict, str]], tmp_path: Path
) -> None:
    write_spots(tmp_path / "in/a.png", [((80, 50), (80, 140))])
    source = tmp_path / "list.json"
    source.write_text(json.dumps({"run": 5, "images": [{"full_image_path": "a.png", "id": 8}]}))
    code, content, _ = infer(
        "--input_type", "json", "--input", source, "--image_root_path", tmp_path / "in"
    )
    assert code == 0
    assert content["run"] == 5
    assert content["images"][0]["id"] == 8
    assert len(content["images"][0]["keypoints"]) == 1


def test_one_broken_image_is_named_and_the_rest_is_done(
    infer: Callable[..., tuple[int, dict, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    write_spots(folder / "a.png", [((80, 50), (80, 140))])
    cut = write_spots(folder / "b.jpg", [((80, 50), (80, 140))])
    cut.write_bytes(cut.read_bytes()[:-500])
    write_spots(folder / "c/d.png", [((80, 50), (80, 140))])
    (folder / "notes.txt").write_text("no image")
    code, content, said = infer("--input_type", "dir", "--input", folder)
    assert code == 1
    assert [len(entry.get("keypoints", ())) for entry in content["images"]] == [1, 0, 1]
    assert "b.jpg is cut short" in content["images"][1]["error"]
    assert "b.jpg is cut short" in said
    assert "notes.txt skipped" in said
    last = (tmp_path / "results/status.json").read_text().splitlines()[-1]
    assert json.loads(last)["status"] == "FAILURE"


def test_an_image_of_one_pixel_ends_in_a_sentence(
    infer: Callable[..., tuple[int, dict, str]], tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    code, _, said = infer("--input", tmp_path / "dot.png")
    assert code == 1
    assert "dot.png: an image of 1x1 pixels is too small to hold a person" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--input", "gone.png"], r"gone.png is not there"),
        (["--input_type", "dir", "--input", "gone"], "gone is not a folder"),
        (["--input_type", "json", "--input", "gone.json"], "gone.json cannot be read"),
        (["--input", "x.png", "-m", "gone.onnx"], "gone.onnx"),
        (["--input", "x.png", "-m", "model.pb"], "unknown model suffix '.pb'"),
        (["--input", "x.png", "-m", "model.engine"], "model.engine does not exist"),
        (["--input", "x.png", "-i", "gone.yaml"], "gone.yaml"),
        (["--input", "x.png", "--set", "pad_valu=3"], "pad_valu"),
        ([], "--input is missing"),
    ],
)
def test_wrong_inputs_end_in_one_sentence(
    infer: Callable[..., tuple[int, dict, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_spots(tmp_path / "x.png", [((80, 50), (80, 140))])
    code, content, said = infer(*arguments)
    assert code == 1
    assert sentence in said
    assert "Traceback" not in said
    assert not content


def test_a_foreign_model_runs_by_its_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = write_model(tmp_path / "foreign.onnx", None)
    photo = write_spots(tmp_path / "photo.png", [((80, 50), (84, 140))])
    category = {"name": "person", "keypoints": ["top", "bottom"], "skeleton": [[1, 2]]}
    (tmp_path / "pair.json").write_text(json.dumps({"name": "pair", "categories": [category]}))
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"model_path: {foreign}\npose_config_path: {tmp_path / 'pair.json'}\n"
        "input_shape: [192, 192]\n"
        "model_input: {image_scale: [255, 255, 255], image_offset: [0, 0, 0]}\n"
    )
    arguments = ["inference", "-i", str(spec), "--input", str(photo), "-r", str(tmp_path / "r")]
    assert main(arguments) == 0
    content = json.loads((tmp_path / "r/detections.json").read_text())
    np.testing.assert_allclose(content["images"][0]["keypoints"], [[[80, 50], [84, 140]]], atol=1.0)
    assert content["inference_spec"]["input_shape"] == [192, 192]
    spec.write_text(f"model_path: {foreign}\n")
    assert main(arguments) == 1
    assert "set pose_config_path" in capsys.readouterr().err


def test_dry_run_prints_the_spec_and_stops(infer: Callable[..., tuple[int, dict, str]]) -> None:
    code, content, said = infer("--dry_run", "--set", "pad_value=7")
    assert code == 0
    assert "pad_value: 7" in said
    assert not content


def test_dry_run_names_what_is_not_there_yet(
    infer: Callable[..., tuple[int, dict, str]],
) -> None:
    code, _, said = infer("--dry_run", "-m", "gone.keras", "--input", "gone.jpg")
    assert code == 0
    assert "pad_value: 128" in said
    assert "not there yet: gone.keras; gone.jpg" in said


def test_set_leaves_the_models_own_thresholds(
    infer: Callable[..., tuple[int, dict, str]], tmp_path: Path
) -> None:
    blind = dataclasses.replace(CONTRACT, heatmap_threshold=2.0)  # no spot is so bright
    model = write_model(tmp_path / "blind.onnx", blind)
    photo = write_spots(tmp_path / "photo.png", [((80, 50), (84, 140))])
    chosen = ["-m", model, "--input", photo, "--set", "flip_test=true"]
    _, content, _ = infer(*chosen)
    assert content["images"][0]["scores"] == []
    assert content["inference_spec"]["heatmap_threshold"] == 2.0
    _, content, _ = infer(*chosen, "--set", "heatmap_threshold=0.1")
    assert len(content["images"][0]["scores"]) == 1
    assert content["inference_spec"]["heatmap_threshold"] == 0.1


def test_an_option_without_effect_is_warned_of_once(
    infer: Callable[..., tuple[int, dict, str]], tmp_path: Path
) -> None:
    photo = write_spots(tmp_path / "photo.png", [((80, 50), (84, 140))])
    code, _, said = infer("--input", photo, "--use_amp")
    assert code == 0
    assert said.count("--use_amp: no effect on this command") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--reconnects", 3), "--reconnects, --stream_timeout: no effect on files"),
        (("--draw_scores",), "--draw_scores: no effect where no people are drawn"),
        (("--draw_scores", "--draw", "pafs"), "--draw_scores: no effect where no people are drawn"),
        (("--draw_scores", "--dump_visualizations"), None),
    ],
)
def test_options_for_what_is_not_there_are_warned_of(
    infer: Callable[..., tuple[int, dict, str]],
    tmp_path: Path,
    options: tuple[object, ...],
    sentence: str | None,
) -> None:
    photo = write_spots(tmp_path / "photo.png", [((80, 50), (84, 140))])
    code, _, said = infer("--input", photo, *options)
    assert code == 0
    if sentence is None:
        assert "no effect" not in said
    else:
        assert sentence in said


def test_a_dry_run_shows_no_password(infer: Callable[..., tuple[int, dict, str]]) -> None:
    address = "rtsp://me:secret@camera/door"
    code, _, said = infer("--dry_run", "-m", "gone.keras", "--input", address)
    assert code == 0
    assert "secret" not in said
    assert "not there yet" in said
