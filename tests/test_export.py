"""Keras to ONNX: equal maps, TAO's names, and a command that refuses what is not the network."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import yaml
from exported_network import (
    CONTRACT,
    HEIGHT,
    SKELETON,
    WIDTH,
    get_contract,
    photos,
    small_network,
)

from bpnet.cli import main
from bpnet.encryption import decrypt
from bpnet.errors import ModelError
from bpnet.export.artefact import compare, draw_maps, to_precision
from bpnet.export.graph import write_onnx
from bpnet.export.onnx import to_onnx
from bpnet.export.verify import MAXIMUM_ERROR, compare_maps
from bpnet.inference.backend import open_backend
from bpnet.inference.keras_backend import KerasBackend
from bpnet.model.files import save_model
from bpnet.pose.maps import PoseMaps

SIZE = ["-d", f"{HEIGHT},{WIDTH},3"]


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def nhwc(network):
    return to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="module")
def model_path(network, tmp_path_factory):
    return save_model(network, tmp_path_factory.mktemp("model") / "small.keras", CONTRACT)


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, image in enumerate(photos(4, height=50, width=100)):
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


def comparison(network, graph, images, *, precision):
    trained = draw_maps(KerasBackend(network, CONTRACT), images)
    return compare(trained, graph, images, name=Path("x.onnx"), precision=precision)


def shapes(values) -> list[tuple]:
    return [
        (one.name, [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim])
        for one in values
    ]


def test_nhwc_has_taos_names_order_and_shapes(nhwc):
    graph = nhwc[0].graph
    assert shapes(graph.input) == [("input_1:0", ["batch", 64, 96, 3])]
    assert shapes(graph.output) == [
        ("paf_out/BiasAdd:0", ["batch", 8, 12, 6]),
        ("heatmap_out/BiasAdd:0", ["batch", 8, 12, 5]),
    ]


def test_nchw_has_no_transpose_and_plain_names(network, tmp_path):
    path = tmp_path / "network.onnx"
    exported, contract = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, layout="nchw")
    write_onnx(exported, path)
    graph = onnx.load(path).graph
    assert {node.op_type for node in graph.node} == {"Conv", "Relu", "Concat"}
    assert shapes(graph.input) == [("input_1", ["batch", 3, 64, 96])]
    assert shapes(graph.output) == [
        ("paf_out", ["batch", 6, 8, 12]),
        ("heatmap_out", ["batch", 5, 8, 12]),
    ]
    images = np.stack(photos(3))
    backend = open_backend(path)
    assert (backend.contract.layout, contract.layout) == ("nchw", "nchw")
    trained = KerasBackend(network, CONTRACT).predict(images)
    comparison = compare_maps(trained, backend.predict(images), precision="fp32")
    assert max(comparison.heatmaps.relative_maximum, comparison.pafs.relative_maximum) < 1e-5


def test_float32_maps_are_the_trained_networks(network, nhwc):
    found = comparison(network, nhwc[0], photos(2), precision="fp32")
    assert max(found.heatmaps.relative_maximum, found.pafs.relative_maximum) < 1e-5
    assert found.fault() is None


def test_names_inside_the_graph_do_not_depend_on_the_process(network, nhwc):
    again, _ = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH)
    assert again.SerializeToString(deterministic=True) == nhwc[0].SerializeToString(
        deterministic=True
    )
    names = {node.name for node in again.graph.node}
    assert {"input/Transpose", "block_1a_conv_1/Conv", "heatmap_out/Conv"} <= names
    assert not any("functional" in name or "StatefulPartitionedCall" in name for name in names)


def test_a_fixed_batch_is_in_the_file(network):
    exported, _ = to_onnx(network, CONTRACT, height=HEIGHT, width=WIDTH, batch=2)
    assert shapes(exported.graph.input)[0][1] == [2, 64, 96, 3]
    assert shapes(exported.graph.output)[0][1] == [2, 8, 12, 6]


def test_the_contract_survives_in_the_file(nhwc):
    exported, contract = nhwc
    assert get_contract(exported) == contract
    assert (contract.height, contract.width, contract.precision) == (64, 96, "fp32")
    assert contract.skeleton == CONTRACT.skeleton
    assert contract.extra == CONTRACT.extra


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_the_sdk_model_repeats_each_paf_cell(network, layout):
    exported, contract = to_onnx(
        network, CONTRACT, height=HEIGHT, width=WIDTH, layout=layout, paf_upsampling=4
    )
    onnx.checker.check_model(exported, full_check=True)
    if layout == "nhwc":
        assert shapes(exported.graph.output) == [
            ("conv2d_transpose_1/BiasAdd:0", ["batch", 32, 48, 6]),
            ("heatmap_out/BiasAdd:0", ["batch", 8, 12, 5]),
        ]
    assert (contract.paf_stride, contract.heatmap_stride) == (2, 8)
    found = comparison(network, exported, photos(1), precision="fp32")
    assert found.pafs.relative_maximum < 1e-5


def test_float16_is_near_and_keeps_float32_at_its_ends(network, nhwc):
    half = to_precision(*nhwc, "fp16")
    onnx.checker.check_model(half, full_check=True)
    ends = (*half.graph.input, *half.graph.output)
    assert {one.type.tensor_type.elem_type for one in ends} == {onnx.TensorProto.FLOAT}
    assert len(half.SerializeToString()) < 0.6 * len(nhwc[0].SerializeToString())
    assert get_contract(half).precision == "fp16"
    found = comparison(network, half, photos(2), precision="fp16")
    assert 0 < found.pafs.relative_maximum < 1e-2


def maps_of(value: float) -> list[PoseMaps]:
    heatmaps = np.float32([[[0.0], [1.0]]])
    return [PoseMaps(heatmaps + np.float32(value), np.ones((1, 2, 2), np.float32), 8, 8)]


def test_a_comparison_names_what_is_above_its_limit():
    assert compare_maps(maps_of(0), maps_of(5e-5), precision="fp32").fault() is None
    fault = compare_maps(maps_of(0), maps_of(5e-3), precision="fp32").fault()
    assert fault.startswith("the largest error of its heatmaps is 0.005 of the largest value")
    assert compare_maps(maps_of(0), maps_of(5e-3), precision="fp16").fault() is None
    assert compare_maps(maps_of(0), maps_of(5e-2), precision="int8").fault() is not None
    assert compare_maps(maps_of(0), maps_of(np.nan), precision="int8").fault() is not None


def test_noise_on_maps_of_nobody_is_no_fault():
    def nobody(value: float) -> list[PoseMaps]:
        flat = np.zeros((1, 2, 2), np.float32)
        return [PoseMaps(flat + np.float32(value), flat + np.float32(value), 8, 8)]

    assert compare_maps(nobody(0.01), nobody(0.015), precision="fp16").fault() is None
    assert compare_maps(nobody(0.01), nobody(0.03), precision="fp16").fault() is not None


def test_the_command_writes_int8_that_inference_can_open(model_path, photo_folder, tmp_path):
    output = tmp_path / "small.int8.onnx"
    calibration = ["--cal_image_dir", str(photo_folder), "--batches", "2", "--batch_size", "2"]
    arguments = ["-m", str(model_path), "-o", str(output), *SIZE, "-r", str(tmp_path)]
    assert main(["export", *arguments, "--data_type", "int8", *calibration]) == 0
    contract = open_backend(output).contract
    assert (contract.precision, contract.height, contract.width) == ("int8", 64, 96)
    assert contract.extra["calibration"] == "percentile of 4 images"
    lines = [json.loads(line) for line in (tmp_path / "status.json").read_text().splitlines()]
    assert lines[-1]["status"] == "SUCCESS"
    assert any("int8_pafs_mean" in line.get("kpi", {}) for line in lines)


def test_an_output_that_exists_is_not_replaced_unasked(model_path, tmp_path, capsys):
    output = tmp_path / "x.onnx"
    output.write_bytes(b"mine")
    assert main(["export", "-m", str(model_path), "-o", str(output), *SIZE]) == 1
    assert "--overwrite to replace it" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"


def test_with_a_key_the_output_is_encrypted(model_path, tmp_path):
    output = tmp_path / "x.etlt"
    arguments = ["-m", str(model_path), "-o", str(output), *SIZE, "--overwrite"]
    assert main(["export", *arguments]) == 1
    assert main(["export", *arguments, "-k", "secret"]) == 0
    exported = onnx.load_from_string(decrypt(output.read_bytes(), "secret"))
    assert get_contract(exported).skeleton == CONTRACT.skeleton
    assert open_backend(output, key="secret").contract.height == HEIGHT


SPEC = """__class_name__: BpNetTrainer
dataloader:
  pose_config: {{pose_config_path: {skeleton}}}
  dataset_config:
    root_data_path: data
    train_records_folder_path: data
    train_records_path: [records]
    dataset_specs: {{coco: coco.json}}
  normalization_params: {{image_scale: [128.0, 128.0, 128.0], image_offset: [1.0, 1.0, 1.0]}}
