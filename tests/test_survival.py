"""Whatever ends a training, the same command goes on as if nothing had happened."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from processes import kill_when, start, wait
from worms import assert_same_weights, draw_worms, run, spec_of

from bpnet.errors import DataError
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import newest_checkpoint
from bpnet.training.reports import read_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3 with NumPy 2
)

HOW: dict[str, Any] = {"checkpoint_n_epoch": 1, "ema_decay": 0.5, "deterministic": True}


@pytest.fixture(scope="module")
def worms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_worms(tmp_path_factory.mktemp("worms"))


@pytest.fixture(scope="module")
def unhurt(worms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unhurt") / "results"
    assert wait(start(worms, folder, spec=HOW)) == [0]
    return folder / "bpnet_model.keras"


def test_killed_in_every_kind_of_write_it_ends_with_the_same_weights(
    worms: Path, unhurt: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    for partial in (".model.epoch-1.*.part.keras", ".model.epoch-2.*.part.npz"):
        kill_when(start(worms, folder, spec=HOW), lambda p=partial: any(folder.glob(p)))
        assert list(folder.glob(".model.*.part.*"))
    kill_when(start(worms, folder, spec=HOW), lambda: newest_checkpoint_step(folder) == 6)
    assert wait(start(worms, folder, spec=HOW)) == [0]
    assert_same_weights(folder / "bpnet_model.keras", unhurt)
    assert not list(folder.glob(".*"))
    rows = read_rows(folder / "results.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    whole = read_rows(unhurt.parent / "results.csv")
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in whole])


def newest_checkpoint_step(folder: Path) -> int:
    """Step of the newest state file, without a look inside: it may be half written."""
    epochs = [int(p.name.split("-")[1].split(".")[0]) for p in folder.glob("model.*.state.npz")]
    return 2 * max(epochs, default=0)


def test_a_full_disk_ends_in_a_sentence_and_keeps_the_last_checkpoint(
    worms: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    assert wait(start(worms, folder, spec=HOW, largest_file=20_000)) == [1]
    log = (tmp_path / "results.train.log").read_text().splitlines()
    assert "cannot be written: " in log[-1]
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    assert checkpoint.step == 2
    assert not list(folder.glob(".*"))


def validated(spec: BpNetTrainer, folder: Path, measures: list[float]) -> list[int]:
    """Train with these measures, one an epoch; the epochs that were validated."""
    seen = []

    def validate(model: keras.Model, epoch: int) -> dict[str, float]:
        seen.append(epoch)
        return {"ap": measures[epoch - 1]}

    run(spec, folder, validate=validate)
    return seen


def test_the_best_model_is_kept_and_patience_ends(worms: Path, tmp_path: Path) -> None:
    spec = spec_of(
        worms,
        num_epoch=9,
        checkpoint_n_epoch=1,
        validation_every_n_epoch=1,
        early_stopping_patience=2,
    )
    assert validated(spec, tmp_path, [0.1, 0.4, 0.3, 0.4, 0.9]) == [1, 2, 3, 4]
    best = (tmp_path / "bpnet_model_best.keras").read_bytes()
    assert best == (tmp_path / "model.epoch-2.keras").read_bytes()
    final = (tmp_path / "bpnet_model.keras").read_bytes()
    assert final == (tmp_path / "model.epoch-4.keras").read_bytes()
    assert validated(spec, tmp_path, []) == []  # the same command again is done at once


def test_a_validation_that_was_killed_is_made_up_for(worms: Path, tmp_path: Path) -> None:
    def killed(model: keras.Model, epoch: int) -> dict[str, float]:
        raise DataError("as if killed")

    spec = spec_of(worms, num_epoch=2, checkpoint_n_epoch=1, validation_every_n_epoch=1)
    with pytest.raises(DataError, match="as if killed"):
        run(spec, tmp_path, validate=killed)
    assert validated(spec, tmp_path, [0.5, 0.2]) == [1, 2]
    assert [row["ap"] for row in read_rows(tmp_path / "results.csv")] == [0.5, 0.2]
    last = dataclasses.replace(spec, validation_every_n_epoch=5)  # due at the end alone
    with pytest.raises(DataError, match="as if killed"):
        run(last, tmp_path / "last", validate=killed)
    assert validated(last, tmp_path / "last", [0.5, 0.2]) == [2]


def test_validation_records_give_a_loss_and_pictures(worms: Path, tmp_path: Path) -> None:
    spec = spec_of(worms, num_epoch=1, validation_every_n_epoch=1, ema_decay=0.5)
    config = dataclasses.replace(
        spec.dataloader.dataset_config, val_records_path=["train-fold-000-of-001"]
    )
    loader = dataclasses.replace(spec.dataloader, dataset_config=config)
    run(dataclasses.replace(spec, dataloader=loader), tmp_path)
    assert 0 < read_rows(tmp_path / "results.csv")[0]["val_loss"] < 1e4
    assert (tmp_path / "bpnet_model_best.keras").is_file()
    values = [
        value
        for path in (tmp_path / "events").iterdir()
        for record in tf.data.TFRecordDataset(str(path))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    ]
    sheets = [v for v in values if v.metadata.plugin_data.plugin_name == "images"]
    assert [value.tag for value in sheets] == ["people", "maps"]
    width, height, png = sheets[1].tensor.string_val
    assert tf.io.decode_png(png).shape == (int(height), int(width), 3)
