"""The training loop: step after step, and what is due at the end of an epoch."""

import collections
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bpnet.data.pipeline import iterate
from bpnet.errors import ModelError
from bpnet.files import replacing
from bpnet.pose.contract import ModelContract
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import (
    Checkpoint,
    TrainingState,
    delete_old_checkpoints,
    newest_checkpoint,
    save_checkpoint,
)
from bpnet.training.plan import Plan
from bpnet.training.progress import ProgressLine
from bpnet.training.reports import Reports, Row
from bpnet.training.schedules import learning_rate
from bpnet.training.step import Step, Targets, build_step

logger = logging.getLogger(__name__)

Validate = Callable[[keras.Model, int], dict[str, float]]
NAMED_IMAGES = 8  # of a batch in an error


@dataclass
class TrainingRun:
    """One run of the training loop.

    Attributes:
        spec: The training spec.
        state: What changes; everything that a checkpoint holds.
        plan: How long the training is.
        contract: What the model files say of themselves.
        folder: Where everything is written.
        key: Encrypts the model files.
        validate: (network, epoch) -> measures.
        on_epoch: Called with each row of results.csv.
    """

    spec: BpNetTrainer
    state: TrainingState
    plan: Plan
    contract: ModelContract
    folder: Path
    key: str | None = None
    validate: Validate | None = None
    on_epoch: Callable[[Row], None] | None = None

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.reports = Reports(self.folder, step=self.step)
        self.sums: collections.Counter[str] = collections.Counter()
        self.steps = 0  # whose losses are in sums

    @property
    def step(self) -> int:
        """Steps done, as the graph counted them."""
        return int(self.state.step.numpy())

    @property
    def elapsed(self) -> float:
        """Seconds of training, those of earlier runs included."""
        return self.state.elapsed + time.monotonic() - self.begun

    @property
    def progress(self) -> float:
        """Part of the training done, 0..1."""
        return self.plan.progress(self.step, self.elapsed)

    def run(self, batches: tf.data.Dataset, targets: Targets) -> Path:
        """Train to the end; when interrupted, save what there is and pass the interruption on."""
        line = ProgressLine(
            self.plan, progress=self.progress, every_seconds=self.spec.log_every_n_secs
        )
        try:
            self._loop(batches, targets, line)
        except (KeyboardInterrupt, SystemExit):
            line.close()
            checkpoint = newest_checkpoint(self.folder)
            if checkpoint is None or checkpoint.step != self.step:
                checkpoint = self._save(f"model.step-{self.step}")
            logger.warning("Interrupted: the same command goes on from %s", checkpoint.model)
            raise
        finally:
            line.close()
            self.reports.close()
        self.reports.draw_curves()
        return self._write_final_model()

    def _loop(self, batches: tf.data.Dataset, targets: Targets, line: ProgressLine) -> None:
        """Steps and epochs until all are done or the time is up."""
        if self.progress >= 1.0:
            return
        take_step = build_step(
            self.state,
            targets,
            loss=self.spec.loss,
            batch_spec=batches.element_spec,
        )
        begun = time.monotonic()
        for batch in iterate(batches):
            step, seen = self._step(take_step, batch, begun=begun)
            progress = self.progress
            if step % self.spec.summary_every_n_steps == 0:
                self.reports.write_scalars(step, seen)
            line.show(
                step,
                progress=progress,
                loss=self.sums["loss"] / self.steps,
                rate=seen["learning_rate"],
                images_per_second=seen["images_per_second"],
            )
            if self.plan.ends_epoch(step) or progress >= 1.0:
                self._end_epoch(step, seen, done=progress >= 1.0)
                begun = time.monotonic()
            if progress >= 1.0:
                return

    def _step(self, take_step: Step, batch: dict[str, Any], *, begun: float) -> tuple[int, Row]:
        """Take a step at the rate that is due; its number, and its losses, rate and speed."""
        rate = learning_rate(
            self.spec.optimizer.learning_rate_schedule,
            progress=self.progress,
            epochs=self.plan.epochs,
        )
        self.state.optimizer.learning_rate = rate
        results = take_step(batch["images"], batch["masks"], batch["keypoints"])
        losses = {name: float(value) for name, value in results.items()}
        step = self.step
        self._check(losses["loss"], step, batch["paths"])
        self.sums.update(losses)
        self.steps += 1
        speed = self.steps * len(batch["images"]) / (time.monotonic() - begun)
        return step, {**losses, "learning_rate": rate, "images_per_second": speed}

    def _check(self, loss: float, step: int, paths: Any) -> None:
        """Stop when the loss is no longer a number: nothing after that step is worth keeping."""
        if math.isfinite(loss):
            return
        names = [path.decode() for path in np.asarray(paths).tolist()]
        more = f" and {len(names) - NAMED_IMAGES} more" if len(names) > NAMED_IMAGES else ""
        last = newest_checkpoint(self.folder)
        raise ModelError(
            f"the loss is {loss} at step {step}, with the images "
            f"{', '.join(names[:NAMED_IMAGES])}{more}; look at these and at the learning rate "
            f"(last good checkpoint: {last.model if last else 'none'})"
        )

    def _end_epoch(self, step: int, seen: Row, *, done: bool) -> None:
        """Write a row of results, and the checkpoint and the validation that are due."""
        epoch = self.plan.epoch(step) + (not self.plan.ends_epoch(step))
        row = {
            "epoch": float(epoch),
            "step": float(step),
            **seen,
            **{name: total / self.steps for name, total in self.sums.items()},
            "minutes": self.elapsed / 60,
        }
        self.sums.clear()
        self.steps = 0
        if done or epoch % self.spec.checkpoint_n_epoch == 0:
            self._save(f"model.epoch-{epoch}")
        self.reports.write_row(row)
        if self.validate and (done or epoch % self.spec.validation_every_n_epoch == 0):
            measures = self.validate(self.state.model, epoch)
            self.reports.write_scalars(step, measures)
            row.update(measures)
            self.reports.write_row(row)
        shown = ("loss", "ap", "ap50")
        numbers = ", ".join(f"{name} {row[name]:.4g}" for name in shown if name in row)
        logger.info("Epoch %d/%d done: %s", epoch, self.plan.epochs, numbers)
        if self.on_epoch:
            self.on_epoch(row)

    def _save(self, name: str) -> Checkpoint:
        """Write a checkpoint, then delete those there are too many of."""
        checkpoint = save_checkpoint(
            self.state,
            self.folder,
            name,
            elapsed=self.elapsed,
            steps_per_epoch=self.plan.steps_per_epoch,
            contract=self.contract,
            key=self.key,
        )
        delete_old_checkpoints(self.folder, keep=self.spec.max_ckpt_to_keep)
        return checkpoint

    def _write_final_model(self) -> Path:
        """Copy the newest checkpoint's model file to the final name."""
        newest = newest_checkpoint(self.folder)
        if newest is None or newest.step != self.step:
            newest = self._save(f"model.epoch-{self.plan.epoch(self.step)}")
        final = self.folder / (self.spec.final_model_name + newest.model.suffix)
        with replacing(final) as temporary:
            shutil.copyfile(newest.model, temporary)
        return final
