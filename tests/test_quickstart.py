"""The quickstart, small: every command runs, and the report says what came of it."""

import json
from pathlib import Path

import pytest

from bpnet.cli import main

VARIANTS = ["trained", "pruned", "retrained"]
VARIANTS += ["onnx_trained", "onnx_fp32", "onnx_fp16", "onnx_int8"]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quickstart") / "run"
    assert main(["quickstart", "-r", str(root), "--minutes", "0.05", "--images", "16"]) == 0
    return root


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
    assert "http" not in page


def test_the_int8_model_drew_every_picture(quickstart: Path) -> None:
    assert len(list((quickstart / "inference" / "images_annotated").glob("*.png"))) == 16


def test_it_does_not_start_over_an_earlier_one(
    quickstart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quickstart", "-r", str(quickstart), "--images", "16"]) == 1
    assert "delete it" in capsys.readouterr().err


def test_a_dry_run_prints_the_commands_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quickstart", "-r", str(tmp_path / "none"), "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18
    assert all(line.startswith("bpnet ") for line in lines)
    assert not (tmp_path / "none").exists()
