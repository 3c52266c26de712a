"""The decoder's benchmarks: their reference finds people, their figures come out."""

import json
import shutil
import sys
from pathlib import Path

import decoder
import decoder_accuracy
import numpy as np
import pytest
from crowds import SIZE, draw_crowd, fill_maps, place_people
from scenes import draw_people
from spots import write_dataset, write_model
from x8_reference import X8Decoder, find_peaks_with_numpy, find_peaks_with_opencv

from bpnet.decode import Decoder
from bpnet.pose.skeleton import Skeleton

ROOT = Path(__file__).resolve().parents[1]
SKELETON = Skeleton.load(ROOT / "model_pose_config" / "bpnet_18joints.json")
# An upright person in the skeleton's order, pixels.
UPRIGHT = [(50, 20), (50, 45), (30, 47), (22, 75), (20, 100), (70, 47), (78, 75), (80, 100)]
UPRIGHT += [(38, 105), (36, 140), (35, 175), (62, 105), (64, 140), (65, 175)]
UPRIGHT += [(45, 14), (55, 14), (38, 18), (62, 18)]


def people_at(*corners: tuple[float, float]) -> np.ndarray:
    """Whole people (P, K, 3) with their upper left corners there."""
    one = np.column_stack([UPRIGHT, np.ones(len(UPRIGHT))])
    return np.stack([one + np.array([x, y, 0]) for x, y in corners]).astype(np.float32)


@pytest.mark.parametrize("find_peaks", [find_peaks_with_numpy, find_peaks_with_opencv])
def test_the_reference_finds_drawn_people_to_the_pixel(find_peaks):
    people = people_at((0, 0), (121, 3.3), (230, 40.25))
    found = X8Decoder(SKELETON, find_peaks)(draw_people(people, SKELETON, (240, 360)))
    assert len(found) == 3
    assert (found.score > 0.5).all()
    order = np.argsort(found.xy[:, 0, 0])
    assert np.abs(found.xy[order] - people[..., :2]).max() <= 1.5
    assert ((found.person_score > 0.9) & (found.person_score < 1)).all()


def test_the_reference_finds_nobody_in_empty_maps():
    nobody = np.zeros((0, len(SKELETON.keypoints), 3), np.float32)
    assert len(X8Decoder(SKELETON)(draw_people(nobody, SKELETON, (64, 64)))) == 0


def test_the_reference_drops_three_keypoints_as_tao_does():
    people = people_at((0, 0))
    people[:, 3:, 2] = 0  # nose, neck and right shoulder stay
    maps = draw_people(people, SKELETON, (240, 240))
    assert len(X8Decoder(SKELETON)(maps)) == 0
    assert len(Decoder(SKELETON)(maps)) == 1


def test_the_references_last_two_limbs_start_no_person():
    people = people_at((0, 0), (120, 0))
    people[1, :14, 2] = 0  # eyes and ears only: the two limbs between them
    maps = draw_people(people, SKELETON, (240, 240))
    assert len(X8Decoder(SKELETON)(maps)) == 1
    assert len(Decoder(SKELETON)(maps)) == 3


def test_a_crowd_is_a_function_of_its_seed():
    one, again, other = (draw_crowd(SKELETON, 6, seed) for seed in (0, 0, 1))
    assert one.heatmaps.shape == (46, 82, 19)
    assert one.pafs.shape == (46, 82, 38)
    np.testing.assert_array_equal(one.heatmaps, again.heatmaps)
    assert np.abs(one.heatmaps - other.heatmaps).max() > 0.1


def test_people_of_a_crowd_stand_in_the_picture():
    people = place_people(np.random.default_rng(0), SKELETON, 10)
    labelled = people[people[..., 2] > 0]
    assert people.shape == (10, 18, 3)
    assert 100 < len(labelled) < 180
    assert (labelled[:, :2] >= 0).all()
    assert (labelled[:, :2] <= [SIZE[1] - 1, SIZE[0] - 1]).all()


