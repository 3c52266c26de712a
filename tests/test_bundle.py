"""The files of ``export --bundle``: they are all there, can be read, and say the same."""

import configparser
import dataclasses
import hashlib
import json
import logging
import re
import shlex
from pathlib import Path

import pytest
import yaml
from bundles import CONTRACT, make_bundle, write_network
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

import bpnet
from bpnet.errors import ModelError
from bpnet.export.bundle import BundleSettings, write_bundle
from bpnet.export.bundle_sources import skeleton_file
from bpnet.export.calibration_cache import write_cache
from bpnet.export.engine_settings import EngineSettings
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton

ROOT = Path(__file__).resolve().parents[1]
SKELETONS = sorted((ROOT / "model_pose_config").glob("*.json"))


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A bundle of everything that can be exported, four images a run."""
    folder = tmp_path / "bundle"
    artefacts = {
        label: write_network(folder / f"pose_{name}.onnx", CONTRACT)
        for label, name in (
            ("fp32", "fp32"),
            ("fp16", "fp16"),
            ("int8 tensorrt", "int8"),
            ("int8+fp16", "mixed"),
            ("int8 onnxruntime", "cpu"),
        )
    }
    cache = folder / "pose.cache"
    write_cache(cache, {"input_1:0": 0.5}, tensorrt="10.3.0")
    settings = BundleSettings(label="bird", engine=EngineSettings(opt_batch=2, max_batch=4))
    write_bundle(folder, {**artefacts, "calibration cache": cache}, CONTRACT, settings=settings)
    return folder


def read_text(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(path.read_text(encoding="utf-8"))
    return {name: dict(parser[name]) for name in parser.sections()}


def test_both_forms_of_every_configuration_say_the_same(full: Path) -> None:
    names = sorted(path.stem for path in (full / "deepstream").glob("config_*.txt"))
    assert names == sorted(path.stem for path in (full / "deepstream").glob("config_*.yml"))
    assert len(names) == 8
    for name in names:
        text = read_text(full / f"deepstream/{name}.txt")
        tree = yaml.safe_load((full / f"deepstream/{name}.yml").read_text(encoding="utf-8"))
        assert {
            section: {key: str(value) for key, value in values.items()}
            for section, values in tree.items()
        } == text


def test_a_configuration_feeds_the_network_as_its_contract_says(full: Path) -> None:
    said = read_text(full / "deepstream/config_fp16_tensors.txt")["property"]

    assert said == {
        "gpu-id": "0",
        "onnx-file": "../pose_fp32.onnx",
        "model-engine-file": "../pose_fp32.onnx_b4_gpu0_fp16.engine",
        "network-mode": "2",
        "batch-size": "4",
        "infer-dims": "3;64;96",
        "network-input-order": "1",
        "model-color-format": "0",
        "net-scale-factor": "0.00390625",
        "offsets": "128.0;128.0;128.0",
        "maintain-aspect-ratio": "1",
        "symmetric-padding": "1",
        "scaling-filter": "1",
        "scaling-compute-hw": "1",
        "output-blob-names": "paf_out/BiasAdd:0;heatmap_out/BiasAdd:0",
        "process-mode": "1",
        "gie-unique-id": "1",
        "num-detected-classes": "1",
        "labelfile-path": "labels.txt",
        "network-type": "100",
        "output-tensor-meta": "1",
    }


def test_each_precision_has_the_keys_it_needs(full: Path) -> None:
    keys = ("onnx-file", "network-mode", "int8-calib-file", "strongly-typed", "network-type")
    found = {}
    for path in (full / "deepstream").glob("config_*.txt"):
        said = read_text(path)["property"]
        found[path.stem] = tuple(said.get(key) for key in keys)

    assert found["config_fp32"] == ("../pose_fp32.onnx", "0", None, None, "3")
    assert found["config_int8"] == ("../pose_fp32.onnx", "1", "../pose.cache", None, "3")
    assert found["config_int8_qdq"] == ("../pose_mixed.onnx", "0", None, "1", "3")
    assert found["config_int8_qdq_tensors"][4] == "100"


def test_every_file_that_a_configuration_names_is_there(full: Path) -> None:
    built = {"libnvdsinfer_bpnet.so"}
    for path in (full / "deepstream").glob("config_*.txt"):
        said = read_text(path)["property"]
        for key in ("onnx-file", "int8-calib-file", "labelfile-path", "custom-lib-path"):
            name = said.get(key)
            assert name is None or name in built or (path.parent / name).is_file(), (path, name)
    source = (full / "deepstream/nvdsinfer_bpnet.cpp").read_text(encoding="utf-8")
    said = read_text(full / "deepstream/config_fp16.txt")["property"]
    assert f"bool {said['parse-bbox-instance-mask-func-name']}(" in source
    assert "deepstream/libnvdsinfer_bpnet.so" in (full / "Makefile").read_text(encoding="utf-8")
    assert (full / "deepstream/labels.txt").read_text(encoding="utf-8") == "bird\n"


def test_bgr_and_nchw_reach_the_configuration(tmp_path: Path) -> None:
    scale, offset = (255.0, 255.0, 255.0), (0.4, 0.5, 0.6)
    contract = dataclasses.replace(
        CONTRACT, layout="nchw", channel_order="bgr", image_scale=scale, image_offset=offset
    )

    said = read_text(make_bundle(tmp_path, contract) / "deepstream/config_fp32.txt")["property"]

    assert (said["network-input-order"], said["model-color-format"]) == ("0", "1")
    assert said["offsets"] == "102.0;127.5;153.0"
    assert float(said["net-scale-factor"]) == 1 / 255


def test_what_nvinfer_cannot_normalise_has_no_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contract = dataclasses.replace(CONTRACT, image_scale=(58.4, 57.1, 57.4))

    with caplog.at_level(logging.WARNING):
        bundle = make_bundle(tmp_path, contract)

    assert not list((bundle / "deepstream").glob("config_*"))
    assert "divides all channels by one number" in caplog.text
    assert "Not for this network: Gst-nvinfer divides" in (bundle / "README.md").read_text()


def model_config() -> type:
    """What we use of Triton's ``ModelConfig`` (model_config.proto), by its own field names."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", syntax="proto3")
    messages: dict[str, list[tuple[str, int | str, bool]]] = {
        "Tensor": [("name", 9, False), ("data_type", 9, False), ("dims", 3, True)],
        "Group": [("count", 5, False), ("kind", 9, False)],
        "Batching": [],
        "ModelConfig": [
            ("name", 9, False),
            ("platform", 9, False),
            ("max_batch_size", 5, False),
            ("input", "Tensor", True),
            ("output", "Tensor", True),
            ("dynamic_batching", "Batching", False),
            ("instance_group", "Group", True),
        ],
    }
    for name, entries in messages.items():
        message = file.message_type.add(name=name)
        for number, (key, kind, repeated) in enumerate(entries, start=1):
            field = message.field.add(name=key, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                field.type, field.type_name = 11, f".{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ModelConfig"))


