"""``bpnet export``: what it writes, what it refuses, what it says."""

import json

import cv2
import numpy as np
import onnx
import pytest
import yaml
from exported_network import CONTRACT, HEIGHT, SKELETON, WIDTH, get_contract, photos, small_network

from bpnet.cli import main
from bpnet.encryption import decrypt
from bpnet.export.calibration import METHODS
from bpnet.export.calibration_cache import read_cache
from bpnet.export.tensorfile import tensorfile_shape
from bpnet.export.verify import MAXIMUM_ERROR
from bpnet.inference.backend import open_backend
from bpnet.model.files import save_model
from bpnet.pose.contract import ModelContract

SIZE = ["-d", f"{HEIGHT},{WIDTH},3"]
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


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def model_path(network, tmp_path_factory):
    return save_model(network, tmp_path_factory.mktemp("model") / "small.keras", CONTRACT)


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, image in enumerate(photos(4, height=50, width=100)):
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


@pytest.fixture
def export(model_path):
    """Runs the command on the small network; returns the exit code."""

    def run(*arguments: object) -> int:
        return main(["export", "-m", str(model_path), *SIZE, *map(str, arguments)])

    return run


@pytest.fixture
def calibration(photo_folder):
    return ["--cal_image_dir", photo_folder, "--batches", 2, "--batch_size", 2]


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_int8_is_written_with_what_it_is(export, calibration, tmp_path):
    output = tmp_path / "small.int8.onnx"
    licences = ["--model_licence", "Apache-2.0", "--data_licence", "CC BY 4.0"]
    arguments = ["-o", output, "-r", tmp_path, "--data_type", "int8", *calibration, *licences]
    assert export(*arguments) == 0
    assert names(tmp_path) == ["small.int8.onnx", "small.int8.onnx.json", "status.json"]
    contract = open_backend(output).contract
    assert (contract.precision, contract.height, contract.width) == ("int8", 64, 96)
    said = contract.extra
    method, _, rest = said["calibration"].partition(" ")
    assert method in METHODS
    assert rest == "of 4 images"
    assert (said["model_licence"], said["data_licence"]) == ("Apache-2.0", "CC BY 4.0")
    assert said["source"] == "small.keras"
    assert "heatmap_out/Conv" in said["float_convolutions"]
    sidecar = json.loads((tmp_path / "small.int8.onnx.json").read_text())
    assert ModelContract.from_dict(sidecar["bpnet"]) == contract
    lines = [json.loads(line) for line in (tmp_path / "status.json").read_text().splitlines()]
    assert lines[-1]["status"] == "SUCCESS"
    (figures,) = [line["kpi"] for line in lines if "kpi" in line]
    assert figures["int8_onnxruntime_pafs_mean"] == pytest.approx(
        sidecar["comparison"]["int8_onnxruntime_pafs_mean"]
    )
    assert figures["fp32_pafs_max"] < 1e-5


def test_tensorfile_and_cache_are_written_and_used_again(export, calibration, tmp_path):
    tensors, cache = tmp_path / "cal.tensorfile", tmp_path / "cal.bin"
    files = ["--cal_data_file", tensors, "--cal_cache_file", cache, "--data_type", "int8"]
    written = ["--cal_data_precision", "float16", "--tensorrt_version", "8.6.1"]
    assert export("-o", tmp_path / "a.onnx", *files, *written, *calibration) == 0
    assert tensorfile_shape(tensors) == (4, 64, 96)
    assert cache.read_text().splitlines()[0] == "TRT-8601-EntropyCalibration2"
    scale = graph_constants(tmp_path / "a.onnx")["input/Transpose.scale"]
    assert read_cache(cache)["input/Transpose"] == pytest.approx(float(scale) * 127, rel=1e-6)
    # None of them needs photos any more.
    assert export("-o", tmp_path / "c.onnx", *files) == 0
    cache.unlink()
    assert export("-o", tmp_path / "b.onnx", *files) == 0
    first, second, third = (graph_constants(tmp_path / f"{name}.onnx") for name in "abc")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert all(np.allclose(first[name], third[name], rtol=1e-6) for name in first)


def graph_constants(path) -> dict[str, np.ndarray]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


def test_tensorrt_11_has_no_calibration_cache(export, calibration, tmp_path, capsys):
    cache = ["--cal_cache_file", tmp_path / "cal.bin", "--tensorrt_version", "11.4.0"]
    assert export("-o", tmp_path / "x.onnx", "--data_type", "int8", *cache, *calibration) == 1
    assert "TensorRT 11.4.0 reads no calibration cache" in capsys.readouterr().err
    assert names(tmp_path) == []


def test_without_a_gpu_everything_but_the_engine_is_written(
    export, calibration, tmp_path, capsys, caplog
):
    from bpnet.inference.cuda_memory import missing_gpu

    if missing_gpu() is None:
        pytest.skip("this machine has an NVIDIA GPU")
    engine = tmp_path / "small.engine"
    output = tmp_path / "small.onnx"
    batches = ["--max_batch_size", 8, "--opt_batch_size", 4]
    asked = ["-o", output, "--engine_file", engine, "--data_type", "int8+fp16", *batches]
    assert export(*asked, *calibration) == 1
    assert names(tmp_path) == ["small.onnx", "small.onnx.json"]
    assert f"{engine} cannot be built here" in caplog.text
    said = capsys.readouterr().out
    assert "  TensorRT 8: " in said
    for release in ("10", "11"):
        assert f"  TensorRT {release}: trtexec --onnx={output}" in said
    assert f"--saveEngine={engine}" in said
    assert "--optShapes=input_1:0:4x64x96x3" in said


