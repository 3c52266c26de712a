import csv
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from worms import CATEGORY, SKELETON, draw_worms, run, spec_of

from bpnet.data.pipeline import make_batches
from bpnet.errors import DataError, ModelError
from bpnet.model.files import load_model
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.network import BpNetLiteModel
from bpnet.spec.optimizer import (
    SoftstartAnnealingLearningRateSchedule,
    WeightedMomentumOptimizer,
)
from bpnet.training.plan import Plan, find_records
from bpnet.training.reports import read_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)


@pytest.fixture(scope="module")
def worms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_worms(tmp_path_factory.mktemp("worms"))


@pytest.fixture(scope="module")
def uninterrupted(worms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The final model of four epochs in one go."""
    return run(spec_of(worms), tmp_path_factory.mktemp("uninterrupted"))


def test_the_loss_falls_and_every_file_is_there(uninterrupted: Path) -> None:
    folder = uninterrupted.parent
    rows = read_rows(folder / "results.csv")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "bpnet_model.keras",
        "curves.png",
        "events",
        "experiment_spec.yaml",
        "model.epoch-2.keras",
        "model.epoch-2.state.npz",
        "model.epoch-4.keras",
        "model.epoch-4.state.npz",
        "results.csv",
    }


def test_a_short_training_knows_its_batch_statistics(worms: Path, tmp_path: Path) -> None:
    still = SoftstartAnnealingLearningRateSchedule(base_learning_rate=0.0, min_learning_rate=0.0)
    spec = spec_of(worms, optimizer=WeightedMomentumOptimizer(learning_rate_schedule=still))
    model, _ = load_model(run(spec, tmp_path))
    datasets = {"worms": DatasetSpec(root_directory_path="", categories=[CATEGORY])}
    batches = make_batches(
        spec.dataloader,
        skeleton=SKELETON,
        datasets=datasets,
        records=[worms / "train-fold-000-of-001"],
        seed=spec.random_seed,
        batch_size=4,
        steps=8,
    )
    norm = model.get_layer("block_1a_bn_1")
    before = keras.Model(model.input, norm.input)
    seen = [before(np.float32(batch["images"]) / 256 - 0.5).numpy() for batch in batches]
    variances = np.mean([x.var(axis=(0, 1, 2)) for x in seen], axis=0)
    np.testing.assert_allclose(norm.moving_variance.numpy(), variances, rtol=1e-3)


def test_tensorboard_gets_scalars(worms: Path, tmp_path: Path) -> None:
    run(spec_of(worms, num_epoch=2, summary_every_n_steps=2), tmp_path)
    tags = [
        (value.tag, value.metadata.plugin_data.plugin_name, event.step)
        for path in (tmp_path / "events").iterdir()
        for record in tf.data.TFRecordDataset(str(path))
        for event in [tf.compat.v1.Event.FromString(record.numpy())]
        for value in event.summary.value
    ]
    assert ("cmap_loss_stage2", "scalars", 4) in tags
    assert ("learning_rate", "scalars", 2) in tags


def test_the_model_file_says_what_it_is(uninterrupted: Path) -> None:
    _, contract = load_model(uninterrupted)
    assert contract is not None
    assert contract.skeleton == SKELETON
    assert contract.heatmap_stride == 8


def test_a_loss_that_is_no_number_names_the_images(worms: Path, tmp_path: Path) -> None:
    schedule = SoftstartAnnealingLearningRateSchedule(
        base_learning_rate=1e30, min_learning_rate=1e30
    )
    optimizer = WeightedMomentumOptimizer(learning_rate_schedule=schedule)
    with pytest.raises(ModelError, match=r"step \d+, with the images .*worm\d\.png"):
        run(spec_of(worms, optimizer=optimizer), tmp_path)
    assert not list(tmp_path.glob("model.*"))


def test_a_time_budget_ends_the_training_with_a_checkpoint(worms: Path, tmp_path: Path) -> None:
    final = run(spec_of(worms, num_epoch=100_000), tmp_path, max_minutes=0.05)
    rows = read_rows(tmp_path / "results.csv")
    assert 0.05 <= rows[-1]["minutes"] < 1.0
    assert rows[-1]["learning_rate"] < 1e-3
    assert final.is_file()


def test_so_many_steps_are_trained_whatever_the_epochs_and_resumed(
    worms: Path, tmp_path: Path
) -> None:
    spec = spec_of(worms, num_epoch=1)
    run(spec, tmp_path, steps=2)
    assert read_rows(tmp_path / "results.csv")[-1]["step"] == 2
    final = run(spec, tmp_path, steps=9)
    rows = read_rows(tmp_path / "results.csv")
    assert rows[-1]["step"] == 9
    assert rows[-1]["learning_rate"] < 1e-3
    assert final.is_file()


def test_validation_runs_when_due_and_at_the_end(worms: Path, tmp_path: Path) -> None:
    seen = []

    def validate(model: keras.Model, epoch: int) -> dict[str, float]:
        seen.append(epoch)
        return {"ap": epoch / 10}

    run(spec_of(worms, num_epoch=3, validation_every_n_epoch=2), tmp_path, validate=validate)
    assert seen == [2, 3]
    with (tmp_path / "results.csv").open() as file:
        assert [row["ap"] for row in csv.DictReader(file)] == ["", "0.2", "0.3"]


def test_pretrained_weights_are_taken_by_layer_name(
    worms: Path, tmp_path: Path, uninterrupted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="bpnet")
    spec = spec_of(worms, num_epoch=1, pretrained_weights=str(uninterrupted))
    run(spec, tmp_path)
    first = read_rows(tmp_path / "results.csv")[0]["loss"]
    scratch = read_rows(uninterrupted.parent / "results.csv")[0]["loss"]
    assert first < scratch
    assert "taken over: " in caplog.text


def test_load_graph_keeps_the_network_and_drops_its_regularizers(
    worms: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    other = BpNetLiteModel(stages=3, heat_channels=3, paf_channels=2)
    spec = spec_of(
        worms, num_epoch=1, pretrained_weights=str(uninterrupted), load_graph=True, model=other
    )
    final = run(spec, tmp_path)
    model, _ = load_model(final)
    assert model.count_params() == load_model(uninterrupted)[0].count_params()
    assert model.losses == []
    assert read_rows(tmp_path / "results.csv")[0]["regularization_loss"] == 0.0


def test_mixed_precision_saves_a_float32_network(
    worms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bpnet.training.trainer.choose_precision", lambda **_: "mixed_float16")
    final = run(spec_of(worms), tmp_path)
    rows = read_rows(tmp_path / "results.csv")
    assert rows[-1]["loss"] < rows[0]["loss"]
    model, _ = load_model(final)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_a_missing_image_is_named(worms: Path, tmp_path: Path) -> None:
    loader = spec_of(worms).dataloader
    config = dataclasses.replace(loader.dataset_config, root_data_path=str(tmp_path / "nowhere"))
    spec = spec_of(worms, dataloader=dataclasses.replace(loader, dataset_config=config))
    with pytest.raises(DataError, match=r"nowhere/worm\d\.png"):
        run(spec, tmp_path / "results")


def test_a_pattern_without_records_is_named(worms: Path) -> None:
    config = spec_of(worms).dataloader.dataset_config
    with pytest.raises(DataError, match=r"no file matches .*val-\*"):
        find_records(dataclasses.replace(config, train_records_path=["train-*", "val-*"]))


def test_records_behind_an_address_are_found(worms: Path) -> None:
    config = spec_of(worms).dataloader.dataset_config
    for name in ("train-1", "train-0", "other"):
        tf.io.write_file(f"ram://plan/{name}", b"")
    remote = dataclasses.replace(config, train_records_path=["ram://plan/train-*"])
    assert [path.name for path in find_records(remote)] == ["train-0", "train-1"]
    folder = dataclasses.replace(config, train_records_folder_path="ram://plan")
    found = find_records(dataclasses.replace(folder, train_records_path=["oth*"]))
    assert [path.name for path in found] == ["other"]
    with pytest.raises(DataError, match="no file matches ram://plan/val"):
        find_records(dataclasses.replace(config, train_records_path=["ram://plan/val-*"]))


def test_the_plan_goes_by_steps_or_by_the_clock() -> None:
    plan = Plan(epochs=10, steps_per_epoch=5, budget=60.0)
    assert plan.last_step == 50
    assert plan.progress(10, 6.0) == pytest.approx(0.2)
    assert plan.progress(10, 30.0) == pytest.approx(0.5)
    assert plan.progress(10, 90.0) == 1.0
    assert [plan.epoch(step) for step in (0, 4, 5, 50)] == [0, 0, 1, 10]


def test_a_plan_of_steps_counts_the_epoch_that_is_cut_short() -> None:
    plan = Plan(epochs=10, steps_per_epoch=5, origin_step=3, origin_epoch=2).in_steps(12)
    assert (plan.last_step, plan.epochs) == (15, 5)
    assert plan.epoch(plan.last_step) == 4
    assert plan.progress(15, 0.0) == 1.0
