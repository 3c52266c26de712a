import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worms import assert_same_weights, draw_worms, run, spec_of, weights_of

from bpnet.errors import ModelError
from bpnet.model.files import load_model
from bpnet.spec.train import BpNetTrainer, FinetuningConfig
from bpnet.training.checkpoints import newest_checkpoint
from bpnet.training.progress import ProgressLine
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


def run_until(step: int, spec: BpNetTrainer, folder: Path, **options: Any) -> None:
    """Train, and stop as Ctrl-C would after ``step`` steps."""

    def show(line: ProgressLine, done: int, **_: Any) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressLine, "show", show)
        with pytest.raises(KeyboardInterrupt):
            run(spec, folder, **options)


def test_an_interrupted_training_ends_with_the_same_weights(
    worms: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    run_until(5, spec_of(worms), tmp_path)  # in the middle of an epoch
    assert (tmp_path / "model.step-5.state.npz").is_file()
    final = run(spec_of(worms), tmp_path)
    assert_same_weights(final, uninterrupted)
    assert not list(tmp_path.glob("model.step-*"))
    assert len(read_rows(tmp_path / "results.csv")) == 4


def test_a_half_written_checkpoint_is_passed_over(
    worms: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    run(spec_of(worms), tmp_path)
    # As if the process had died after the model file, before the state.
    (tmp_path / "model.epoch-4.state.npz").unlink()
    left = [".model.epoch-4.state.99999999.part.npz", ".bpnet_model.99999999.part.keras"]
    for name in left:  # of a process that is no more
        (tmp_path / name).write_bytes(b"PK")
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.step == 4
    assert_same_weights(run(spec_of(worms), tmp_path), uninterrupted)
    assert not list(tmp_path.glob(".*"))


def test_a_model_file_that_is_not_the_states_is_passed_over(
    uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in uninterrupted.parent.glob("model.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.epoch-4.keras").write_bytes((tmp_path / "model.epoch-2.keras").read_bytes())
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.step == 4
    assert "model.epoch-4.state.npz is passed over" in caplog.text


def test_a_cut_state_file_is_passed_over(uninterrupted: Path, tmp_path: Path) -> None:
    for path in uninterrupted.parent.glob("model.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    state = tmp_path / "model.epoch-4.state.npz"
    state.write_bytes(state.read_bytes()[:-500])
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.step == 4


def test_another_network_does_not_resume(worms: Path, uninterrupted: Path) -> None:
    spec = spec_of(worms)
    wider = dataclasses.replace(spec.model, width_multiplier=0.25)
    with pytest.raises(ModelError, match="holds another network than the spec's"):
        run(dataclasses.replace(spec, model=wider), uninterrupted.parent)


def test_a_table_of_another_program_is_no_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.csv"
    path.write_text("epoch,train/box_loss\n1,0.5\n")

    assert read_rows(path) == []
    assert "results.csv is started afresh: a row has no epoch or no step" in caplog.text


def test_old_checkpoints_are_deleted(worms: Path, tmp_path: Path) -> None:
    run(spec_of(worms, checkpoint_n_epoch=1, max_ckpt_to_keep=2), tmp_path)
    names = sorted(path.name for path in tmp_path.glob("model.*.keras"))
    assert names == ["model.epoch-3.keras", "model.epoch-4.keras"]


def test_a_key_encrypts_every_model_and_resumes(
    worms: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    spec = spec_of(worms, key="secret-of-the-spec")
    run_until(3, spec, tmp_path, key="secret")
    final = run(spec, tmp_path, key="secret")
    assert final.name == "bpnet_model.tlt"
    assert not list(tmp_path.glob("*.keras"))
    assert "secret" not in (tmp_path / "experiment_spec.yaml").read_text()
    model, _ = load_model(final, key="secret")
    for one, other in zip(model.get_weights(), weights_of(uninterrupted), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_finetuning_counts_on_from_the_checkpoints_epoch(
    worms: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    finetuning = FinetuningConfig(
        is_finetune_exp=True,
        checkpoint_path=str(uninterrupted.parent / "model.epoch-2.keras"),
        ckpt_epoch_num=2,
    )
    final = run(spec_of(worms, finetuning_config=finetuning), tmp_path)
    assert [row["epoch"] for row in read_rows(tmp_path / "results.csv")] == [3, 4]
    assert_same_weights(final, uninterrupted)
