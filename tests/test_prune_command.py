import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest
from spots import write_dataset

from bpnet.cli import main
from bpnet.model.description import describe_network
from bpnet.model.files import load_model, save_model
from bpnet.model.network import build_network
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import Category
from bpnet.spec.network import BpNetLiteModel

SECTION = BpNetLiteModel(stages=2, width_multiplier=0.125)
CONTRACT = ModelContract(
    Skeleton.from_category(Category(keypoints=["top", "bottom"], skeleton=[[1, 2]]), "pair"),
    extra={"trained_at": "32x48"},
)


@pytest.fixture
def saved(tmp_path):
    return save_model(build_network(SECTION), tmp_path / "model.keras", None)


def test_command_prunes_a_file(saved, tmp_path, capsys):
    target = tmp_path / "pruned.hdf5"
    code = main(
        ["prune", "-m", str(saved), "-o", str(target), "-pth", "0.99", "-nf", "4", "-pg", "4",
         "-n", "max", "-eq", "union", "-el", "stage1/conv1", "-v", "-r", str(tmp_path / "results")]
    )  # fmt: skip

    assert code == 0
    pruned, _ = load_model(tmp_path / "pruned.keras")
    assert pruned.get_layer("stage1.conv1").filters == 16
    assert pruned.count_params() < 0.8 * build_network(SECTION).count_params()
    assert "stage1.conv1" in capsys.readouterr().out
    report = json.loads((tmp_path / "pruned.pruning.json").read_text())
    rows = {row["layer"]: row for row in report["layers"]}
    assert report["parameters"]["after"] == pruned.count_params()
    assert report["gflops"]["after"] == describe_network(pruned, 256, 256).gflops
    assert rows["stage1.conv1"]["norms"] is None
    assert rows["stage1.conv2"]["kept"] == pruned.get_layer("stage1.conv2").filters
    assert rows["stage1.conv2"]["norms"]["max"] == 1.0
    assert '"pruning_ratio"' in (tmp_path / "results" / "status.json").read_text()


def test_dry_run_prints_the_table_and_writes_nothing(saved, tmp_path, capsys):
    code = main(
        ["prune", "-m", str(saved), "-o", str(tmp_path / "pruned.keras"), "--target_params", "0.5",
         "-pth", "0.2", "-nf", "1", "-pg", "1", "--dry_run"]
    )  # fmt: skip

    assert code == 0
    said = capsys.readouterr()
    lines = {line.split()[0]: line.split() for line in said.out.splitlines()}
    assert lines["layer"][1:] == ["kept", "all", "min", "25%", "50%", "75%", "max"]
    assert lines["paf_out"][1:] == ["38", "38", "stays", "whole"]
    assert lines["stage1.conv1"][-1] == "1"  # the largest norm, in its own unit
    assert {"threshold", "parameters", "GFLOPs"} <= set(lines)
    assert "--pruning_threshold: no effect" in said.err
    assert [x.name for x in tmp_path.iterdir()] == ["model.keras"]


def test_command_does_not_overwrite_its_input(saved, capsys):
    before = saved.read_bytes()

    assert main(["prune", "-m", str(saved), "-o", str(saved.with_suffix(".hdf5"))]) == 1
    assert "is the network to prune" in capsys.readouterr().err
    assert saved.read_bytes() == before


def test_command_measures_photos(tmp_path, capsys):
    draw = np.random.default_rng(0)
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / name), draw.integers(0, 256, (48, 64, 3), np.uint8))
    saved = save_model(build_network(SECTION), tmp_path / "model.keras", CONTRACT)
    arguments = ["prune", "-m", str(saved), "-o", str(tmp_path / "pruned.keras"),
                 "--target_flops", "0.5", "-nf", "4", "-pg", "4", "--criterion", "contribution",
                 "-n", "energy"]  # fmt: skip

    assert main(arguments) == 1
    assert "--criterion contribution needs --cal_image_dir" in capsys.readouterr().err
    photos = ["--cal_image_dir", str(tmp_path), "--cal_images", "2"]
    assert main([*arguments, *photos, "--compensate", "-eq", "intersection"]) == 0
    assert "--equalization_criterion: no effect" in capsys.readouterr().err
    pruned, contract = load_model(tmp_path / "pruned.keras")
    assert contract.extra["pruning_criterion"] == "contribution"
    whole = describe_network(build_network(SECTION), 256, 256)
    assert describe_network(pruned, 256, 256).gflops <= 0.5 * whole.gflops


