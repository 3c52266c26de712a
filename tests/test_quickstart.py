"""The quickstart, small: every command runs, and the report says what came of it."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bpnet.cli import main
from bpnet.errors import ExitCode

VARIANTS = ["trained", "pruned", "retrained"]
VARIANTS += ["onnx_trained", "onnx_fp32", "onnx_fp16", "onnx_int8"]


SMALL = ["--steps", "5", "--images", "8", "--seed", "3"]


def run_small(root: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """A quickstart of a few steps in a process of its own, for determinism is a process's."""
    command = [sys.executable, "-m", "bpnet", "quickstart", "-r", str(root), *SMALL]
    return subprocess.run(
        [*command, *map(str, options)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quickstart") / "run"
    options = ["--write_baseline", root.parent / "baseline.json", "--max_drop", "1.5"]
    done = run_small(root, *options)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def baseline(quickstart: Path) -> Path:
    return quickstart.parent / "baseline.json"


def test_it_ends_with_figures_of_every_variant(quickstart: Path) -> None:
    rows = json.loads((quickstart / "results.json").read_text())
    assert [row["variant"] for row in rows] == VARIANTS
    by_name = {row["variant"]: row for row in rows}
    assert by_name["pruned"]["parameters"] <= 0.6 * by_name["trained"]["parameters"]
    assert by_name["pruned"]["gflops"] <= 0.5 * by_name["trained"]["gflops"]
    assert by_name["onnx_int8"]["gflops"] == by_name["pruned"]["gflops"]
    assert by_name["onnx_trained"]["gflops"] == by_name["trained"]["gflops"]
    assert by_name["onnx_fp16"]["bytes"] < 0.6 * by_name["onnx_fp32"]["bytes"]
    assert by_name["onnx_int8"]["bytes"] < 0.4 * by_name["onnx_fp32"]["bytes"]
    assert all(0 <= row["ap"] <= 1 and row["ms_per_image"] > 0 for row in rows)
    assert {row["generator"] for row in rows} == {"1"}


def test_the_report_stands_alone(quickstart: Path) -> None:
    page = (quickstart / "report.html").read_text()
    assert all(variant in page for variant in VARIANTS)
    assert page.count("<img") == 4
    assert 'src="data:image' in page
    assert "://" not in page  # which, unlike http, stands in no picture's base64


def test_the_int8_model_drew_every_picture(quickstart: Path) -> None:
    assert len(list((quickstart / "inference" / "images_annotated").glob("*.png"))) == 8


def test_it_does_not_start_over_an_earlier_one(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quickstart", "-r", str(quickstart)]) == 1
    assert "delete it" in capsys.readouterr().err


def test_a_dry_run_prints_the_commands_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quickstart", "-r", str(tmp_path / "none"), "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18
    assert all(line.startswith("bpnet ") for line in lines)
    assert [line.split()[6:8] for line in lines if line.startswith("bpnet train")] == [
        ["--max_minutes", "7.39"],
        ["--max_minutes", "3.81"],
    ]
    assert not (tmp_path / "none").exists()


def changed(baseline: Path, path: Path, change: Callable[[Any], Any]) -> Path:
    content = json.loads(baseline.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def last_row(root: Path, training: str) -> dict[str, str]:
    """Of a training's results: text, so that every digit is compared."""
    with (root / training / "results.csv").open() as file:
        return list(csv.DictReader(file))[-1]


def test_so_many_steps_are_trained_and_retrained(quickstart: Path) -> None:
    assert [last_row(quickstart, name)["step"] for name in ("train", "retrain")] == ["3", "2"]


def test_the_same_steps_and_seed_give_the_same_figures_and_a_fall_is_exit_code_3(
    quickstart: Path, baseline: Path, tmp_path: Path
) -> None:
    def ask_for_more(content: dict[str, Any]) -> None:
        content["variants"]["onnx_int8"]["metrics"]["AP_0.50:0.95_all"] += 0.016

    higher = changed(baseline, tmp_path / "higher.json", ask_for_more)
    written = tmp_path / "written.json"
    done = run_small(
        tmp_path / "run", "--baseline", higher, "--write_baseline", written, "--max_drop", "1.5"
    )
    assert done.returncode == ExitCode.BELOW_BASELINE, done.stderr
    assert done.stderr.count("points below the baseline's") == 1
    assert "bpnet quickstart: AP of onnx_int8 is " in done.stderr
    assert written.read_bytes() == baseline.read_bytes()  # every figure but the time
    for training in ("train", "retrain"):  # the losses say more: AP is 0 after so few steps
        rows = [last_row(root, training) for root in (tmp_path / "run", quickstart)]
        for row in rows:
            del row["minutes"], row["images_per_second"]
        assert rows[0] == rows[1]


def test_a_baseline_says_what_it_began_with_and_what_came_of_it(
    quickstart: Path, baseline: Path
) -> None:
    content = json.loads(baseline.read_text())
    begun = content["beginning"]
    assert (begun["seed"], begun["steps"], begun["images"], begun["generator"]) == (3, 5, 8, "1")
    assert len(begun["labels_sha256"]) == len(begun["network_sha256"]) == 64
    assert content["max_drop"] == 1.5
    rows = json.loads((quickstart / "results.json").read_text())
    assert [*content["variants"]] == VARIANTS
    for row, variant in zip(rows, content["variants"].values(), strict=True):
        assert variant["metrics"] == {"AP_0.50:0.95_all": row["ap"], "AP_0.5": row["ap50"]}
        assert (variant["parameters"], variant["gflops"]) == (row["parameters"], row["gflops"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "4"], "is of seed 3 (here 4), so it"),
        (["--steps", "6", "--images", "9"], "is of steps 5 (here 6), images 8 (here 9), so it"),
    ],
)
def test_a_baseline_of_other_settings_is_refused_before_anything_is_drawn(
    baseline: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    command = ["quickstart", "-r", str(tmp_path / "run"), *SMALL, *options]
    assert main([*command, "--baseline", str(baseline)]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_baseline_of_other_labels_or_networks_is_refused_before_training(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = {"labels_sha256": "1" * 64, "network_sha256": "2" * 64}
    other = changed(
        baseline, tmp_path / "other.json", lambda said: said["beginning"].update(digests)
    )
    root = tmp_path / "run"
    assert main(["quickstart", "-r", str(root), *SMALL, "--baseline", str(other)]) == 1
    said = capsys.readouterr().err
    assert "is of labels_sha256 111111111111 (here " in said
    assert ", network_sha256 222222222222 (here " in said
    assert (root / "data").is_dir()
    assert not (root / "train").exists()


def test_what_is_no_baseline_of_steps_is_refused(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quickstart", "-r", str(tmp_path / "run")]
    for option in ("--baseline", "--write_baseline"):
        assert main([*command, option, str(baseline)]) == 1
        assert "need --steps" in capsys.readouterr().err
    for damage in ("beginning", "variants", "max_drop"):
        broken = changed(baseline, tmp_path / "broken.json", lambda said, key=damage: said.pop(key))
        assert main([*command, *SMALL, "--baseline", str(broken)]) == 1
        assert "broken.json is no baseline" in capsys.readouterr().err
    assert main([*command, "--steps", "5", "--minutes", "1"]) == ExitCode.USAGE
    assert "not allowed with" in capsys.readouterr().err


def test_a_missing_library_is_named_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert main(["quickstart", "-r", str(tmp_path / "none")]) == 1
    assert "needs TensorFlow: pip install 'bpnet[train]'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
