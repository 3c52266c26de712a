"""What lies beside an exported file."""

import hashlib
import json

import pytest
from exported_network import CONTRACT

import bpnet
from bpnet.errors import DataError, ModelError
from bpnet.export.sidecar import versions, write_sidecar
from bpnet.files import sidecar_path
from bpnet.inference.tensorrt_backend import read_sidecar
from bpnet.pose.contract import ModelContract


def test_a_sidecar_is_read_as_it_was_written(tmp_path):
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"plan")
    path = write_sidecar(engine, CONTRACT, {"verify": {"pafs_max": 0.25}})
    assert path == sidecar_path(engine) == tmp_path / "model.engine.json"
    said = json.loads(path.read_text())
    assert read_sidecar(engine) == (CONTRACT, said)
    assert said["sha256"] == hashlib.sha256(b"plan").hexdigest()
    assert said["verify"] == {"pafs_max": 0.25}
    assert said["file"] == "model.engine"
    assert said["versions"]["bpnet"] == bpnet.__version__
    assert sorted(one.name for one in tmp_path.iterdir()) == ["model.engine", "model.engine.json"]


def test_a_sidecar_is_for_people_too(tmp_path):
    (tmp_path / "x.onnx").touch()
    facts = {"sizes": [[64, 96], []], "licence": 'CC [4.0] \n "free"', "names": ["a [", "b"]}
    text = write_sidecar(tmp_path / "x.onnx", CONTRACT, facts).read_text(encoding="utf-8")
    assert '  "image_scale": [256.0, 256.0, 256.0],\n' in text
    assert "  [64, 96],\n  []\n ]" in text
    said = json.loads(text)
    assert {name: said[name] for name in facts} == facts


def test_a_sidecar_of_no_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"gone\.onnx cannot be read"):
        write_sidecar(tmp_path / "gone.onnx", CONTRACT, {})
    (tmp_path / "x.onnx").touch()
    with pytest.raises(ValueError, match="facts may not say sha256"):
        write_sidecar(tmp_path / "x.onnx", CONTRACT, {"sha256": "0"})


def test_versions_are_of_what_is_installed():
    assert {"bpnet", "python", "numpy", "onnx", "onnxruntime"} <= set(versions())


def test_extra_is_read_as_text_or_refused():
    said = CONTRACT.to_dict()
    assert ModelContract.from_dict(said | {"extra": {"ap": 0.4}}).extra == {"ap": "0.4"}
    with pytest.raises(ModelError, match="metadata is damaged"):
        ModelContract.from_dict(said | {"extra": ["ap"]})