def test_full_maps_reach_the_cap_in_every_channel():
    maps = fill_maps(SKELETON, 128, seed=0)
    assert ((maps.heatmaps[..., :-1] > 0.1).sum(axis=(0, 1)) == 128).all()
    # Whoever is started can be completed: all pairs of every limb are plausible.
    people = Decoder(SKELETON)(maps)
    assert len(people) >= 128
    assert ((people.score > 0).sum(axis=1) >= 16).sum() > 100


def test_the_timing_prints_every_figure(monkeypatch, capsys):
    monkeypatch.setattr(decoder, "BATCH", 2)
    monkeypatch.setattr(decoder, "ROUNDS", 10)
    monkeypatch.setattr(sys, "argv", ["decoder.py", "--repeats", "1", "--crowds", "1", "--json"])
    decoder.main()
    lines = capsys.readouterr().out.splitlines()
    figures = json.loads(lines[-1])
    assert set(figures) >= {
        "ms_20_people",
        "ms_40_people",
        "resize_ms",
        "resize_ratio_20_people",
        "resize_ratio_40_people",
        "speedup_20_people",
        "ms_extra_person",
        "ms_worst_case",
        "batch_speedup_2_threads",
        "arithmetic_speedup_2_threads",
    }
    assert all(value > 0 for value in figures.values())
    assert any(line.startswith("20 people ") for line in lines)


@pytest.fixture
def spot_folder(tmp_path):
    """A COCO folder of spots, its model and its inference spec."""
    write_dataset(tmp_path / "made")
    document = json.loads((tmp_path / "made" / "labels.json").read_text())
    (tmp_path / "annotations").mkdir()
    for number, subset in enumerate(("train", "val")):
        shutil.copytree(tmp_path / "made" / "images", tmp_path / subset)
        category = {**document["categories"][0], "name": "person"}
        shifted = {
            "categories": [category],
            "images": [{**image, "id": image["id"] + 100 * number} for image in document["images"]],
            "annotations": [
                {**label, "image_id": label["image_id"] + 100 * number}
                for label in document["annotations"]
            ],
        }
        labels = tmp_path / "annotations" / f"person_keypoints_{subset}.json"
        labels.write_text(json.dumps(shifted))
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"input_shape": [256, 256]}))
    model = write_model(tmp_path / "pair.onnx")
    return ["--root", str(tmp_path), "--model", str(model), "-i", str(spec), "--heights", "256"]


def run_accuracy(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["decoder_accuracy.py", *arguments])
    decoder_accuracy.main()
    return capsys.readouterr().out.splitlines()


def test_the_accuracy_prints_every_figure(spot_folder, monkeypatch, capsys):
    arguments = [*spot_folder, "--height", "256", "--averaged", "--json"]
    figures = json.loads(run_accuracy(monkeypatch, capsys, arguments)[-1])
    assert figures["ap"] == pytest.approx(100)
    assert figures["ap_x8_reference"] == 0  # two keypoints are nobody to TAO
    assert set(figures["ceiling"]) == {"256"}
    assert figures["ceiling"]["256"]["ours"] == pytest.approx(100)
    assert set(figures["averaged"]) == {"flip", "three scales", "flip, three scales"}


def test_the_ablation_prints_a_row_a_variant(spot_folder, monkeypatch, capsys):
    arguments = [*spot_folder, "--ablation", "--only", "refine 2", "peaks at whole cells"]
    lines = run_accuracy(monkeypatch, capsys, arguments)
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| default",
        "| refine 2",
        "| peaks at whole cells",
    ]
    assert lines[3].endswith("| +0.00 |")


@pytest.mark.coco
def test_a_real_network_is_read_better_than_by_the_reference(shared_data, monkeypatch, capsys):
    spec = ROOT / "specs" / "infer_spec_lightweight_openpose.yaml"
    model = shared_data / "models" / "human-pose-estimation-0001.onnx"
    monkeypatch.chdir(ROOT)
    arguments = ["--root", str(shared_data / "coco"), "--model", str(model), "-i", str(spec)]
    few = ["--images", "24", "--height", "256", "--heights", "256", "--json"]
    figures = json.loads(run_accuracy(monkeypatch, capsys, [*arguments, *few])[-1])
    assert figures["ap"] > figures["ap_x8_reference"] > 20
    assert figures["ceiling"]["256"]["ours"] > figures["ceiling"]["256"]["x8_reference"] > 60
