"""The training loop: step after step, and the end of each epoch."""

import collections
import itertools
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from bpnet.data.pipeline import iterate
from bpnet.errors import BpnetError, ModelError
from bpnet.training.checkpoints import newest_checkpoint
from bpnet.training.epoch_end import EpochEnd
from bpnet.training.progress import ProgressLine
from bpnet.training.reports import Row
from bpnet.training.schedules import learning_rate
from bpnet.training.step import Batch, Step, StepSettings, build_step
from bpnet.training.targets import Targets
from bpnet.training.teacher import Teacher

logger = logging.getLogger(__name__)

NAMED_IMAGES = 8  # of a batch in an error


@dataclass
class TrainingRun:
    """One run of the training loop.

    Attributes:
        end: What is due at the end of an epoch; it knows the spec, the state and the plan.
        settings: What a step does.
        teacher: Whose maps are further targets.
    """

    end: EpochEnd
    settings: StepSettings
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        self.spec, self.state, self.plan = self.end.spec, self.end.state, self.end.plan
        self.begun, self.elapsed_before = time.monotonic(), self.state.elapsed
        self.epoch_begun = self.begun
        self.sums: collections.Counter[str] = collections.Counter()
        self.steps = 0  # whose losses are in sums
        self.step = int(self.state.step.numpy())
        self._remember_teacher()

    @property
    def progress(self) -> float:
        """Part of the training done, 0..1, by the steps and by the clock as last read."""
        return self.plan.progress(self.step, self.state.elapsed)

    def read_clock(self) -> None:
        """Add up the seconds of training; several machines go by the chief's clock."""
        self.read_own_clock()
        if self.plan.budget is not None:
            self.state.elapsed = self.end.devices.share(self.state.elapsed)

    def run(self, batches: tf.data.Dataset, targets: Targets) -> Path:
        """Train to the end; when interrupted, save what there is and pass the interruption on.

        Raises:
            BpnetError: The loss is no number, an image is bad, or another machine is gone.
        """
        line = ProgressLine(
            self.plan, progress=self.progress, every_seconds=self.spec.log_every_n_secs
        )
        try:
            self._loop(batches, targets, line)
        except (KeyboardInterrupt, SystemExit):
            line.close()
            self.read_own_clock()
            checkpoint = self.end.save_interrupted()
            if checkpoint is not None:
                logger.warning("Interrupted: the same command goes on from %s", checkpoint.model)
            raise
        except tf.errors.OpError as error:
            if self.end.devices.worker.count == 1:
                raise
            last = newest_checkpoint(self.end.folder)
            raise BpnetError(
                f"another worker is gone ({type(error).__name__}) after step {self.step}; start "
                "every worker again with the same command, and training goes on from "
                f"{last.model if last else 'the beginning'}"
            ) from error
        finally:
            line.close()
            self.end.reports.close()
        self.end.reports.draw_curves()
        return self.end.write_final_model()

    def read_own_clock(self) -> None:
        """``read_clock`` without asking other machines, for when they may be gone."""
        self.state.elapsed = self.elapsed_before + time.monotonic() - self.begun

    def _remember_teacher(self) -> None:
        """Note in the state whose maps are learned, and warn where those were another file's."""
        if self.teacher is None:
            return
        before = self.state.teacher
        begun = self.step > self.state.origin_step  # a finetuning may have a teacher of its own
        if begun and before and before != self.teacher.digest:
            logger.warning(
                "%s; its file is not the one that this training has learned from so far: put that "
                "back, or train into another results folder, for a training of one teacher",
                self.teacher.description,
            )
        self.state.teacher = self.teacher.digest

    def _loop(self, batches: tf.data.Dataset, targets: Targets, line: ProgressLine) -> None:
        """Steps and epochs until all are done or the time is up."""
        if self.end.catch_up() or self.progress >= 1.0:
            return
        take_step = build_step(
            self.state,
            targets,
            self.end.devices,
            settings=self.settings,
            batch_spec=batches.element_spec,
            teacher=self.teacher,
        )
        self.epoch_begun = time.monotonic()
        for group in in_groups(iterate(batches), self.settings.batches):
            seen = self._step(take_step, group)
            progress = self.progress
            self._report(seen, group[-1])
            line.show(
                self.step,
                progress=progress,
                loss=self.sums["loss"] / self.steps,
                rate=seen["learning_rate"],
                images_per_second=seen["images_per_second"],
            )
            done = progress >= 1.0
            if self.plan.ends_epoch(self.step) or done:
                done = self.end.finish(self._row(seen), done=done, batch=group[-1])
                self.epoch_begun = time.monotonic()
            if done:
                return

    def _step(self, take_step: Step, group: list[Batch]) -> Row:
        """Take a step at the rate that is due; its losses, rate and speed."""
        rate = learning_rate(
            self.spec.optimizer.learning_rate_schedule,
            progress=self.progress,
            epochs=self.plan.epochs,
        )
        losses = take_step(group, rate)
        self.step += 1
        self.read_clock()
        self._check(losses["loss"], group)
        self.sums.update(losses)
        self.steps += 1
        images = self.steps * len(group) * len(group[0]["images"]) * self.end.devices.worker.count
        speed = images / (time.monotonic() - self.epoch_begun)
        return {**losses, "learning_rate": rate, "images_per_second": speed}

    def _check(self, loss: float, group: list[Batch]) -> None:
        """Stop when the loss is no longer a number: nothing after that step is worth keeping."""
        if math.isfinite(loss):
            return
        paths = [path for batch in group for path in np.asarray(batch["paths"]).tolist()]
        names = [path.decode() for path in paths]
        more = f" and {len(names) - NAMED_IMAGES} more" if len(names) > NAMED_IMAGES else ""
        last = newest_checkpoint(self.end.folder)
        raise ModelError(
            f"the loss is {loss} at step {self.step}, with the images "
            f"{', '.join(names[:NAMED_IMAGES])}{more}; look at these and at the learning rate "
            f"(last good checkpoint: {last.model if last else 'none'})"
        )

    def _report(self, seen: Row, batch: Batch) -> None:
        """Write the TensorBoard scalars and images that are due."""
        if not self.end.devices.worker.is_chief:
            return
        if self.step % self.spec.summary_every_n_steps == 0:
            self.end.reports.write_scalars(self.step, seen)
        rarely = self.spec.infrequent_summary_every_n_steps
        if rarely and self.step % rarely == 0:
            self.end.painter.paint(self.state.best_model, self.step, batch)

    def _row(self, seen: Row) -> Row:
        """The row of results of the epoch that ends here; the next one's sums begin."""
        row = {
            "epoch": float(self.plan.epoch(self.step) + (not self.plan.ends_epoch(self.step))),
            "step": float(self.step),
            **seen,
            **{name: total / self.steps for name, total in self.sums.items()},
            "minutes": self.state.elapsed / 60,
        }
        self.sums.clear()
        self.steps = 0
        return row


def in_groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """The batches, so many at a time; a rest that is fewer is left out."""
    while len(group := list(itertools.islice(batches, size))) == size:
        yield group