def read_pbtxt(path: Path):
    text = path.read_text(encoding="utf-8")
    quoted = re.sub(r"\b(TYPE_\w+|KIND_\w+)", r'"\1"', text)  # enums, which are text above
    return text_format.Parse(quoted, model_config()())


def test_triton_reads_its_configurations(full: Path) -> None:
    onnx = read_pbtxt(full / "triton/onnxruntime/bpnet/config.pbtxt")
    cpu = read_pbtxt(full / "triton/onnxruntime_int8/bpnet/config.pbtxt")
    engine = read_pbtxt(full / "triton/tensorrt/bpnet/config.pbtxt")

    assert (onnx.name, onnx.platform, onnx.max_batch_size) == ("bpnet", "onnxruntime_onnx", 4)
    assert [(one.name, one.data_type, list(one.dims)) for one in onnx.input] == [
        ("input_1:0", "TYPE_FP32", [64, 96, 3])
    ]
    assert {one.name: list(one.dims) for one in onnx.output} == {
        "paf_out/BiasAdd:0": [8, 12, 2],
        "heatmap_out/BiasAdd:0": [8, 12, 3],
    }
    assert onnx.HasField("dynamic_batching")
    assert [group.kind for group in cpu.instance_group] == ["KIND_CPU"]
    assert engine.platform == "tensorrt_plan"
    for repository, name in (("onnxruntime", "fp32"), ("onnxruntime_int8", "cpu")):
        copy = full / f"triton/{repository}/bpnet/1/model.onnx"
        assert copy.read_bytes() == (full / f"pose_{name}.onnx").read_bytes()
    assert [path.name for path in (full / "triton/tensorrt/bpnet/1").iterdir()] == ["README.txt"]


def test_a_fixed_batch_is_an_axis_for_triton_and_the_batch_of_deepstream(tmp_path: Path) -> None:
    fp32 = write_network(tmp_path / "b/fixed.onnx", CONTRACT, batch=2)
    engine = tmp_path / "x.engine"
    engine.write_bytes(b"plan")

    write_bundle(tmp_path / "b", {"fp32": fp32, "engine": engine}, CONTRACT)

    said = read_pbtxt(tmp_path / "b/triton/tensorrt/bpnet/config.pbtxt")
    assert (said.max_batch_size, list(said.input[0].dims)) == (0, [2, 64, 96, 3])
    text = read_text(tmp_path / "b/deepstream/config_fp32.txt")["property"]
    assert text["batch-size"] == "2"
    assert (tmp_path / "b/triton/tensorrt/bpnet/1/model.plan").read_bytes() == b"plan"
    assert (tmp_path / "b/models/x.engine").read_bytes() == b"plan"


