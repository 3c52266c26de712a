"""Training a network: everything is set up here, then ``loop`` runs."""

import dataclasses
import hashlib
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from bpnet import __version__
from bpnet.data.pipeline import iterate, make_batches, steps_per_epoch
from bpnet.data.skipped import SkippedImages
from bpnet.errors import DataError
from bpnet.files import make_folder, replacing
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.optimizer import BpNetExponentialDecayLRSchedule
from bpnet.spec.reader import dump_spec
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import TrainingState, delete_partial_files
from bpnet.training.devices import Devices
from bpnet.training.epoch_end import EpochEnd, Validate
from bpnet.training.loop import TrainingRun
from bpnet.training.pictures import Painter
from bpnet.training.plan import Plan, find_records, find_validation_records
from bpnet.training.precision import choose_precision
from bpnet.training.reports import Reports, Row
from bpnet.training.start import find_start, start_state
from bpnet.training.step import StepSettings
from bpnet.training.targets import Targets
from bpnet.training.teacher import Teacher, load_teacher
from bpnet.training.validation import both, build_validation_loss

logger = logging.getLogger(__name__)


def train(
    spec: BpNetTrainer,
    *,
    skeleton: Skeleton,
    datasets: dict[str, DatasetSpec],
    results_dir: Path,
    key: str | None = None,
    use_amp: bool = False,
    validate: Validate | None = None,
    max_minutes: float | None = None,
    steps: int | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    devices: Devices | None = None,
    skipped: SkippedImages | None = None,
) -> Path:
    """Train a network as ``spec`` says; the same call in the same folder goes on where it stopped.

    Args:
        spec: The training spec; its skeleton must have been checked against the network.
        skeleton: What the network learns.
        datasets: The dataset spec of each dataset in the records, by name.
        results_dir: Where everything is written.
        key: Encrypts the model files that are written, and opens those that are read.
        use_amp: Mixed precision, where this machine gains from it.
        validate: (network, epoch) -> measures, such as ``{"ap": 0.5}``.
        max_minutes: The training takes at most this long, all its runs together; the learning rate
            follows the clock where that is further than the steps. Validation at the end and
            writing the final files come on top.
        steps: The training takes so many steps, all its runs together, in place of the spec's
            ``num_epoch`` epochs.
        on_epoch: Called with each row of ``results.csv``.
        devices: Where the training runs; None: TensorFlow's first.
        skipped: Takes the images that cannot be used; None: the first one ends the training.

    Returns:
        The final model file.

    Raises:
        DataError: The data cannot be read, or the results not written.
        ModelError: A model file cannot be used, or the loss is no longer a number.
    """
    devices = devices or Devices()
    loader = spec.dataloader
    if spec.deterministic:
        keras.utils.set_random_seed(spec.random_seed)
        tf.config.experimental.enable_op_determinism()
    records = find_records(loader.dataset_config)
    batch_size = loader.batch_size * devices.count
    make_folder(results_dir)
    if devices.worker.is_chief:
        delete_partial_files(results_dir)
        write_spec(spec, results_dir)
    state, plan = _begin(
        spec,
        results_dir,
        skeleton=skeleton,
        steps_per_epoch=steps_per_epoch(
            records, batch_size * spec.gradient_accumulation_steps, skipped
        ),
        steps=steps,
        budget=max_minutes * 60 if max_minutes else None,
        precision=choose_precision(use_amp=use_amp),
        devices=devices,
        key=key,
    )
    batches = partial(make_batches, loader, skeleton=skeleton, datasets=datasets, skipped=skipped)
    targets = Targets.of(loader, skeleton)
    teacher = _teacher(spec, state, targets, skeleton=skeleton, devices=devices, key=key)
    step = int(state.step.numpy())
    reports = Reports(results_dir, step=step, writes=devices.worker.is_chief)
    painter, validate = _validation(spec, batches, reports, targets, skeleton, validate)
    end = EpochEnd(
        spec=spec,
        state=state,
        plan=plan,
        contract=contract_of(spec, skeleton, parameters=state.model.count_params()),
        folder=results_dir,
        devices=devices,
        reports=reports,
        key=key,
        validate=validate,
        painter=painter,
        on_epoch=on_epoch,
    )
    training = batches(
        records=records,
        seed=spec.random_seed,
        batch_size=batch_size,
        first_step=step * spec.gradient_accumulation_steps,
        steps=max(plan.last_step - step, 0) * spec.gradient_accumulation_steps,
        shard=devices.worker.index,
        shards=devices.worker.count,
    )
    try:
        return TrainingRun(end, step_settings(spec, devices), teacher).run(training, targets)
    finally:
        if skipped is not None:
            skipped.report()


