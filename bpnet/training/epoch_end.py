"""The end of an epoch: a row of results, a checkpoint, a validation, the best model so far."""

import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from bpnet.files import replacing
from bpnet.model.files import save_model
from bpnet.pose.contract import ModelContract
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import (
    Checkpoint,
    TrainingState,
    delete_old_checkpoints,
    newest_checkpoint,
    save_checkpoint,
)
from bpnet.training.devices import Devices
from bpnet.training.pictures import Painter
from bpnet.training.plan import Plan
from bpnet.training.reports import Reports, Row

logger = logging.getLogger(__name__)

Validate = Callable[[keras.Model, int], dict[str, float]]
SHOWN = ("loss", "val_loss", "ap", "ap50")  # of a row, in the log


@dataclass
class EpochEnd:
    """Keeps checkpoints, results and the best model. Several machines' chief alone writes them.

    Everything that has been decided is in the rows of ``results.csv``, so that a resumed training
    decides alike.

    Attributes:
        spec: The training spec.
        state: What is saved.
        plan: How long the training is.
        contract: What the model files say of themselves.
        folder: Where everything is written.
        devices: Whose chief writes.
        reports: The rows.
        key: Encrypts the model files.
        validate: (network, epoch) -> measures.
        painter: Draws what the network has learned.
        on_epoch: Called with each row of results.csv.
    """

    spec: BpNetTrainer
    state: TrainingState
    plan: Plan
    contract: ModelContract
    folder: Path
    devices: Devices
    reports: Reports
    key: str | None
    validate: Validate | None
    painter: Painter
    on_epoch: Callable[[Row], None] | None

    @property
    def _suffix(self) -> str:
        return ".tlt" if self.key else ".keras"

    @property
    def patience_is_over(self) -> bool:
        """Whether so many validations have brought nothing better that the training ends."""
        scores = [score for score in map(score_of, self.reports.rows) if score is not None]
        if not self.spec.early_stopping_patience or not scores:
            return False
        return len(scores) - 1 - scores.index(max(scores)) >= self.spec.early_stopping_patience

    def finish(self, row: Row, *, done: bool, batch: dict[str, Any]) -> bool:
        """End the epoch of ``row``; whether the training is over, by all processes' knowledge.

        Args:
            row: Losses, rate and speed.
            done: Whether the training ends in any case.
            batch: The last one, for pictures.
        """
        epoch = int(row["epoch"])
        if self.devices.worker.is_chief:
            self.reports.write_row(row)  # before the checkpoint: who resumes from it finds the row
            if done or epoch % self.spec.checkpoint_n_epoch == 0:
                self.save(f"model.epoch-{epoch}")
            if done or self._validates(epoch):
                self._validate(row, batch)
            numbers = ", ".join(f"{name} {row[name]:.4g}" for name in SHOWN if name in row)
            logger.info("Epoch %d/%d done: %s", epoch, self.plan.epochs, numbers)
            if self.on_epoch:
                self.on_epoch(row)
        return bool(self.devices.share(float(done or self.patience_is_over)))

    def catch_up(self) -> bool:
        """Validate what a killed run saved and no more; whether the training is over."""
        if self.devices.worker.is_chief and self.reports.rows:
            row = self.reports.rows[-1]
            missed = row["step"] == int(self.state.step.numpy()) and score_of(row) is None
            due = self._validates(int(row["epoch"])) or row["step"] == self.plan.last_step
            if missed and self.validate and due:
                self._validate(row, None)
        return bool(self.devices.share(float(self.patience_is_over)))

    def save(self, name: str) -> Checkpoint:
        """Write a checkpoint, then delete those there are too many of."""
        checkpoint = save_checkpoint(
            self.state,
            self.folder,
            name,
            elapsed=self.state.elapsed,
            steps_per_epoch=self.plan.steps_per_epoch,
            contract=self.contract,
            key=self.key,
        )
        delete_old_checkpoints(self.folder, keep=self.spec.max_ckpt_to_keep)
        return checkpoint

    def save_interrupted(self) -> Checkpoint | None:
        """Write a checkpoint in the middle of an epoch, unless there is one of this very step."""
        step = int(self.state.step.numpy())
        newest = newest_checkpoint(self.folder)
        if not self.devices.worker.is_chief or (newest is not None and newest.step == step):
            return newest
        return self.save(f"model.step-{step}")

    def write_final_model(self) -> Path:
        """Copy the newest checkpoint's model file to the final name."""
        step = int(self.state.step.numpy())
        final = self.folder / f"{self.spec.final_model_name}{self._suffix}"
        if not self.devices.worker.is_chief:
            return final
        newest = newest_checkpoint(self.folder)
        if newest is None or newest.step != step:
            newest = self.save(f"model.epoch-{self.plan.epoch(step)}")
        copy_file(newest.model, final)
        return final

    def _validates(self, epoch: int) -> bool:
        return epoch % self.spec.validation_every_n_epoch == 0

    def _validate(self, row: Row, batch: dict[str, Any] | None) -> None:
        """Add the measures to ``row``, keep the network if it is the best so far, draw it."""
        epoch, step = int(row["epoch"]), int(row["step"])
        measures = self.validate(self.state.best_model, epoch) if self.validate else {}
        measured = {**row, **measures}
        before = [score_of(old) for old in self.reports.rows if old["epoch"] < epoch]
        score = score_of(measured)
        if score is not None and score > max(
            (x for x in before if x is not None), default=-math.inf
        ):
            self._keep_best(epoch, measured)
        row.update(measures)
        self.reports.write_scalars(step, measures)
        self.reports.write_row(row)
        if not self.spec.infrequent_summary_every_n_steps:
            self.painter.paint(self.state.best_model, step, batch)

    def _keep_best(self, epoch: int, row: Row) -> None:
        """Write the network under the best one's name."""
        best = self.folder / f"{self.spec.final_model_name}_best{self._suffix}"
        newest = newest_checkpoint(self.folder)
        if newest is not None and newest.step == int(self.state.step.numpy()):
            copy_file(newest.model, best)
        else:
            save_model(self.state.best_model, best, self.contract, key=self.key)
        shown = ", ".join(f"{name} {row[name]:.4g}" for name in ("ap", "val_loss") if name in row)
        logger.info("%s is the best so far: epoch %d, %s", best, epoch, shown)


def score_of(row: Row) -> float | None:
    """How good an epoch's network is: its AP, else its validation loss; None if not validated."""
    if "ap" in row:
        return row["ap"]
    return -row["val_loss"] if "val_loss" in row else None


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; the copy is there whole or not at all."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