def test_a_dla_reaches_the_configuration_and_the_commands(tmp_path: Path) -> None:
    fp32 = write_network(tmp_path / "pose.onnx", CONTRACT)
    engine = EngineSettings(data_type="fp16", dla_core=1, timing_cache=tmp_path / "here.cache")

    write_bundle(tmp_path, {"fp32": fp32}, CONTRACT, settings=BundleSettings(engine=engine))

    said = read_text(tmp_path / "deepstream/config_fp16.txt")["property"]
    assert (said["enable-dla"], said["use-dla-core"]) == ("1", "1")
    assert said["model-engine-file"] == "../pose.onnx_b1_dla1_fp16.engine"
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "--saveEngine=pose.onnx_b1_dla1_fp16.engine" in text
    assert "--useDLACore=1" in text
    assert "here.cache" not in text


def test_int8_on_a_dla_is_built_of_the_float32_file_and_the_cache(tmp_path: Path) -> None:
    files = {
        label: write_network(tmp_path / f"pose_{number}.onnx", CONTRACT)
        for number, label in enumerate(("fp32", "int8 tensorrt", "int8+fp16"))
    }
    files["calibration cache"] = tmp_path / "calibration.cache"
    files["calibration cache"].write_text("TRT-100300-EntropyCalibration2\n")
    engine = EngineSettings(data_type="int8+fp16", dla_core=0)

    write_bundle(tmp_path, files, CONTRACT, settings=BundleSettings(engine=engine))

    names = {path.stem for path in (tmp_path / "deepstream").glob("config_*")}
    assert {"config_int8", "config_fp16"} <= names
    assert not {name for name in names if "qdq" in name}
    said = read_text(tmp_path / "deepstream/config_int8.txt")["property"]
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "int8_qdq" not in text
    (line,) = [
        one for one in text.splitlines() if one.endswith("# TensorRT 10") and "--int8" in one
    ]
    assert "--onnx=pose_0.onnx" in line
    assert "--int8 --fp16 --calib=calibration.cache" in line
    assert said["model-engine-file"] == f"../{line.split('--saveEngine=')[1].split()[0]}"


@pytest.mark.parametrize("path", SKELETONS, ids=lambda path: path.stem)
def test_the_skeleton_file_is_the_contracts_skeleton(path: Path, tmp_path: Path) -> None:
    skeleton = dataclasses.replace(Skeleton.load(path), name="mine")
    written = tmp_path / "skeleton.json"
    written.write_text(json.dumps(skeleton_file(skeleton, "animal")), encoding="utf-8")

    assert Skeleton.load(written) == skeleton


def test_the_contract_and_the_digests_are_those_of_the_files(full: Path) -> None:
    document = json.loads((full / "contract.json").read_text(encoding="utf-8"))

    assert ModelContract.from_dict(document["bpnet"]) == CONTRACT
    assert document["decoder"]["heatmap_threshold"] == CONTRACT.heatmap_threshold
    assert document["versions"]["bpnet"] == bpnet.__version__
    entry = document["files"]["int8+fp16"]
    assert entry["file"] == "pose_mixed.onnx"
    assert entry["sha256"] == hashlib.sha256((full / entry["file"]).read_bytes()).hexdigest()


def test_the_readme_names_files_that_are_there(full: Path) -> None:
    text = (full / "README.md").read_text(encoding="utf-8")

    assert "@" not in re.sub(r"\S+@\S+", "", text)
    named = set(re.findall(r"`((?:deepstream|triton|decoder|pose)[\w./]*)`", text))
    assert len(named) >= 10
    missing = {name for name in named if not list(full.glob(f"{name.rstrip('/')}*"))}
    assert missing == {"triton/tensorrt/bpnet/1/model.plan"}
    commands = [line for line in text.splitlines() if line.startswith("trtexec ")]
    assert len(commands) == 6
    for command in commands:
        words = shlex.split(command, comments=True)
        onnx = next(word for word in words if word.startswith("--onnx="))
        assert (full / onnx.removeprefix("--onnx=")).is_file()
    saved = {re.search(r"--saveEngine=(\S+)", command)[1] for command in commands}
    configured = {
        read_text(full / f"deepstream/config_{name}.txt")["property"]["model-engine-file"]
        for name in ("fp16", "int8_qdq")
    }
    assert {f"../{name}" for name in saved} == configured
    assert "TRT-8502-EntropyCalibration2" in text


def test_a_file_that_is_no_plain_onnx_is_refused(tmp_path: Path) -> None:
    sealed = tmp_path / "model.etlt"
    sealed.write_bytes(b"\x00\xffnot a graph\xff")

    with pytest.raises(ModelError, match=r"model\.etlt is no plain ONNX file"):
        write_bundle(tmp_path / "bundle", {"fp32": sealed}, CONTRACT)
    assert not (tmp_path / "bundle").exists()


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(CONTRACT, paf_output="elsewhere")
    path = write_network(tmp_path / "model.onnx", CONTRACT)

    with pytest.raises(ModelError, match="no input or output elsewhere, only input_1:0"):
        write_bundle(tmp_path / "bundle", {"fp32": path}, other)


def test_a_network_without_a_fixed_size_is_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path / "model.onnx", CONTRACT)
    free = dataclasses.replace(CONTRACT, height=None, width=None)

    with pytest.raises(ModelError, match="takes images of any size"):
        write_bundle(tmp_path / "bundle", {"fp32": path}, free)
