"""A real network, exported in every precision and verified on real photographs."""

import json
from pathlib import Path

import pytest
import yaml

from bpnet.cli import main

pytestmark = pytest.mark.coco

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = 24
CALIBRATION = 40


def write_specs(shared_data: Path, folder: Path) -> tuple[Path, Path]:
    """A dataset spec of the real photos, and the spec of the real network."""
    dataset = json.loads((REPOSITORY / "data_pose_config" / "coco_spec.json").read_text())
    dataset["root_directory_path"] = str(shared_data / "coco")
    dataset["test_data"] = {
        "images_root_dir_path": "val",
        "annotation_root_dir_path": "annotations/person_keypoints_val.json",
    }
    del dataset["train_data"]
    (folder / "dataset.json").write_text(json.dumps(dataset))
    inference = yaml.safe_load(
        (REPOSITORY / "specs" / "infer_spec_lightweight_openpose.yaml").read_text()
    )
    inference["pose_config_path"] = str(REPOSITORY / inference["pose_config_path"])
    (folder / "inference.yaml").write_text(yaml.safe_dump(inference))
    return folder / "dataset.json", folder / "inference.yaml"


def test_a_real_network_keeps_its_people_and_its_ap(shared_data: Path, tmp_path: Path) -> None:
    dataset, inference = write_specs(shared_data, tmp_path)
    model = shared_data / "models" / "human-pose-estimation-0001.onnx"
    command = ["export", "-m", str(model), "--inference_spec", str(inference), "-d", "288,384,3"]
    photos = ["--cal_image_dir", str(shared_data / "coco" / "train"), "--batches", str(CALIBRATION)]
    verify = ["--verify", str(dataset), "--verify_limit", str(IMAGES)]
    bundle = tmp_path / "bundle"
    lenient = ["--max_drop", "5"]
    assert main([*command, "--bundle", str(bundle), *photos, *verify, *lenient]) == 0
    found = {}
    for sidecar in (bundle / "models").glob("*.json"):
        found |= json.loads(sidecar.read_text())["comparison"]
    assert found["trained_AP"] > 0.3
    assert max(found["fp32_heatmaps_max"], found["fp32_pafs_max"]) < 1e-5
    assert found["fp32_people_agreement"] == 1
    assert found["fp32_AP"] == found["trained_AP"]
    assert found["fp16_people_agreement_by_score"] > 0.99
    # So few images say a point of AP or two, so the interval is asked, not its middle.
    for kind in ("fp16", "int8_onnxruntime", "int8_tensorrt", "int8+fp16"):
        assert found[f"{kind}_AP_difference_high"] >= -0.01, kind
        assert found[f"{kind}_people_agreement_by_score"] > 0.9, kind