def test_images_without_need_or_meaning_are_said(saved, tmp_path, capsys):
    arguments = ["prune", "-m", str(saved), "-o", str(tmp_path / "x.keras"), "--dry_run",
                 "--cal_image_dir", str(tmp_path), "-pth", "0.99"]  # fmt: skip

    assert main(arguments) == 0
    assert "--cal_image_dir: no effect with --criterion weights" in capsys.readouterr().err
    assert main([*arguments, "--criterion", "activation"]) == 1
    assert "does not say how pixels become its input" in capsys.readouterr().err


def test_what_leaves_nothing_to_prune_is_one_sentence(saved, tmp_path, capsys):
    every = [layer.name for layer in build_network(SECTION).layers]
    arguments = ["prune", "-m", str(saved), "-o", str(tmp_path / "x.keras")]

    for more, sentence in (
        (["-el", *every], "every layer is excluded from pruning; exclude fewer"),
        (["-pth", "2.5"], "the threshold 2.5 is not below any filter's norm (the largest is 1)"),
        (["-el", "stage1/conv9"], "no layer 'stage1/conv9' to exclude; did you mean stage1.conv"),
    ):
        assert main([*arguments, *more]) == 1
        said = capsys.readouterr().err.strip()
        assert sentence in said
        assert len(said.splitlines()) == 1
    assert [x.name for x in tmp_path.iterdir()] == ["model.keras"]


def test_a_foreign_model_is_refused_in_one_sentence(tmp_path, capsys):
    (tmp_path / "model.onnx").write_bytes(b"")

    code = main(["prune", "-m", str(tmp_path / "model.onnx"), "-o", str(tmp_path / "x.keras")])

    assert code == 1
    said = capsys.readouterr().err.strip()
    assert "model.onnx is not the name of a Keras model" in said
    assert len(said.splitlines()) == 1


def test_sweep_measures_ap_at_every_share(tmp_path, capsys):
    spec = write_dataset(tmp_path / "data")
    network = build_network(dataclasses.replace(SECTION, heat_channels=3, paf_channels=2))
    saved = save_model(network, tmp_path / "model.keras", CONTRACT)
    out = tmp_path / "out"
    arguments = ["prune", "-m", str(saved), "-o", str(out / "pruned.keras"), "-nf", "4", "-pg", "4",
                 "--sweep", "0.5", "0.001", "0.8", "--sweep_by", "target_params"]  # fmt: skip

    assert main(arguments) == 1
    assert "--sweep needs -d" in capsys.readouterr().err
    code = main([*arguments, "-d", str(spec), "--limit", "2", "-r", str(tmp_path / "results")])

    assert code == 1  # for the share that cannot be reached
    assert "--sweep 0.001: pruning leaves at least" in capsys.readouterr().err
    assert {x.name for x in out.iterdir()} == {
        "pruned.sweep.csv",
        "pruned.sweep.png",
    }
    with (out / "pruned.sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    left = [float(row["parameters_left"]) for row in rows]
    assert left[0] == 1.0
    assert 0.6 < left[1] <= 0.8
    assert 0.3 < left[2] <= 0.5
    assert [row["threshold"] == "" for row in rows] == [True, False, False]
    assert {float(row["ap"]) for row in rows} == {0.0}  # an untrained network sees nobody
    assert cv2.imread(str(out / "pruned.sweep.png")).shape[2] == 3
    assert "FAILURE" in (tmp_path / "results" / "status.json").read_text()


def test_options_of_the_sweep_are_nothing_without_it(saved, tmp_path, capsys):
    arguments = ["prune", "-m", str(saved), "-o", str(tmp_path / "x.keras"), "--dry_run",
                 "-pth", "0.99"]  # fmt: skip

    assert main([*arguments, "--limit", "3"]) == 0
    assert "--limit: no effect without --sweep" in capsys.readouterr().err
    assert main([*arguments, "--sweep", "0.1", "-d", "data.json"]) == 1
    assert "give it or --dry_run, not both" in capsys.readouterr().err
