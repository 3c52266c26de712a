"""``bpnet benchmark`` through ``main``: every combination is a line, in the table and in JSON."""

import dataclasses
import json
from pathlib import Path

import pytest
from exported_network import CONTRACT as SMALL
from exported_network import small_network
from spots import CONTRACT, write_model, write_spots

from bpnet.cli import main

STAGES = {"read", "prepare", "network", "decode", "draw"}
QUICK = ["--repeats", "3", "--warm_up", "1"]


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_model(tmp_path / "m.onnx"))


def measure(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    assert main(["benchmark", *QUICK, "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)["results"]


def test_every_combination_is_measured(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    combined = ["--batch_sizes", "1", "2", "--sizes", "64x96", "100x100", "--streams", "1", "2"]
    results = measure(capsys, "-m", model, model, *combined, "--threads", "1", "--providers", "cpu")
    assert len(results) == 2 * 2 * 2 * 2
    assert {(each["height"], each["width"]) for each in results} == {(64, 96), (104, 104)}
    assert {(each["batch"], each["streams"]) for each in results} == {
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    }
    for each in results:
        assert (each["runs_on"], each["threads"], each["precision"]) == ("cpu", 1, "fp32")
        assert set(each["ms"]) == STAGES
        for spread in (*each["ms"].values(), each["call_ms"], each["images_per_s"]):
            assert 0 < spread["low"] <= spread["median"] <= spread["high"]


def test_stages_and_images_a_second_tell_the_same(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = measure(capsys, "-m", model, "--batch_sizes", "4", "--sizes", "256x256")
    network = result["ms"]["network"]["median"]
    assert result["images_per_s"]["median"] == pytest.approx(1000 / network, rel=0.01)
    assert result["call_ms"]["median"] <= 4 * network * 1.01  # the rest is the way to the caller
    everything = sum(stage["low"] for stage in result["ms"].values())
    assert result["one_by_one_per_s"]["median"] <= 1000 / everything


def test_people_of_a_folder_are_found(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    write_spots(photos / "a.png", [((80, 50), (84, 140))])
    write_spots(photos / "b.png", [((80, 50), (84, 140)), ((180, 90), (180, 200))])
    batch = ["--batch_sizes", "2"]
    (result,) = measure(capsys, "-m", model, "--input", str(photos), *batch)
    assert result["people"] == 1.5
    assert (result["height"], result["width"]) == (256, 256)


def test_people_are_sought_by_the_models_own_thresholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_spots(tmp_path / "photos/a.png", [((80, 50), (84, 140))])
    blind = dataclasses.replace(CONTRACT, heatmap_threshold=2.0)  # no spot is so bright
    model = str(write_model(tmp_path / "blind.onnx", blind))
    chosen = ["-m", model, "--input", str(tmp_path / "photos")]
    (result,) = measure(capsys, *chosen)
    assert result["people"] == 0
    (result,) = measure(capsys, *chosen, "--set", "heatmap_threshold=0.1")
    assert result["people"] == 1


def test_the_table_has_a_line_a_combination_and_the_file_the_rest(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "speed.json"
    arguments = ["-m", model, "--batch_sizes", "1", "3", "--json", str(file)]
    assert main(["benchmark", *QUICK, *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["model", "runs", "on"]
    assert [line.split()[0:3] for line in lines[1:3]] == [["m.onnx", "fp32", "cpu"]] * 2
    assert lines[3] == f"result: {file}"
    document = json.loads(file.read_text())
    assert [each["batch"] for each in document["results"]] == [1, 3]
    assert document["machine"]["cores"] >= 1
    assert (document["repeats"], document["warm_up"]) == (3, 1)


def test_a_model_of_a_fixed_size_runs_at_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    path = write_model(tmp_path / "m.onnx", CONTRACT)
    model = onnx.load(str(path))
    for axis, side in ((2, 64), (3, 128)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
    onnx.save(model, str(path))
    assert main(["benchmark", *QUICK, "--json", "-m", str(path), "--sizes", "32x32", "8x8"]) == 0
    said = capsys.readouterr()
    (result,) = json.loads(said.out)["results"]
    assert (result["height"], result["width"]) == (64, 128)
    assert "runs at 64x128 only" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-m", "gone.onnx"], 1, "gone.onnx does not exist"),
        ([], 1, "-m is missing"),
        (["--threads", "1", "2"], 1, "-m is missing"),
        (["-m", "MODEL", "--sizes", "300"], 2, "HEIGHTxWIDTH"),
        (["-m", "MODEL", "--input", "gone"], 1, "gone is not a folder"),
        (["-m", "m.keras", "--threads", "1", "2"], 1, "m.keras takes one value"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(
    model: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    given = [model if each == "MODEL" else each for each in arguments]
    assert main(["benchmark", *QUICK, *given]) == code
    assert sentence in capsys.readouterr().err


def test_a_provider_that_a_file_does_not_take_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("keras")
    from bpnet.model.files import save_model

    network = small_network()
    path = save_model(network, tmp_path / "m.keras", SMALL)
    arguments = ["benchmark", *QUICK, "-m", str(path), "--sizes", "64x96"]
    assert main([*arguments, "--providers", "cuda", "cpu"]) == 0
    said = capsys.readouterr()
    assert "--provider cuda: no effect" in said.err
    assert len([line for line in said.out.splitlines() if line.startswith("m.keras")]) == 1