"""


def test_a_model_that_says_nothing_needs_its_training_spec(network, tmp_path, capsys):
    model_path = save_model(network, tmp_path / "silent.keras", None)
    arguments = ["-m", str(model_path), "-o", str(tmp_path / "x.onnx"), *SIZE]
    assert main(["export", *arguments]) == 1
    assert "give its training spec with -e" in capsys.readouterr().err
    skeleton = {"keypoints": list(SKELETON.keypoints), "skeleton": [[1, 2], [1, 3], [1, 4]]}
    (tmp_path / "four.json").write_text(json.dumps({"categories": [skeleton]}))
    spec = tmp_path / "train.yaml"
    spec.write_text(SPEC.format(skeleton=tmp_path / "four.json"))
    assert main(["export", *arguments, "-e", str(spec)]) == 0
    contract = open_backend(tmp_path / "x.onnx").contract
    assert (contract.image_scale, contract.image_offset) == ((128.0,) * 3, (1.0,) * 3)
    assert contract.skeleton.limbs == SKELETON.limbs


def test_a_dry_run_prints_the_training_spec(tmp_path, capsys):
    spec = tmp_path / "train.yaml"
    spec.write_text(SPEC.format(skeleton="four.json"))
    arguments = ["export", "-m", str(tmp_path / "gone.hdf5"), "--dry_run"]
    change = ["--set", "dataloader.batch_size=3"]
    assert main([*arguments, "-e", str(spec), *change]) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["dataloader"]["batch_size"] == 3
    assert "# would write" in out
    assert "not there yet" in err
    assert main([*arguments, *change]) == 1
    assert "name it with -e" in capsys.readouterr().err


def test_int8_without_photos_is_an_error(model_path, tmp_path, capsys):
    arguments = ["-m", str(model_path), "-o", str(tmp_path / "x.onnx"), "--data_type", "int8"]
    assert main(["export", *arguments]) == 1
    assert "--cal_image_dir" in capsys.readouterr().err
    assert main(["export", *arguments, "--cal_image_dir", str(tmp_path / "absent")]) == 1
    assert "absent is not a folder" in capsys.readouterr().err


def test_options_without_effect_say_why(model_path, tmp_path, caplog):
    arguments = ["-m", str(model_path), "-o", str(tmp_path / "x.onnx"), *SIZE, "--dry_run"]
    given = ["--engine_file", "x.engine", "-t", "tfonnx", "-u", "2"]
    assert main(["export", *arguments, *given]) == 0
    assert "--upsample_ratio has no effect without" in caplog.text
    assert "--engine_file has no effect: TensorRT engines are built by trtexec" in caplog.text
    assert "--backend" not in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_the_network_is_rejected(model_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(MAXIMUM_ERROR, "fp32", -1.0)
    output = tmp_path / "x.onnx"
    assert main(["export", "-m", str(model_path), "-o", str(output), *SIZE]) == 4
    assert "kept as" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx.rejected"]


def test_an_unsound_graph_leaves_no_file(nhwc, tmp_path):
    broken = onnx.ModelProto.FromString(nhwc[0].SerializeToString())
    del broken.graph.node[3]
    with pytest.raises(ModelError, match="is not sound ONNX"):
        write_onnx(broken, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dims", ["288,384", "290,384,3", "a,b,3"])
def test_impossible_sizes_are_refused(model_path, dims):
    assert main(["export", "-m", str(model_path), "-d", dims]) == 2
