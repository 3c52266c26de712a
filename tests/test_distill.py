"""A network learns from a trained one beside its labels."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_model_files import write_keras2
from worms import SIDE, SKELETON, draw_worms, run, spec_of

from bpnet.cli import main
from bpnet.errors import ModelError
from bpnet.model.files import save_model
from bpnet.model.network import build_network
from bpnet.pose.contract import ModelContract
from bpnet.spec.optimizer import BpNetLoss, Distillation
from bpnet.spec.reader import dump_spec
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import TrainingState
from bpnet.training.devices import Devices
from bpnet.training.precision import in_precision
from bpnet.training.start import Start, start_state
from bpnet.training.step import build_step
from bpnet.training.targets import Targets
from bpnet.training.teacher import Teacher, from_cell_corners, load_teacher
from bpnet.training.trainer import step_settings

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)

BATCH_SPEC = {
    "images": tf.TensorSpec((2, SIDE, SIDE, 3), tf.uint8),
    "masks": tf.TensorSpec((2, 8, 8, 1), tf.float32),
    "keypoints": tf.TensorSpec((2, None, 2, 3), tf.float32),
}


def taught_by(teacher: str | Path, weight: float = 0.5, **how: Any) -> BpNetLoss:
    return BpNetLoss(distillation=Distillation(teacher=str(teacher), weight=weight), **how)


@pytest.fixture(scope="module")
def worms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_worms(tmp_path_factory.mktemp("worms"))


def a_network(spec: BpNetTrainer, *, seed: int = 7, **changes: Any) -> keras.Model:
    """Another network than the one that learns, whose batch norms have seen something."""
    model = build_network(dataclasses.replace(spec.model, **changes), seed=seed)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [x + rng.uniform(-0.2, 0.2, x.shape).astype("float32") for x in model.get_weights()]
    )
    return model


def contract_of(spec: BpNetTrainer, **changes: Any) -> ModelContract:
    return dataclasses.replace(ModelContract.trained_on(spec.dataloader, SKELETON), **changes)


@pytest.fixture(scope="module")
def teacher(worms: Path) -> Path:
    """A model file of three stages, whose pixels and PAFs are made otherwise than the learner's."""
    spec = spec_of(worms)
    contract = contract_of(
        spec, image_scale=(128.0, 64.0, 32.0), channel_order="bgr", paf_cell_corners=True
    )
    return save_model(a_network(spec, stages=3), worms / "teacher.keras", contract)


def loaded(spec: BpNetTrainer, precision: str = "float32", **how: Any) -> Teacher:
    assert spec.loss.distillation is not None
    return load_teacher(
        spec.loss.distillation,
        in_precision(build_network(spec.model, seed=1), precision),
        targets=Targets.of(spec.dataloader, SKELETON),
        skeleton=SKELETON,
        devices=Devices(),
        **{"key": None, **how},
    )


def batch_of(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, SIDE - 1, (2, 1, 2, 2))
    masks = np.ones((2, 8, 8, 1), "float32")
    masks[:, :2] = 0.0
    return {
        "images": tf.constant(rng.integers(0, 255, (2, SIDE, SIDE, 3)), tf.uint8),
        "masks": tf.constant(masks),
        "keypoints": tf.constant(np.concatenate([points, np.ones((2, 1, 2, 1))], -1), tf.float32),
    }


def step_of(
    spec: BpNetTrainer, groups: list[list[int]]
) -> tuple[dict[str, float], TrainingState, Teacher]:
    """The losses of the last step of batches with these seeds, the state and the teacher."""
    devices = Devices()
    state = start_state(
        spec,
        Start(None, None, resumed=False),
        skeleton=SKELETON,
        steps_per_epoch=10,
        precision="float32",
        devices=devices,
        key=None,
    )
    teacher = loaded(spec)
    take = build_step(
        state,
        Targets.of(spec.dataloader, SKELETON),
        devices,
        settings=step_settings(spec, devices),
        batch_spec=BATCH_SPEC,
        teacher=teacher,
    )
    for group in groups:
        losses = take([batch_of(seed) for seed in group], 1e-3)
    return losses, state, teacher


