"""``bpnet evaluate`` of files made before, of shards put together, and against a baseline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spots import write_dataset, write_model

from bpnet.cli import main
from bpnet.errors import ExitCode

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bpnet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``evaluate`` on the toy dataset: exit code, standard output, standard error."""
    spec = write_dataset(tmp_path / "data")

    def run(name: str, *arguments: str | Path) -> tuple[int, str, str]:
        options = ["-d", spec, "-r", tmp_path / name, "--worst", "1", *arguments]
        code = main(["evaluate", *map(str, options)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "pair.onnx")


def change(path: Path, edit: Callable[[Any], object]) -> Path:
    """The JSON file, edited."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


def same(tmp_path: Path, first: str, second: str, *names: str) -> bool:
    return all(
        (tmp_path / first / name).read_bytes() == (tmp_path / second / name).read_bytes()
        for name in names
    )


FIGURES = ("results.csv", "detections_coco_format.json")


@pytest.mark.parametrize("name", ["detections.json", "detections_coco_format.json"])
def test_detections_give_the_figures_of_their_model(
    bpnet: Run, model: Path, tmp_path: Path, name: str
) -> None:
    assert bpnet("model", "-m", model)[0] == 0
    code, out, _ = bpnet("again", "--detections", tmp_path / "model" / name)
    assert code == 0
    assert "(AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = 1.000" in out
    assert same(tmp_path, "model", "again", *FIGURES)
    figures = [
        json.loads((tmp_path / run / "evaluation.json").read_text()) for run in ("model", "again")
    ]
    for part in ("metrics", "errors", "keypoints", "crowding", "sizes"):
        assert figures[0][part] == figures[1][part]


def test_detections_of_inference_are_evaluated(bpnet: Run, model: Path, tmp_path: Path) -> None:
    images = tmp_path / "data/images"
    inference = ["inference", "-m", model, "--input_type", "dir", "--input", images]
    assert main([str(each) for each in [*inference, "-r", tmp_path / "found"]]) == 0
    assert bpnet("model", "-m", model)[0] == 0
    code, _, _ = bpnet("again", "--detections", tmp_path / "found/detections.json")
    assert code == 0
    assert same(tmp_path, "model", "again", *FIGURES)


def test_the_sigmas_of_the_skeleton_travel_with_the_detections(
    bpnet: Run, model: Path, tmp_path: Path
) -> None:
    bpnet("model", "-m", model)
    path = tmp_path / "model/detections.json"
    head = json.loads(path.read_text())["categories"][0]
    assert (head["sigmas"], head["mirror"], head["colors"]) == ([0.1, 0.1], [], ["#ff0000"])
    change(path, lambda said: said["images"][0]["keypoints"][0][0].__setitem__(0, 70.0))
    bpnet("strict", "--detections", path)
    change(path, lambda said: said["categories"][0].update(sigmas=[0.5, 0.5]))
    bpnet("lenient", "--detections", path)
    strict, lenient = (
        json.loads((tmp_path / name / "evaluation.json").read_text())["metrics"]["ap"]
        for name in ("strict", "lenient")
    )
    assert strict < lenient


def test_images_without_an_entry_are_named_and_left_out(
    bpnet: Run, model: Path, tmp_path: Path
) -> None:
    bpnet("model", "-m", model)
    path = change(tmp_path / "model/detections.json", lambda said: said["images"].pop(1))
    code, out, err = bpnet("again", "--detections", path)
    assert code == 1
    assert "detections.json has no entry for 5.png" in err
    assert "Keypoints of 2 images" in out
    assert bpnet("again", "--detections", path, "--limit", "1")[0] == 0


def set_first(key: str, value: Any) -> Callable[[Any], object]:
    return lambda said: said["images"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (set_first("keypoints", [[[1, 2]]]), "`keypoints` needs 2 pairs"),
        (set_first("keypoints", [[[1, 2], [3]]]), "not lists of numbers"),
        (set_first("keypoints", [[[1, 2], [3, float("nan")]]]), "no number"),
        (set_first("scores", [10**400]), "not lists of numbers"),
        (set_first("scores", []), "has 1 people, but 0 numbers in `scores`"),
        (set_first("scores", None), "`scores` is missing"),
        (set_first("keypoint_scores", [[1]]), "`keypoint_scores` needs 2"),
        (set_first("image_id", 5), "of 4.png by its path, but of image 5"),
        (lambda said: said["images"].append(said["images"][0]), "has an entry already"),
        (lambda said: said["images"].insert(0, 3), "entry 0 of `images` is not an object"),
        (lambda said: said.pop("images"), "no list `images`"),
        (lambda said: said.pop("categories"), "no `categories`"),
        (lambda said: said["categories"][0].update(skeleton=[[1, 9]]), "two keypoint numbers"),
        (lambda said: said["evaluation"].pop("timing"), "`evaluation` is damaged"),
    ],
)
def test_damaged_detections_end_in_one_sentence(
    bpnet: Run, model: Path, tmp_path: Path, edit: Callable[[Any], object], sentence: str
) -> None:
    bpnet("model", "-m", model)
    path = change(tmp_path / "model/detections.json", edit)
    code, _, err = bpnet("again", "--detections", path)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("3", "neither a detections.json nor"),
        ("[3]", "result 0 has no image_id"),
        ('[{"image_id": 4, "keypoints": [1, 2, 3], "score": 1}]', "has 3 numbers"),
        ('[{"image_id": 99, "keypoints": [1, 2, 3], "score": 1}]', "no result of the dataset"),
    ],
)
def test_other_files_are_no_detections(
    bpnet: Run, tmp_path: Path, content: str, sentence: str
) -> None:
    (tmp_path / "file.json").write_text(content)
    code, _, err = bpnet("again", "--detections", tmp_path / "file.json")
    assert code == 1
    assert sentence in err


def test_results_that_score_no_keypoint_still_have_them(bpnet: Run, tmp_path: Path) -> None:
    keypoints = [84, 140, 0, 80, 50, 0]  # COCO does not say what the third number is
    result = {"image_id": 4, "category_id": 3, "keypoints": keypoints, "score": 1}
    (tmp_path / "file.json").write_text(json.dumps([result]))
    code, _, _ = bpnet("again", "--detections", tmp_path / "file.json", "--limit", "1")
    assert code == 0
    figures = json.loads((tmp_path / "again/evaluation.json").read_text())
    assert figures["errors"]["good"] == 2
    assert figures["metrics"]["ap"] == pytest.approx(1)


def test_merged_shards_are_the_whole(bpnet: Run, model: Path, tmp_path: Path) -> None:
    bpnet("whole", "-m", model, "--write_baseline", tmp_path / "baseline.json")
    for number in (2, 1):
        code, _, _ = bpnet(f"part{number}", "-m", model, "--shard", f"{number}/2")
        assert code == 0
    parts = [tmp_path / "part2", tmp_path / "part1"]
    code, _, _ = bpnet("merged", "--merge", *parts, "--baseline", tmp_path / "baseline.json")
    assert code == 0
    assert same(tmp_path, "whole", "merged", *FIGURES)
    whole, merged = (
        json.loads((tmp_path / name / "detections.json").read_text())
        for name in ("whole", "merged")
    )
    assert whole["images"] == merged["images"]
    assert merged["evaluation"].pop("timing")["images"] == 3
    del whole["evaluation"]["timing"]
    assert whole["evaluation"] == merged["evaluation"]


def test_a_failure_in_a_shard_is_one_of_the_whole(bpnet: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "data/images/6.png").write_text("no image")
    for number in (1, 2):
        bpnet(f"part{number}", "-m", model, "--shard", f"{number}/2")
    code, out, err = bpnet("merged", "--merge", tmp_path / "part1", tmp_path / "part2")
    assert code == 1
    assert "6.png" in err
    assert "Keypoints of 2 images" in out


def test_shards_that_are_not_of_one_evaluation_are_refused(
    bpnet: Run, model: Path, tmp_path: Path
) -> None:
    bpnet("whole", "-m", model)
    bpnet("one", "-m", model, "--shard", "1/3")
    bpnet("two", "-m", model, "--shard", "2/3")
    bpnet("other", "-m", model, "--shard", "3/3", "--set", "heatmap_threshold=0.3")
    one, two, other, whole = (tmp_path / name for name in ("one", "two", "other", "whole"))
    for folders, sentence in (
        ((one, two), "shard 3 of 3 is missing"),
        ((one, one), "both shard 1/3"),
        ((one, two, other), "another spec"),
        ((one, whole), "is not of evaluate --shard"),
        ((one, tmp_path / "gone"), "cannot be read"),
    ):
        code, _, err = bpnet("merged", "--merge", *folders)
        assert code == 1
        assert sentence in err


def test_more_shards_than_images_are_named(bpnet: Run, model: Path) -> None:
    code, _, err = bpnet("part", "-m", model, "--shard", "4/4")
    assert code == 1
    assert "there are only 3 images" in err


def test_a_fall_below_the_baseline_is_exit_code_3(bpnet: Run, model: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    assert bpnet("model", "-m", model, "--write_baseline", baseline, "--max_drop", "0.5")[0] == 0
    written = json.loads(baseline.read_text())
    assert (written["max_drop"], written["images"]) == (0.5, 3)
    assert written["metrics"]["AP_0.50:0.95_all"] == pytest.approx(1)
    assert len(written["model"]["sha256"]) == len(written["labels_sha256"]) == 64
    assert bpnet("same", "-m", model, "--baseline", baseline)[0] == 0

    blind = ["--set", "heatmap_threshold=2.0"]
    code, _, err = bpnet("blind", "-m", model, "--baseline", baseline, *blind)
    assert code == ExitCode.BELOW_BASELINE
    assert "AP is 0.00, 100.00 points below the baseline's 100.00" in err
    assert "0.5 are allowed" in err
    last = json.loads((tmp_path / "blind/status.json").read_text().splitlines()[-1])
    assert last["status"] == "FAILURE"
    lenient = ["--baseline", baseline, "--max_drop", "100"]
    assert bpnet("lenient", "-m", model, *lenient, *blind)[0] == 0


def test_a_drop_is_in_points_and_just_as_much_as_allowed_is_none(
    bpnet: Run, model: Path, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline.json"
    bpnet("model", "-m", model, "--write_baseline", baseline)
    change(baseline, lambda said: said["metrics"].update({"AP_0.50:0.95_all": 1.002}))
    assert bpnet("same", "-m", model, "--baseline", baseline)[0] == 0
    assert bpnet("same", "-m", model, "--baseline", baseline, "--max_drop", "0.19")[0] == 3


def test_baselines_that_say_nothing_of_this_evaluation_are_refused(
    bpnet: Run, model: Path, tmp_path: Path
) -> None:
    baseline = tmp_path / "baseline.json"
    bpnet("model", "-m", model, "--write_baseline", baseline)
    code, _, err = bpnet("fewer", "-m", model, "--baseline", baseline, "--limit", "2")
    assert code == 1
    assert "is of other labels (3 images, here 2)" in err
    (tmp_path / "data/images/6.png").unlink()
    code, _, err = bpnet("failed", "-m", model, "--baseline", baseline)
    assert code == 1
    assert "neither compared nor written" in err
    change(baseline, lambda said: said.pop("metrics"))
    code, _, err = bpnet("broken", "-m", model, "--baseline", baseline)
    assert code == 1
    assert "is no baseline" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--shard", "0/2"],
        ["--shard", "3/2"],
        ["--shard", "1"],
        ["--max_drop", "-1"],
        ["--max_drop", "x"],
        ["--merge", "a", "--detections", "b"],
        ["--merge", "a", "--shard", "1/2"],
    ],
)
def test_impossible_options_are_usage_errors(bpnet: Run, arguments: list[str]) -> None:
    assert bpnet("none", *arguments)[0] == ExitCode.USAGE


def test_no_report_writes_taos_files_only(bpnet: Run, model: Path, tmp_path: Path) -> None:
    code, out, _ = bpnet("quick", "-m", model, "--no_report")
    assert code == 0
    assert "report:" not in out
    assert not (tmp_path / "quick/report.html").exists()
    assert "errors" not in json.loads((tmp_path / "quick/evaluation.json").read_text())