def test_a_bundle_holds_every_precision(export, calibration, tmp_path, capsys):
    assert export("--bundle", tmp_path / "b", *calibration, "--layout", "nchw") == 0
    assert names(tmp_path / "b" / "models") == [
        "calibration.cache",
        *sorted(
            f"small.{kind}.onnx{suffix}"
            for kind in ("fp16", "fp32", "int8_fp16", "int8_onnxruntime", "int8_tensorrt")
            for suffix in ("", ".json")
        ),
    ]
    assert (tmp_path / "b" / "README.md").is_file()
    for path in (tmp_path / "b" / "models").glob("*.onnx"):
        backend = open_backend(path)
        assert backend.contract.layout == "nchw"
        assert len(backend.predict(np.stack(photos(2)))) == 2
    models = tmp_path / "b" / "models"
    graphs = {path.stem: onnx.load(path) for path in models.glob("*.onnx")}
    opsets = {name: graph.opset_import[0].version for name, graph in graphs.items()}
    tensors = {name for node in graphs["small.fp32"].graph.node for name in node.output}
    assert set(read_cache(models / "calibration.cache")) == tensors | {"input_1"}
    assert opsets["small.int8_tensorrt"] == 13
    assert opsets["small.int8_fp16"] == 19
    assert export("--bundle", tmp_path / "b", *calibration) == 1
    assert "--overwrite to replace it" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_written(export, calibration, tmp_path, capsys):
    assert export("--bundle", tmp_path / "b", *calibration, "--dry_run") == 0
    said = capsys.readouterr().out
    assert f"# would write {tmp_path}/b/models/small.int8_fp16.onnx: int8+fp16, opset 19" in said
    assert f"# would write {tmp_path}/b/models/calibration.cache" in said
    assert names(tmp_path) == []


def test_with_a_key_the_output_is_encrypted(export, tmp_path):
    output = tmp_path / "x.etlt"
    assert export("-o", output) == 1
    assert export("-o", output, "-k", "secret") == 0
    exported = onnx.load_from_string(decrypt(output.read_bytes(), "secret"))
    assert get_contract(exported).skeleton == CONTRACT.skeleton
    assert open_backend(output, key="secret").contract.height == HEIGHT


def test_an_output_that_exists_is_not_replaced_unasked(export, tmp_path, capsys):
    output = tmp_path / "x.onnx"
    output.write_bytes(b"mine")
    assert export("-o", output) == 1
    assert "--overwrite to replace it" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"


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
    assert contract.extra["training_spec"] == "train.yaml"
    said = yaml.safe_load(contract.extra["training_spec_text"])
    assert said["dataloader"]["normalization_params"]["image_scale"] == [128.0] * 3
    assert said["dataloader"]["pose_config"]["pose_config_path"] == "four.json"
    assert str(tmp_path) not in json.dumps(contract.to_dict())


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


def test_a_model_that_is_not_the_network_is_rejected(export, tmp_path, monkeypatch, capsys):
    output = tmp_path / "x.onnx"
    with monkeypatch.context() as changed:
        changed.setitem(MAXIMUM_ERROR, "fp32", -1.0)
        assert export("-o", output) == 4
    assert "it is kept as" in capsys.readouterr().err
    assert names(tmp_path) == ["x.onnx.rejected"]
    assert export("-o", output) == 0
    assert names(tmp_path) == ["x.onnx", "x.onnx.json"]


REFUSED = {  # options: what the error says
    "--data_type int8": "INT8 needs --cal_image_dir",
    "--data_type int8 --cal_image_dir absent": "absent is not a folder",
    "--data_type int8+fp16 --int8_form onnxruntime --cal_image_dir .": "for TensorRT only",
    "--data_type int8+fp16 --opset 17 --cal_image_dir .": "--opset 19 or newer",
    "--data_type int8 --int8_form onnxruntime --engine_file e --cal_image_dir .": "int8_form",
    "--data_type int8 --dla_core 0 --engine_file e --cal_image_dir .": "--cal_cache_file",
    "--engine_file e --opt_batch_size 4 --max_batch_size 2": "must not decrease",
    "--static_batch_size 0": "expected 1 or more",
    "--verify absent.json": "absent.json",
}


@pytest.mark.parametrize("options", REFUSED)
def test_options_that_do_not_go_together_are_refused(
    export, options, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert export("-o", "x.onnx", *options.split()) == 1
    assert REFUSED[options] in capsys.readouterr().err
    assert names(tmp_path) == []


def test_options_without_effect_say_so(export, tmp_path, caplog):
    given = [
        "--max_batch_size",
        "4",
        "-s",
        "--calibration_method",
        "max",
        "--max_drop",
        "2",
        "-u",
        "2",
        "-t",
        "uff",
    ]
    assert export("-o", tmp_path / "x.onnx", "--dry_run", *given) == 0
    for said in (
        "--max_batch_size has no effect without --engine_file or --bundle",
        "--strict_type_constraints has no effect without",
        "--calibration_method has no effect without an INT8 --data_type",
        "--max_drop has no effect without --verify",
        "--upsample_ratio has no effect without --sdk_compatible_model",
        "--backend uff has no effect",
    ):
        assert said in caplog.text
    caplog.clear()
    assert export("-o", tmp_path / "x.onnx", "--dry_run", "-t", "tfonnx") == 0
    assert caplog.text == ""


@pytest.mark.parametrize("dims", ["288,384", "290,384,3", "a,b,3"])
def test_impossible_sizes_are_refused(model_path, dims):
    assert main(["export", "-m", str(model_path), "-d", dims]) == 2