def _begin(
    spec: BpNetTrainer,
    folder: Path,
    *,
    skeleton: Skeleton,
    steps_per_epoch: int,
    steps: int | None,
    budget: float | None,
    precision: str,
    devices: Devices,
    key: str | None,
) -> tuple[TrainingState, Plan]:
    """What the training starts with, and how long it is."""
    state = start_state(
        spec,
        find_start(spec, folder),
        skeleton=skeleton,
        steps_per_epoch=steps_per_epoch,
        precision=precision,
        devices=devices,
        key=key,
    )
    _check_same_start(state, devices, folder)
    plan = Plan(
        epochs=spec.num_epoch,
        steps_per_epoch=steps_per_epoch,
        origin_step=state.origin_step,
        origin_epoch=state.origin_epoch,
        budget=budget,
    )
    if steps is None:
        logger.info("%d epochs of %d steps", plan.epochs, steps_per_epoch)
    else:
        plan = plan.in_steps(steps)
        logger.info("%d steps; an epoch has %d", steps, steps_per_epoch)
    advise_on_rate(spec, devices.count)
    return state, plan


def _teacher(
    spec: BpNetTrainer,
    state: TrainingState,
    targets: Targets,
    *,
    skeleton: Skeleton,
    devices: Devices,
    key: str | None,
) -> Teacher | None:
    """The network to learn from besides the labels, if the spec names one."""
    if spec.loss.distillation is None:
        return None
    teacher = load_teacher(
        spec.loss.distillation,
        state.model,
        targets=targets,
        skeleton=skeleton,
        devices=devices,
        key=key,
    )
    logger.info("%s", teacher.description)
    return teacher


def step_settings(spec: BpNetTrainer, devices: Devices) -> StepSettings:
    """What the spec says of a step."""
    if spec.use_xla and devices.count > 1:
        logger.warning("use_xla has no effect on %d devices", devices.count)
    return StepSettings(
        loss=spec.loss,
        batches=spec.gradient_accumulation_steps,
        clip_norm=spec.clip_gradient_norm,
        ema_decay=spec.ema_decay,
        use_xla=spec.use_xla,
    )


def advise_on_rate(spec: BpNetTrainer, devices: int) -> None:
    """Say what several devices mean for the learning rate; it is left as the spec has it."""
    if devices == 1:
        return
    schedule = spec.optimizer.learning_rate_schedule
    if isinstance(schedule, BpNetExponentialDecayLRSchedule):
        rate = schedule.learning_rate
    else:
        rate = schedule.base_learning_rate
    batch = spec.dataloader.batch_size
    images = batch * devices * spec.gradient_accumulation_steps
    logger.info(
        "%d devices: a step sees %d images (batch_size %d is each device's). A rate that was "
        "chosen for %d images wants to be about %d times as high with momentum (%.3g becomes "
        "%.3g), %.1f times with AdamW, after a longer rise; it stays as the spec has it",
        devices,
        images,
        batch,
        images // devices,
        devices,
        rate,
        rate * devices,
        math.sqrt(devices),
    )


def _validation(
    spec: BpNetTrainer,
    batches: Callable[..., tf.data.Dataset],
    reports: Reports,
    targets: Targets,
    skeleton: Skeleton,
    validate: Validate | None,
) -> tuple[Painter, Validate | None]:
    """What draws pictures and what measures, where reports are written.

    Both use the validation records if there are any: their whole batches, once over.
    """
    painter = Painter(reports, skeleton, targets)
    records = find_validation_records(spec.dataloader.dataset_config) if reports.writes else []
    if not records:
        return painter, validate
    size = spec.dataloader.batch_size
    chosen = batches(
        records=records,
        seed=spec.random_seed,
        batch_size=size,
        steps=steps_per_epoch(records, size),
        augment=False,
    )
    painter.examples = next(iterate(chosen))
    return painter, both(build_validation_loss(chosen, targets, loss=spec.loss), validate)


def _check_same_start(state: TrainingState, devices: Devices, folder: Path) -> None:
    """Find out that the workers do not see the same checkpoint before they part ways.

    Raises:
        DataError: They do not.
    """
    own = float(state.step.numpy())
    chiefs = devices.share(own)
    if own != chiefs:
        raise DataError(
            f"{folder}: this worker starts at step {own:.0f}, the first one at step "
            f"{chiefs:.0f}; the results folder must be one that all machines see"
        )


def contract_of(spec: BpNetTrainer, skeleton: Skeleton, *, parameters: int) -> ModelContract:
    """What the model files say of themselves."""
    contract = ModelContract.trained_on(spec.dataloader, skeleton)
    extra = {
        **contract.extra,
        "bpnet_version": __version__,
        "parameters": str(parameters),
        "training_spec_sha256": hashlib.sha256(dump_spec(spec).encode()).hexdigest(),
    }
    return dataclasses.replace(contract, extra=extra)


def write_spec(spec: BpNetTrainer, folder: Path) -> None:
    """Write the resolved spec, without the key, to ``experiment_spec.yaml``."""
    with replacing(folder / "experiment_spec.yaml") as temporary:
        temporary.write_text(dump_spec(spec), encoding="utf-8")