@pytest.fixture(scope="module")
def once(worms: Path, teacher: Path) -> tuple[dict[str, float], TrainingState, Teacher]:
    """What a step of one batch leaves behind."""
    return step_of(spec_of(worms, loss=taught_by(teacher, 0.25)), [[1]])


def test_a_step_learns_what_the_teacher_draws_and_leaves_it_as_it_is(
    worms: Path, teacher: Path, once: tuple[dict[str, float], TrainingState, Teacher]
) -> None:
    spec = spec_of(worms, loss=taught_by(teacher, 0.25))
    losses, _, used = once
    before = loaded(spec).model.get_weights()
    batch = batch_of(1)
    for one, other in zip(before, used.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    images = batch["images"].numpy().astype("float32")
    drawn = build_network(spec.model, seed=spec.random_seed)(images / 256 - 0.5, training=True)
    pixels = images[..., ::-1] / np.array([128, 64, 32], "float32") - 0.5
    taught = a_network(spec, stages=3)(pixels, training=False)
    taught = [*taught[:3], *(from_cell_corners(pafs, 8) for pafs in taught[3:])]
    expected = sum(
        0.5 * np.sum(np.square((own - taught[place]) * batch["masks"])) / 2
        for own, place in zip(drawn, (0, 2, 3, 5), strict=True)
    )
    assert losses["distillation_loss"] == pytest.approx(expected, rel=1e-4)
    labels = sum(x for name, x in losses.items() if name.startswith(("cmap", "paf")))
    parts = 0.75 * labels + 0.25 * expected + losses["regularization_loss"]
    assert losses["loss"] == pytest.approx(parts, rel=1e-4)


def test_batches_that_make_one_step_are_all_taught(
    worms: Path, teacher: Path, once: tuple[dict[str, float], TrainingState, Teacher]
) -> None:
    losses, one, _ = once
    loss = taught_by(teacher, 0.25)
    twice = spec_of(worms, loss=loss, gradient_accumulation_steps=2)
    same, other, _ = step_of(twice, [[1, 1]])
    assert same["distillation_loss"] == pytest.approx(losses["distillation_loss"], rel=1e-5)
    pairs = zip(one.model.trainable_weights, other.model.trainable_weights, strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-6)


def test_the_teacher_computes_in_the_precision_of_the_training(worms: Path, teacher: Path) -> None:
    spec = spec_of(worms, loss=taught_by(teacher))
    half = loaded(spec, "mixed_bfloat16")
    inner = {layer.compute_dtype for layer in half.model.layers if "conv" in layer.name}
    assert "bfloat16" in inner
    images = batch_of(1)["images"]
    for a, b in zip(half.maps(images), loaded(spec).maps(images), strict=True):
        assert a.dtype == "float32"
        np.testing.assert_allclose(a, b, rtol=0, atol=0.05 * float(np.abs(b).max()))


def test_a_network_of_tao_teaches_with_its_pafs_moved_to_cell_centres(worms: Path) -> None:
    spec = spec_of(worms)
    model = a_network(spec)
    write_keras2(worms / "tao.hdf5", model)
    used = loaded(spec_of(worms, loss=taught_by(worms / "tao.hdf5")))
    images = batch_of(1)["images"]
    drawn = model(images.numpy().astype("float32") / 256 - 0.5, training=False)
    expected = [*drawn[:2], *(from_cell_corners(pafs, 8) for pafs in drawn[2:])]
    for a, b in zip(used.maps(images), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_a_teacher_with_a_key_of_its_own_is_opened(worms: Path) -> None:
    spec = spec_of(worms)
    path = save_model(a_network(spec), worms / "sealed.tlt", contract_of(spec), key="its own")
    for key, own in (("its own", None), ("the training's", "its own")):
        loss = BpNetLoss(distillation=Distillation(teacher=str(path), key=own))
        assert loaded(spec_of(worms, loss=loss), key=key).places == (0, 1, 2, 3)
    sealed = spec_of(worms, loss=taught_by(path))
    with pytest.raises(ModelError, match="key"):
        loaded(sealed, key="the training's")


@pytest.mark.parametrize(
    ("changes", "contract", "sentence"),
    [
        ({"heat_channels": 19}, {}, r"have \[19, 19, 2, 2\] channels.* needs \[3, 3, 2, 2\]"),
        (
            {},
            {"skeleton": dataclasses.replace(SKELETON, name="other", keypoints=("tail", "head"))},
            "skeleton other, which are not those of worm",
        ),
    ],
)
def test_a_teacher_of_other_maps_is_refused(
    worms: Path, tmp_path: Path, changes: dict[str, Any], contract: dict[str, Any], sentence: str
) -> None:
    spec = spec_of(worms)
    model, said = a_network(spec, **changes), contract_of(spec, **contract)
    path = save_model(model, tmp_path / "other.keras", said)
    with pytest.raises(ModelError, match=sentence):
        loaded(spec_of(worms, loss=taught_by(path)))


def test_a_teacher_of_another_size_or_stride_is_refused(worms: Path, tmp_path: Path) -> None:
    spec = spec_of(worms)
    for name, side, stride, sentence in (
        ("fixed", 96, 8, "takes images of 96 x 96 alone, but image_dims are 64 x 64"),
        ("coarse", None, 16, "draws maps of 4 x 4 cells for .*target_shape is 8 x 8"),
    ):
        image = keras.Input((side, side, 3))
        layers = [
            keras.layers.Conv2D(channels, 1, strides=stride, name=output)
            for channels, output in ((3, "heatmap_out"), (2, "paf_out"))
        ]
        model = keras.Model(image, [layer(image) for layer in layers])
        path = save_model(model, tmp_path / f"{name}.keras", None)
        with pytest.raises(ModelError, match=sentence):
            loaded(dataclasses.replace(spec, loss=taught_by(path)))


def test_dry_run_shows_the_teacher_and_what_it_costs(
    worms: Path, teacher: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("worm.json").write_text(
        '{"categories": [{"keypoints": ["head", "tail"], "skeleton": [[1, 2]]}]}'
    )
    Path("train.yaml").write_text(dump_spec(spec_of(worms)))
    option = f"loss.distillation.teacher={teacher}"
    assert main(["train", "-e", "train.yaml", "--dry_run", "--set", option]) == 0
    out = capsys.readouterr().out
    assert f"teacher: {teacher}, " in out
    assert "a step computes about 1." in out
    assert main(["train", "-e", "train.yaml", "--dry_run", "--set", option + "x.keras"]) == 0
    out, err = capsys.readouterr()
    assert "# network: " in out
    assert "# teacher" not in out
    assert "teacher.kerasx.keras does not exist" in err


def test_a_teacher_that_is_replaced_between_two_runs_is_noticed(
    worms: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = spec_of(worms, num_epoch=2, checkpoint_n_epoch=1)
    path = save_model(a_network(spec), tmp_path / "teacher.keras", contract_of(spec))
    taught = dataclasses.replace(spec, loss=taught_by(path))
    run(taught, tmp_path / "results")
    longer = dataclasses.replace(taught, num_epoch=3)
    run(longer, tmp_path / "results")
    assert "teacher.keras" not in caplog.text
    save_model(a_network(spec, seed=8), path, contract_of(spec))
    for epochs, warned in ((4, 1), (5, 1)):  # said once, then the new one is the teacher
        run(dataclasses.replace(taught, num_epoch=epochs), tmp_path / "results")
        assert caplog.text.count("is not the one that this training has learned from") == warned
