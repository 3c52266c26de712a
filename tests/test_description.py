"""Model files that carry no metadata are described by spec files, alike for every command."""

import json
from pathlib import Path

import pytest
from spots import write_model, write_spots

from bpnet.cli import main
from bpnet.errors import ModelError
from bpnet.inference.description import describe_by_inference_spec, describe_by_training_spec
from bpnet.spec.inference import InferenceSpec, ModelInput, ModelOutput
from bpnet.spec.reader import read_spec
from bpnet.spec.train import BpNetTrainer

CATEGORY = {"name": "person", "keypoints": ["top", "bottom"], "skeleton": [[1, 2]]}
TRAINING = """
dataloader:
  pose_config: {{pose_config_path: {skeleton}}}
  dataset_config:
    root_data_path: data
    train_records_folder_path: data
    train_records_path: [records]
    dataset_specs: {{coco: coco.json}}
  normalization_params: {{image_scale: [128.0, 128.0, 128.0], image_offset: [1.0, 1.0, 1.0]}}
"""


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    path = tmp_path / "pair.json"
    path.write_text(json.dumps({"name": "pair", "categories": [CATEGORY]}))
    return path


@pytest.fixture
def training(tmp_path: Path, skeleton: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(TRAINING.format(skeleton=skeleton))
    return path


@pytest.mark.parametrize(("name", "corners"), [("x.hdf5", True), ("x.onnx", False)])
def test_taos_files_have_pafs_on_cell_corners(training: Path, name: str, corners: bool) -> None:
    trained = describe_by_training_spec(Path(name), read_spec(training, BpNetTrainer))
    inferred = describe_by_inference_spec(Path(name), InferenceSpec(train_spec=str(training)))
    assert trained == inferred
    assert trained.paf_cell_corners is corners
    assert (trained.image_scale, trained.image_offset) == ((128.0,) * 3, (1.0,) * 3)


def test_what_the_inference_spec_says_comes_first(training: Path) -> None:
    spec = InferenceSpec(
        train_spec=str(training),
        model_input=ModelInput(channel_order="bgr", layout="nchw"),
        model_output=ModelOutput(pafs="p", paf_cell_corners=False),
    )
    contract = describe_by_inference_spec(Path("x.hdf5"), spec)
    assert (contract.channel_order, contract.layout) == ("bgr", "nchw")
    assert (contract.image_scale, contract.image_offset) == ((256.0,) * 3, (0.5,) * 3)
    assert (contract.heatmap_output, contract.paf_output) == ("heatmap_out", "p")
    assert not contract.paf_cell_corners


def test_a_missing_training_spec_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelError, match=r"x\.onnx carries no metadata.*set pose_config_path"):
        describe_by_inference_spec(Path("x.onnx"), InferenceSpec(train_spec="gone.yaml"))
    assert "gone.yaml does not exist" in caplog.text


def test_a_model_that_describes_itself_needs_no_description(
    tmp_path: Path, skeleton: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "pair.onnx")
    photo = write_spots(tmp_path / "photo.png", [((80, 50), (84, 140))])
    arguments = ["inference", "-m", str(model), "--input", str(photo), "-r", str(tmp_path / "r")]
    assert main([*arguments, "--set", f"pose_config_path={skeleton}"]) == 0
    assert "pose_config_path: no effect" in capsys.readouterr().err
