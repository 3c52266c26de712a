"""``bpnet export`` of an ONNX network, verified on labelled images."""

import argparse
import dataclasses
import json
import sys

import numpy as np
import onnx
import precision
import pytest
from onnx import TensorProto, helper, numpy_helper
from spots import CONTRACT, write_dataset, write_model

from bpnet.cli import main
from bpnet.commands.export_deployment import verify_engine
from bpnet.commands.export_results import Trials
from bpnet.commands.export_source import Source
from bpnet.errors import ExportRejectedError
from bpnet.export.calibration_cache import read_cache, write_cache
from bpnet.inference.backend import open_backend
from bpnet.inference.onnx_backend import OnnxBackend
from bpnet.inference.sources import read_image

SIZE = ["-d", "192,256,3"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A network that finds spots behind a convolution that INT8 holds, its photos and labels."""
    folder = tmp_path_factory.mktemp("spots")
    write_dataset(folder)
    model = onnx.load(write_model(folder / "plain.onnx"))
    graph = model.graph
    graph.node[0].input[0] = "trunk"  # the pooling
    weight = np.eye(3, dtype=np.float32)[..., None, None]
    graph.initializer.append(numpy_helper.from_array(weight, "t"))
    for place, node in enumerate(
        (
            helper.make_node("Conv", ["x", "t"], ["raw"]),
            helper.make_node("Relu", ["raw"], ["trunk"]),
        )
    ):
        graph.node.insert(place, node)
    onnx.save(model, folder / "spots.onnx")
    return folder


def export(root, *arguments: object) -> int:
    return main(["export", "-m", str(root / "spots.onnx"), *SIZE, *map(str, arguments)])


def int8(root, output) -> list[object]:
    photos = ["--cal_image_dir", root / "images", "--batches", 3, "--calibration_method", "max"]
    return ["-o", output, "--data_type", "int8", *photos, "--verify", root / "spec.json"]


def test_ap_and_people_are_measured_and_written(root, tmp_path, capsys):
    output = tmp_path / "int8.onnx"
    assert export(root, *int8(root, output)) == 0
    said = capsys.readouterr().out
    assert "people: " in said
    assert "paired over 3 images" in said
    contract = open_backend(output).contract
    assert (contract.layout, contract.height, contract.width) == ("nchw", 192, 256)
    assert contract.extra["dataset"] == "coco, 3 images of labels.json"
    assert float(contract.extra["ap"]) > 0.9
    assert float(contract.extra["ap_exported"]) > 0.9
    numbers = json.loads((tmp_path / "int8.onnx.json").read_text())["comparison"]
    assert numbers["int8_onnxruntime_people_agreement"] == 1


def test_int8_that_loses_people_is_rejected(root, tmp_path, capsys):
    output, cache = tmp_path / "int8.onnx", tmp_path / "cal.bin"
    asked = [*int8(root, output), "--cal_cache_file", cache]
    assert export(root, *asked) == 0
    output.unlink()
    tiny = {name: range_ / 50 for name, range_ in read_cache(cache).items()}
    write_cache(cache, tiny, tensorrt="10.3.0")
    capsys.readouterr()
    assert export(root, *asked) == 4
    assert "AP points, above the limit of 1; it is kept as" in capsys.readouterr().err
    assert not output.exists()
    assert (tmp_path / "int8.onnx.rejected").is_file()
    assert export(root, *asked, "--max_drop", 100) == 0
    capsys.readouterr()
    # The layer that costs the people stays float.
    assert export(root, *asked, "--overwrite", "--sensitivity") == 0
    said = capsys.readouterr().out
    assert "1 layers kept float: INT8 loses 0 AP points (limit 1)" in said
    contract = open_backend(output).contract
    assert contract.extra["kept_float"] == "raw/Conv"
    assert "raw/Conv" in contract.extra["float_convolutions"]


def test_a_foreign_network_is_described_by_an_inference_spec(root, tmp_path, capsys):
    silent = tmp_path / "silent.onnx"
    model = onnx.load(root / "spots.onnx")
    del model.metadata_props[:]
    onnx.save(model, silent)
    arguments = ["export", "-m", str(silent), *SIZE, "-o", str(tmp_path / "x.onnx")]
    assert main(arguments) == 1
    assert "--inference_spec" in capsys.readouterr().err
    skeleton = {"keypoints": ["top", "bottom"], "skeleton": [[1, 2]], "sigmas": [0.1, 0.1]}
    (tmp_path / "pair.json").write_text(json.dumps({"categories": [skeleton]}))
    spec = tmp_path / "infer.json"
    pixels = {"layout": "nchw", "image_scale": [255.0] * 3, "image_offset": [0.0] * 3}
    described = {
        "pose_config_path": str(tmp_path / "pair.json"),
        "model_input": pixels,
        "heatmap_threshold": 0.2,
    }
    spec.write_text(json.dumps(described))
    assert main([*arguments, "--inference_spec", str(spec), "--data_type", "fp16"]) == 0
    contract = open_backend(tmp_path / "x.onnx").contract
    assert contract.image_scale == CONTRACT.image_scale
    assert contract.heatmap_threshold == 0.2
    kinds = {one.data_type for one in onnx.load(tmp_path / "x.onnx").graph.initializer}
    assert kinds == {TensorProto.FLOAT16}


def test_a_graph_of_fixed_size_and_layout_stays_so(root, tmp_path, capsys):
    fixed = tmp_path / "fixed.onnx"
    assert export(root, "-o", fixed) == 0
    again = ["export", "-m", str(fixed), "-o", str(tmp_path / "y.onnx")]
    assert main([*again, "-d", "256,256,3"]) == 1
    assert "fixed to 192x256" in capsys.readouterr().err
    assert main([*again, "--layout", "nhwc"]) == 1
    assert "is NCHW and stays so" in capsys.readouterr().err
    assert main([*again, "--sdk_compatible_model"]) == 1
    assert "is ONNX already" in capsys.readouterr().err
    assert main([*again, "-o", str(fixed), "--overwrite"]) == 1
    assert "is the model itself" in capsys.readouterr().err


def test_an_engine_that_is_not_the_network_is_rejected(root, tmp_path, capsys):
    # The file stands for an engine: whatever the backend opens is compared in the same way.
    model = onnx.load(root / "spots.onnx")
    engine = tmp_path / "engine.onnx"
    onnx.save(model, engine)
    backend = OnnxBackend(root / "spots.onnx")
    contract = dataclasses.replace(backend.contract, height=256, width=256)
    source = Source(model, contract, backend, None)
    args = argparse.Namespace(engine_file=engine, data_type="fp32", max_drop=None)
    trials = Trials(lambda: [(4, read_image(root / "images" / "4.png"))], 1)
    assert verify_engine(args, source, trials).people.identical
    heads = next(one for one in model.graph.initializer if one.name == "w")
    heads.CopyFrom(numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "w"))
    onnx.save(model, engine)
    with pytest.raises(ExportRejectedError, match="engine is not the trained network"):
        verify_engine(args, source, trials)
    assert [path.name for path in tmp_path.iterdir()] == ["engine.onnx.rejected"]


def test_the_benchmark_measures_ap_of_every_precision(root, monkeypatch, capsys):
    arguments = ["--model", root / "spots.onnx", "--dataset", root / "spec.json", "--json"]
    photos = ["--calibration", root / "images", "--photos", 3, "--size", "192x256", "--rounds", 0]
    monkeypatch.setattr(sys, "argv", ["precision.py", *map(str, (*arguments, *photos))])
    precision.main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["ap_fp32"] == figures["ap_trained"] > 90
    assert figures["people_identical_fp32"]
    assert min(figures["ap_fp16"], figures["ap_int8"], figures["ap_int8_tensorrt"]) > 90
