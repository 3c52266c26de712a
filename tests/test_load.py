"""``from bpnet import load``: the Python API, and what it says of wrong calls."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from spots import CONTRACT, write_model, write_spots

from bpnet import load
from bpnet.errors import DataError, ModelError, SpecError
from bpnet.inference.backend import open_backend
from bpnet.inference.predictor import predictor_of
from bpnet.spec.inference import InferenceSpec

PEOPLE = [((80, 50), (84, 140)), ((180, 90), (180, 200))]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.onnx")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_spots(tmp_path / "x.png", PEOPLE)


def widths(photo: Path, *wanted: int) -> list[np.ndarray]:
    """The photo, cut or continued in black to each width."""
    image = cv2.imread(str(photo))[..., ::-1]
    wide = np.concatenate([image, np.zeros((256, 256, 3), np.uint8)], axis=1)
    return [np.ascontiguousarray(wide[:, :width]) for width in wanted]


def test_people_come_one_by_one(model: Path, photo: Path) -> None:
    people = load(model)(photo)
    assert len(people) == 2
    assert people.xy.shape == (2, 2, 2)
    for person, xy, score in zip(people, people.xy, people.score, strict=True):
        np.testing.assert_array_equal(person.xy, xy)
        np.testing.assert_array_equal(person.score, score)
        assert person.id is None
    assert people[1].person_score == people.person_score[1]
    drawn = sorted(people.xy[:, 0].tolist())
    np.testing.assert_allclose(drawn, sorted(top for top, _ in PEOPLE), atol=2)


def test_a_path_as_text_an_array_and_a_batch_find_the_same(model: Path, photo: Path) -> None:
    predictor = load(str(model), threads=1, provider="cpu")
    (array,) = widths(photo, 256)
    one = predictor(str(photo))
    for other in (predictor(array), *predictor.predict([photo, array])):
        np.testing.assert_array_equal(other.xy, one.xy)


@pytest.mark.parametrize("multiple", [None, 64])
@pytest.mark.parametrize("mode", ["fit_height", "adjust_network_input"])
def test_single_and_batched_calls_agree_at_unequal_widths(
    model: Path, photo: Path, multiple: int | None, mode: str
) -> None:
    images = widths(photo, 225, 230, 256, 251, 300, 257, 320, 410, 320)
    # The toy sees people in grey padding.
    spec = {"keep_aspect_ratio_mode": mode, "size_multiple": multiple, "pad_value": 0}
    predictor = load(model, spec, batch_size=3)
    together = predictor.predict(images)
    assert [len(found) for found in together] == [2] * len(images)
    for image, found in zip(images, together, strict=True):
        alone = predictor(image)
        np.testing.assert_allclose(found.xy, alone.xy, atol=1e-4)
        np.testing.assert_allclose(found.person_score, alone.person_score, atol=1e-6)


def test_a_larger_multiple_gives_fewer_sizes(model: Path, photo: Path) -> None:
    images = widths(photo, 225, 230, 251, 256, 257)
    sizes = []
    for multiple in (None, 64):
        predictor = load(model, {"keep_aspect_ratio_mode": "fit_height", "size_multiple": multiple})
        sizes.append({predictor.prepare(each).inputs[0].image.shape[1] for each in images})
    assert sizes == [{232, 256, 264}, {256, 320}]


def test_more_images_than_fit_in_memory_at_once_keep_their_order(model: Path, photo: Path) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    images = [black, photo] * 5
    found = load(model, batch_size=1).predict(iter(images))
    assert [len(each) for each in found] == [0, 2] * 5


@pytest.mark.parametrize(
    "spec",
    [
        {"flip_test": True},
        {"multi_scale_inference": True, "scales": [0.5, 1.0, 1.5]},
        {"multi_scale_inference": True, "scales": [0.75, 1.0], "flip_test": True},
        {"input_shape": [192, 320], "keep_aspect_ratio_mode": None},
        {"input_shape": [192, 320], "keep_aspect_ratio_mode": "pad_image_input", "pad_value": 0},
        {"input_shape": [320, 100], "keep_aspect_ratio_mode": "fit_height"},
        {"input_shape": [100, 320], "keep_aspect_ratio_mode": "fit_width"},
    ],
)
@pytest.mark.parametrize("backend", ["onnx", "keras"])
def test_people_stay_where_they_are_however_they_are_sought(
    model: Path, photo: Path, spec: dict, backend: str
) -> None:
    predictor = load(model, spec)
    if backend == "keras":
        predictor = predictor_of(spots_in_keras(), InferenceSpec(**spec))
    found = sorted(predictor(photo).xy.tolist())
    np.testing.assert_allclose(found, sorted(PEOPLE), atol=2)


def spots_in_keras():
    """The network of ``spots.write_model``."""
    keras = pytest.importorskip("keras")
    from bpnet.inference.keras_backend import KerasBackend

    pixels = keras.Input((None, None, 3), name="input_1")
    pooled = keras.layers.AveragePooling2D(8)(pixels)
    heatmaps = keras.layers.Conv2D(3, 1, name="heatmap_out")
    pafs = keras.layers.Conv2D(2, 1, name="paf_out")
    network = keras.Model(pixels, [heatmaps(pooled), pafs(pooled)])
    heatmaps.set_weights([np.diag([1.0, 1.0, 0.0])[None, None], np.zeros(3)])
    pafs.set_weights([np.zeros((1, 1, 3, 2)), np.array([0.0, 1.0])])
    return KerasBackend(network, CONTRACT)


def test_thresholds_that_a_spec_leaves_out_are_the_models(tmp_path: Path) -> None:
    contract = CONTRACT.to_dict() | {"heatmap_threshold": 0.7, "paf_threshold": 0.2}
    model = write_model(tmp_path / "m.onnx", CONTRACT.from_dict(contract))
    settings = load(model, {"flip_test": False}).decoder.settings
    assert (settings.heatmap_threshold, settings.paf_threshold) == (0.7, 0.2)
    settings = load(model, {"heatmap_threshold": 0.3}).decoder.settings
    assert (settings.heatmap_threshold, settings.paf_threshold) == (0.3, 0.2)


def test_a_spec_file_describes_a_foreign_model(tmp_path: Path, photo: Path) -> None:
    model = write_model(tmp_path / "foreign.onnx", None)
    category = {"name": "p", "keypoints": ["top", "bottom"], "skeleton": [[1, 2]]}
    skeleton = tmp_path / "skeleton.json"
    skeleton.write_text(json.dumps({"name": "pair", "categories": [category]}))
    spec = tmp_path / "spec.yaml"
    pixels = "{image_scale: [255.0, 255.0, 255.0], image_offset: [0.0, 0.0, 0.0]}"
    spec.write_text(f"pose_config_path: {skeleton}\nmodel_input: {pixels}\n")
    assert len(load(model, spec)(photo)) == 2
    with pytest.raises(ModelError, match=r"foreign\.onnx carries no metadata"):
        load(model)
    with pytest.raises(ModelError, match="pose_config_path"):
        load(model, {"flip_test": True})


def test_wrong_calls_say_what_is_wrong(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="flip_tests"):
        load(model, {"flip_tests": True})
    with pytest.raises(SpecError, match="as a spec file has them"):
        load(model, {"input_shape": np.zeros(2)})
    with pytest.raises(ValueError, match="provider 'gpu' must be one of auto, cpu"):
        load(model, provider="gpu")
    with pytest.raises(DataError, match=r"gone\.png"):
        load(model)(tmp_path / "gone.png")


def test_mirroring_at_a_width_between_cells_is_refused(tmp_path: Path) -> None:
    backend = open_backend(write_model(tmp_path / "m.onnx"))
    backend.contract = dataclasses.replace(backend.contract, height=64, width=100)
    with pytest.raises(SpecError, match=r"width is fixed to 100.*flip_test"):
        predictor_of(backend, InferenceSpec(flip_test=True))


@pytest.mark.coco
def test_a_real_network_finds_the_same_people_alone_and_in_a_batch(shared_data: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    said = yaml.safe_load((root / "specs" / "infer_spec_lightweight_openpose.yaml").read_text())
    said["pose_config_path"] = str(root / "model_pose_config" / "bpnet_18joints.json")
    model = shared_data / "models" / "human-pose-estimation-0001.onnx"
    predictor = load(model, said | {"input_shape": [184, 184], "size_multiple": 128}, batch_size=4)
    photos = sorted((shared_data / "coco" / "val").iterdir())[:8]
    together = predictor.predict(photos)
    assert sum(map(len, together)) >= 8
    for photo, found in zip(photos, together, strict=True):
        alone = predictor(photo)
        np.testing.assert_allclose(found.xy, alone.xy, atol=0.01)
        np.testing.assert_allclose(found.person_score, alone.person_score, atol=1e-4)


def test_images_are_fitted_to_the_size_of_training_unless_a_spec_says_another(
    tmp_path: Path,
) -> None:
    trained = dataclasses.replace(CONTRACT, extra={"trained_at": "128x192"})
    model = write_model(tmp_path / "m.onnx", contract=trained)

    assert (load(model).fit.height, load(model).fit.width) == (128, 192)
    said = load(model, {"input_shape": [64, 96]}).fit
    assert (said.height, said.width) == (64, 96)
    plain = load(write_model(tmp_path / "plain.onnx")).fit
    assert (plain.height, plain.width) == (256, 256)  # TAO's
