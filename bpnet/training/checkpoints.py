"""Checkpoints: a model file that stands for itself, and beside it the rest of the training's state.

The model file is written first and the state last, each under a temporary name that is then
renamed; the state carries the model file's digest. So a pair that a killed process left half
written, or half replaced, is known and passed over for the one before it.
"""

import json
import logging
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bpnet.data.storage import remove_leftovers
from bpnet.errors import DataError, ModelError
from bpnet.files import digest, replacing
from bpnet.model.files import load_model, save_model
from bpnet.pose.contract import ModelContract
from bpnet.training.optimizer import Optimizer
from bpnet.training.precision import LossScale

logger = logging.getLogger(__name__)

STATE_SUFFIX = ".state.npz"
FORMAT = 2


@dataclass
class TrainingState:
    """Everything that changes while a network is trained.

    Attributes:
        model: The network.
        optimizer: Its slots.
        step: Steps done, int64; counted inside the step's graph.
        averaged: The network with the moving average of the weights and batch statistics.
        loss_scale: Of float16.
        elapsed: Seconds of training before this run.
        origin_step: Step at which another run's checkpoint was taken over.
        origin_epoch: Epochs that checkpoint had.
        teacher: SHA-256 of the file of the network learned from; "" without one.
    """

    model: keras.Model
    optimizer: Optimizer
    step: tf.Variable
    averaged: keras.Model | None = None
    loss_scale: LossScale | None = None
    elapsed: float = 0.0
    origin_step: int = 0
    origin_epoch: int = 0
    teacher: str = ""

    @property
    def best_model(self) -> keras.Model:
        """The network to validate, to save and to use: the averaged one where there is one."""
        return self.model if self.averaged is None else self.averaged

    @property
    def scale(self) -> Any:
        """What the loss is multiplied by before the gradients."""
        return 1.0 if self.loss_scale is None else self.loss_scale.variables[0]

    def variables(self) -> dict[str, Any]:
        """By name, all that the file of ``best_model`` does not hold, the counters aside."""
        named = dict(zip(self.optimizer.names, self.optimizer.variables, strict=True))
        if self.loss_scale is not None:
            named |= zip(self.loss_scale.names, self.loss_scale.variables, strict=True)
        if self.averaged is not None:
            named |= {f"weights/{weight.path}": weight.value for weight in self.model.weights}
        return named


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk.

    Attributes:
        model: The model file.
        state: The state file beside it.
        step: Steps done.
        facts: What the state file says besides the optimizer's slots.
    """

    model: Path
    state: Path
    step: int
    facts: dict[str, Any]


def save_checkpoint(
    state: TrainingState,
    folder: Path,
    name: str,
    *,
    elapsed: float,
    steps_per_epoch: int,
    contract: ModelContract,
    key: str | None,
) -> Checkpoint:
    """Write ``<name>.keras`` (``.tlt`` with a key) and then ``<name>.state.npz``.

    Raises:
        DataError: They cannot be written.
    """
    model_path = folder / (name + (".tlt" if key else ".keras"))
    save_model(state.best_model, model_path, contract, key=key)
    variables = state.variables()
    facts: dict[str, Any] = {
        "format": FORMAT,
        "step": int(state.step.numpy()),
        "elapsed": elapsed,
        "origin_step": state.origin_step,
        "origin_epoch": state.origin_epoch,
        "teacher": state.teacher,
        "steps_per_epoch": steps_per_epoch,
        "model": model_path.name,
        "sha256": digest(model_path),
        "slots": list(variables),
    }
    slots = {f"slot{i:04d}": value.numpy() for i, value in enumerate(variables.values())}
    state_path = folder / (name + STATE_SUFFIX)
    with replacing(state_path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **slots)
    return Checkpoint(model_path, state_path, facts["step"], facts)


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints of ``folder``, newest first.

    Their model files are only read by ``newest_checkpoint``.
    """
    found = []
    for path in folder.glob(f"model.*{STATE_SUFFIX}"):
        facts = read_facts(path)
        if facts is not None:
            found.append(Checkpoint(folder / facts["model"], path, facts["step"], facts))
    return sorted(found, key=lambda checkpoint: checkpoint.step, reverse=True)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose model file is the one that its state was saved with."""
    for checkpoint in find_checkpoints(folder):
        if is_whole(checkpoint):
            return checkpoint
        logger.warning(
            "%s is passed over: %s was not written with it",
            checkpoint.state,
            checkpoint.model.name,
        )
    return None


def checkpoint_of(model_path: Path) -> Checkpoint | None:
    """The checkpoint that a model file belongs to, or None where no state stands beside it."""
    state = model_path.with_name(model_path.stem + STATE_SUFFIX)
    facts = read_facts(state) if state.is_file() else None
    if facts is None or facts["model"] != model_path.name:
        return None
    checkpoint = Checkpoint(model_path, state, facts["step"], facts)
    return checkpoint if is_whole(checkpoint) else None


def is_whole(checkpoint: Checkpoint) -> bool:
    """Whether the model file is the one that the state was saved with."""
    path = checkpoint.model
    return path.is_file() and digest(path) == checkpoint.facts["sha256"]


def restore_state(state: TrainingState, checkpoint: Checkpoint, *, only_if_fits: bool) -> bool:
    """Take over everything that the state file holds; whether it did.

    Args:
        state: Changed in place; ``restore_weights`` comes before.
        checkpoint: A complete one.
        only_if_fits: Take the step alone where network, optimizer or averaging differ.

    Raises:
        ModelError: They differ, and ``only_if_fits`` is false.
    """
    variables = state.variables()
    with np.load(checkpoint.state) as file:
        slots = [file[f"slot{number:04d}"] for number in range(len(checkpoint.facts["slots"]))]
    shapes = [tuple(variable.shape) for variable in variables.values()]
    fits = [slot.shape for slot in slots] == shapes
    # Names of weights carry Keras's counters, kinds do not: v of Adam is no velocity.
    kinds = [
        [name.rpartition("/")[2] for name in x] for x in (checkpoint.facts["slots"], variables)
    ]
    fits = fits and kinds[0] == kinds[1]
    if not fits and not only_if_fits:
        raise ModelError(
            f"{checkpoint.state} was saved by another optimizer, precision or ema_decay than the "
            "spec's; train into another results folder, or put the spec back"
        )
    state.step.assign(checkpoint.step)
    if not fits:
        return False
    for variable, slot in zip(variables.values(), slots, strict=True):
        variable.assign(slot)
    state.elapsed = float(checkpoint.facts["elapsed"])
    state.origin_step = int(checkpoint.facts["origin_step"])
    state.origin_epoch = int(checkpoint.facts["origin_epoch"])
    state.teacher = str(checkpoint.facts.get("teacher", ""))
    return True


def restore_weights(state: TrainingState, path: Path, *, key: str | None) -> None:
    """Take over every weight of the model file at ``path``, for the averaged network too.

    Raises:
        ModelError: Its weights do not fit the network.
    """
    saved, _ = load_model(path, key=key)
    weights = saved.get_weights()
    try:
        for model in (state.model, state.averaged):
            if model is not None:
                model.set_weights(weights)
    except ValueError as error:
        raise ModelError(
            f"{path} holds another network than the spec's; "
            "train into another results folder, or put the spec back"
        ) from error


def delete_old_checkpoints(folder: Path, *, keep: int) -> None:
    """Keep the newest ``keep``; of those of interrupted runs only one that is the newest of all."""
    whole = 0
    for number, checkpoint in enumerate(find_checkpoints(folder)):
        interrupted = re.match(r"model\.step-", checkpoint.state.name) is not None
        whole += not interrupted
        if (interrupted and number > 0) or (not interrupted and whole > keep):
            checkpoint.state.unlink(missing_ok=True)
            checkpoint.model.unlink(missing_ok=True)


def delete_partial_files(folder: Path) -> None:
    """Remove what a killed run was writing, be it a checkpoint, a report or the best model.

    Raises:
        DataError: A file cannot be deleted.
    """
    try:
        remove_leftovers(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be cleared: {error.strerror or error}") from error


def read_facts(path: Path) -> dict[str, Any] | None:
    """What a state file says besides the slots; None, and a warning, where it is no state file."""
    try:
        with path.open("rb") as data, np.load(data) as file:
            facts = json.loads(str(file["facts"]))
        if facts["format"] == FORMAT:
            return dict(facts)
        reason = f"its format is {facts['format']}, not {FORMAT}"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error)
    logger.warning("%s is passed over: %s", path, reason)
    return None
