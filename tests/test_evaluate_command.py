"""``bpnet evaluate`` through ``main``: TAO's files, COCO's figures, wrong inputs in a sentence."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from spots import CATEGORY, write_dataset, write_model

from bpnet.cli import main


@pytest.fixture
def evaluate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command on the toy dataset: exit code, standard output, standard error."""
    model, spec = write_model(tmp_path / "pair.onnx"), write_dataset(tmp_path / "data")

    def run(*arguments: str) -> tuple[int, str, str]:
        results = str(tmp_path / "results")
        code = main(["evaluate", "-m", str(model), "-d", str(spec), "-r", results, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_perfect_network_scores_one_and_writes_taos_files(
    evaluate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, _ = evaluate()
    assert code == 0
    assert "(AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = 1.000" in out
    assert "area= large | maxDets= 20 ] = n/a" in out
    assert "ms an image: network" in out
    results = tmp_path / "results"
    with (results / "results.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["", "metric", "IoU", "area", "maxDets", "score"]
    assert rows[1][:5] == ["0", "AP", "0.50:0.95", "all", "20"]
    assert float(rows[1][5]) == pytest.approx(1)
    assert len(rows) == 11
    detections = json.loads((results / "detections.json").read_text())
    assert [entry["image_id"] for entry in detections["images"]] == [4, 5, 6]
    assert detections["images"][2]["keypoints"] == []
    coco = json.loads((results / "detections_coco_format.json").read_text())
    assert {result["category_id"] for result in coco} == {3}
    np.testing.assert_allclose(coco[0]["keypoints"][:2], [84, 140], atol=1)  # bottom comes first
    kpi = json.loads((results / "status.json").read_text().splitlines()[1])["kpi"]
    assert kpi["AP_0.50:0.95_all"] == pytest.approx(1)
    assert len(kpi) == 12
    assert kpi["network_ms"] > 0


def test_a_missing_image_is_named_and_left_out(
    evaluate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "data/images/5.png").unlink()
    code, out, err = evaluate()
    assert code == 1
    assert "5.png cannot be read" in err
    assert "Keypoints of 2 images" in out
    assert "= 1.000" in out


def test_labels_for_another_size_are_named(
    evaluate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    labels = tmp_path / "data/labels.json"
    labels.write_text(labels.read_text().replace('"width": 256', '"width": 128', 1))
    code, _, err = evaluate()
    assert code == 1
    assert "4.png is 256x256 pixels, but its labels are for 128x256" in err


def test_limit_takes_the_first_images(evaluate: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = evaluate("--limit", "1")
    assert code == 0
    assert "Keypoints of 1 images" in out


def test_nothing_found_is_no_crash(evaluate: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = evaluate("--set", "heatmap_threshold=2.0")
    assert code == 0
    assert "(AP) @[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = 0.000" in out


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("data/labels.json", "", "labels.json"),
        ("data/labels.json", '{"images": [], "annotations": [], "categories": []}', "labels.json"),
        (
            "data/labels.json",
            json.dumps({"images": [], "annotations": [], "categories": [CATEGORY]}),
            "lists no images",
        ),
        ("data/spec.json", '{"root_directory_path": "x", "categories": []}', "no `test_data`"),
        ("data/spec.json", "{", "spec.json"),
        ("pair.onnx", "not a model", "pair.onnx"),
    ],
)
def test_wrong_inputs_end_in_one_sentence(
    evaluate: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    name: str,
    content: str,
    sentence: str,
) -> None:
    (tmp_path / name).write_text(content)
    code, _, err = evaluate()
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


def test_dry_run_names_what_is_not_there_yet(
    evaluate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "data/labels.json").unlink()
    code, out, err = evaluate("--dry_run", "--set", "flip_test=true", "-m", "gone.onnx")
    assert code == 0
    assert "flip_test: true" in out
    assert f"not there yet: gone.onnx; {tmp_path / 'data/labels.json'}" in err
    assert not (tmp_path / "results").exists()


def test_a_skeleton_without_the_datasets_keypoints_is_named(
    evaluate: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for name in ("labels.json", "spec.json"):
        path = tmp_path / "data" / name
        path.write_text(path.read_text().replace('"bottom", "top"', '"head", "tail"'))
    code, _, err = evaluate()
    assert code == 1
    assert "none of the dataset's keypoints" in err


def test_worst_images_without_a_report_are_warned_of(
    evaluate: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, said = evaluate("--no_report", "--worst", "3")
    assert code == 0
    assert "--worst: no effect with --no_report" in said
