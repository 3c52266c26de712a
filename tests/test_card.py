"""``bpnet card``: every figure of the card is one of a file's, and gaps are named."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bpnet import cli
from bpnet.commands.card_markdown import table
from bpnet.export.sidecar import write_sidecar
from bpnet.files import digest
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category

ROOT = Path(__file__).resolve().parents[1]
SPEC = ROOT / "specs" / "bpnet_train_m1_coco.yaml"
BEETLE = Skeleton.from_category(
    Category(keypoints=["head", "left_leg", "right_leg"], skeleton=[[1, 2], [1, 3]]), "beetle"
)
CONTRACT = ModelContract(
    BEETLE,
    height=64,
    width=96,
    extra={"parameters": "1234567", "source_sha256": "5" * 64, "model_licence": "MIT"},
)
WORDS = "--model_version 3 --authors A --intended_use U --data D --data_licence L --ethics E"


def model(path: Path, contract: ModelContract = CONTRACT) -> Path:
    """A file with a sidecar, which says what it is without anybody reading ONNX."""
    path.write_bytes(path.name.encode() * 100)
    write_sidecar(path, contract, {})
    return path


def evaluation(folder: Path, sha256: str, **figures: Any) -> Path:
    folder.mkdir()
    metrics = dict.fromkeys(("ap", "ap50", "ap75", "ap_m", "ap_l", "ar"), 0.5)
    content = {
        "images": 160,
        "failures": 0,
        "model": {"file": "m.onnx", "sha256": sha256},
        "labels_sha256": "abc",
        "metrics": {**metrics, "ap": 0.6512, "ap_l": -1.0},
        **figures,
    }
    (folder / "evaluation.json").write_text(json.dumps(content))
    return folder


def card(path: Path, *arguments: Path | str) -> str:
    output = path / "card.md"
    assert cli.main(["card", *map(str, arguments), "-o", str(output), "--overwrite"]) == 0
    return output.read_text()


def test_the_card_has_the_sections_of_ngc_in_order(tmp_path):
    text = card(tmp_path, model(tmp_path / "m.onnx"))
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert sections == [
        "Model overview",
        "Model architecture",
        "Training",
        "Performance",
        "How to use this model",
        "Limitations",
        "Model versions",
        "References",
        "Licence",
        "Ethical considerations",
    ]
    assert "# m model card" in text


def test_the_metadata_are_in_it(tmp_path):
    path = model(tmp_path / "m.onnx")
    text = card(tmp_path, path)
    for said in (
        "the 3 keypoints of every instance of `beetle`",
        "| parameters | 1,234,567 |",
        "head-left_leg, head-right_leg",
        "64 x 96 (H x W), NHWC",
        "| channels | 4 and 4 |",
        "Weights: MIT",
        digest(path),
    ):
        assert said in text


def test_gaps_are_named_and_strict_fails(tmp_path, capsys):
    path = model(tmp_path / "m.onnx")
    line = ["card", str(path), "--strict"]
    assert cli.main(line) == 1
    warned = capsys.readouterr().err
    for option in ("--authors", "--data_licence", "--evaluation", "--benchmark", "--training"):
        assert option in warned
    assert "--licence" not in warned.replace("--data_licence", "")
    assert path.with_suffix(".card.md").read_text().count("*Not stated.*") == warned.count("(--")


def test_a_complete_card_passes_strict(tmp_path):
    path = model(tmp_path / "m.onnx")
    folder = evaluation(tmp_path / "e", digest(path), sizes=[])
    speed = tmp_path / "speed.json"
    speed.write_text(json.dumps({"results": [measured_speed("m.onnx")]}))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "experiment_spec.yaml").write_text(SPEC.read_text())
    line = ["card", path, "--evaluation", folder, "--benchmark", speed, "--limit", "night"]
    line += ["--training", tmp_path / "train", "--strict", *WORDS.split()]
    assert cli.main([str(word) for word in line]) == 0
    text = path.with_suffix(".card.md").read_text()
    assert "Not stated" not in text
    assert "- night" in text


def measured_speed(name: str) -> dict[str, Any]:
    spread = {"median": 4.25, "low": 4.0, "high": 5.0}
    return {
        "model": f"/elsewhere/{name}",
        "runs_on": "cpu",
        "threads": None,
        "height": 64,
        "width": 96,
        "batch": 8,
        "call_ms": spread,
        "ms": {"decode": {**spread, "median": 0.123}},
        "images_per_s": {**spread, "median": 219.6},
    }


def test_speed_is_that_of_the_cards_models_only(tmp_path):
    speed = tmp_path / "speed.json"
    rows = [measured_speed("m.onnx"), measured_speed("other.onnx")]
    machine = {"platform": "Jetson", "cores": 6}
    speed.write_text(json.dumps({"machine": machine, "results": rows}))
    text = card(tmp_path, model(tmp_path / "m.onnx"), "--benchmark", speed)
    row = "| `m.onnx` | Jetson, 6 cores; cpu, all threads | 64 x 96 | 8 | 4.2 | 0.12 | 220 |"
    assert row in text
    assert "other.onnx" not in text


def test_evaluations_go_to_the_file_they_are_of(tmp_path):
    fp32 = model(tmp_path / "m.onnx")
    int8 = model(tmp_path / "m8.onnx", dataclasses.replace(CONTRACT, precision="int8"))
    folders = [
        evaluation(tmp_path / "1", digest(int8)),
        evaluation(tmp_path / "2", "5" * 64),
        evaluation(tmp_path / "3", "6" * 64),
    ]
    text = card(tmp_path, fp32, int8, "--evaluation", *folders)
    assert "| `m8.onnx` (int8) | 160 | 65.1 | 50.0 | 50.0 | 50.0 | - | 50.0 |" in text
    assert "| `m.onnx` (the trained network) | 160 |" in text
    assert "| `m.onnx` (another file) | 160 |" in text
    assert "| `m8.onnx` | int8 | 0.00 | 65.1 | - | - |" in text
    assert "| `m.onnx` | fp32 | 0.00 | - | - | - |" in text


def test_the_protocol_is_what_the_evaluation_used(tmp_path):
    path = model(tmp_path / "m.onnx")
    folder = evaluation(tmp_path / "e", digest(path))
    assert "as the model's metadata say" in card(tmp_path, path, "--evaluation", folder)
    spec = {
        "input_shape": [64, 96],
        "flip_test": True,
        "scales": None,
        "decoder": {"preset": "tao"},
    }
    found = {"inference_spec": spec, "images": []}
    (folder / "detections.json").write_text(json.dumps(found))
    text = card(tmp_path, path, "--evaluation", folder / "evaluation.json")
    assert "| input 64 x 96; flip test yes; decoder tao | abc |" in text


def test_what_export_measured_is_in_the_table_of_precisions(tmp_path):
    extra = {
        **CONTRACT.extra,
        "maps_cosine": "0.999",
        "dataset": "beetles, 20 images",
        "ap": "0.6000",
        "ap_exported": "0.5950",
        "ap_difference_interval": "-0.0100 +0.0020",
    }
    text = card(tmp_path, model(tmp_path / "m.onnx", dataclasses.replace(CONTRACT, extra=extra)))
    assert "59.5 (60.0 trained; 95 %: -1.0 to +0.2) | 0.999 |" in text
    assert "AP at export is of beetles, 20 images." in text


def test_weak_groups_and_keypoints_are_limits(tmp_path):
    path = model(tmp_path / "m.onnx")

    def group(name: str, people: int, ap: float) -> dict[str, Any]:
        return {"name": name, "images": 3, "people": people, "ap": ap, "ar": ap}

    def keypoint(name: str, ap: float) -> dict[str, Any]:
        return {"name": name, "labelled": 9, "ap": ap, "pck": [ap]}

    folder = evaluation(
        tmp_path / "e",
        digest(path),
        sizes=[group("small", 5, 0.07), group("large", 9, 0.64), group("huge", 0, -1.0)],
        keypoints=[keypoint("head", 0.9), keypoint("tail", 0.2)],
        errors={"ap": 0.65, "kinds": [{"kind": "miss", "count": 4, "alone": 0.7}]},
        failures=2,
    )
    text = card(tmp_path, path, "--evaluation", folder)
    assert "- size small: AP 7.0, against 65.1 over all (5 people in 3 images)" in text
    assert "size large" not in text
    assert "huge" not in text
    assert "lowest AP: tail (20.0), head (90.0)" in text
    assert "2 images could not be used" in text
    assert "| miss | 4 | +5.0 |" in text
    assert "| tail | 9 | 20.0 | 20.0 |" in text


def test_the_training_is_that_of_the_results_folder(tmp_path, capsys):
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "experiment_spec.yaml").write_text(SPEC.read_text())
    kpi = {"status": "RUNNING", "epoch": 5, "max_epoch": 100, "kpi": {"ap": 0.421}}
    after = {"status": "RUNNING", "epoch": 6, "max_epoch": 100}
    lines = [json.dumps(line) for line in ({"status": "STARTED"}, kpi, after)]
    (folder / "status.json").write_text("\n".join(lines))
    extra = {**CONTRACT.extra, "training_spec_sha256": "0" * 64}
    path = model(tmp_path / "m.onnx", dataclasses.replace(CONTRACT, extra=extra))
    text = card(tmp_path, path, "--training", folder)
    assert "| epochs | 6 of 100 |" in text
    assert "| AP while training | 42.1 |" in text
    assert "| data | coco |" in text
    assert "is not the training of" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": 3}', '{"metrics": {}}'])
def test_a_file_that_is_no_evaluation_is_a_named_failure(content, tmp_path, capsys):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "evaluation.json").write_text(content)
    line = ["card", str(path), "--evaluation", str(tmp_path), "-o", str(tmp_path / "c.md")]
    assert cli.main(line) == 1
    assert "bpnet card: error: " in capsys.readouterr().err
    assert not (tmp_path / "c.md").exists()


def test_a_card_is_not_written_over(tmp_path, capsys):
    path = model(tmp_path / "m.onnx")
    path.with_suffix(".card.md").write_text("my own words")
    assert cli.main(["card", str(path)]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_sidecar_of_another_file_says_nothing(tmp_path, capsys):
    path = model(tmp_path / "m.onnx")
    path.write_bytes(b"changed")
    assert cli.main(["card", str(path)]) == 1
    assert "m.onnx" in capsys.readouterr().err


def test_an_onnx_files_own_metadata_will_do(tmp_path):
    onnx = pytest.importorskip("onnx")
    from bpnet.export.graph import set_contract

    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    outputs = ("heatmap_out", "paf_out")
    contract = dataclasses.replace(CONTRACT, layout="nchw", input_name="x")
    nodes = [
        make.make_node("Conv", ["x", f"{name}.w"], [name], kernel_shape=[8, 8], strides=[8, 8])
        for name in outputs
    ]
    weights = [
        onnx.helper.make_tensor(f"{name}.w", kind, [4, 3, 8, 8], [0.0] * 768) for name in outputs
    ]
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info("x", kind, [1, 3, 64, 96])],
        [make.make_tensor_value_info(name, kind, [1, 4, 8, 12]) for name in outputs],
        weights,
    )
    opset = make.make_opsetid("", 13)
    made = make.make_model(graph, opset_imports=[opset], ir_version=8)
    set_contract(made, contract)
    onnx.save(made, tmp_path / "m.onnx")
    assert "`beetle`" in card(tmp_path, tmp_path / "m.onnx")


def test_a_cell_stays_in_its_line():
    assert list(table(("a", "b"), [("x | y", "two\nlines")]))[2] == r"| x \| y | two lines |"
