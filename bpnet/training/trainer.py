"""Training a network: everything is set up here, then ``loop`` runs."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from bpnet import __version__
from bpnet.data.pipeline import make_batches, steps_per_epoch
from bpnet.files import make_folder, replacing
from bpnet.pose.contract import ModelContract
from bpnet.pose.skeleton import Skeleton
from bpnet.spec.dataset import DatasetSpec
from bpnet.spec.reader import dump_spec
from bpnet.spec.train import BpNetTrainer
from bpnet.training.checkpoints import delete_partial_files
from bpnet.training.loop import TrainingRun, Validate
from bpnet.training.plan import Plan, find_records
from bpnet.training.precision import choose_precision
from bpnet.training.reports import Row
from bpnet.training.start import find_start, start_state
from bpnet.training.step import Targets

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
    on_epoch: Callable[[Row], None] | None = None,
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
        on_epoch: Called with each row of ``results.csv``.

    Returns:
        The final model file.

    Raises:
        DataError: The data cannot be read, or the results not written.
        ModelError: A model file cannot be used, or the loss is no longer a number.
    """
    records = find_records(spec.dataloader.dataset_config)
    epoch_steps = steps_per_epoch(records, spec.dataloader.batch_size)
    make_folder(results_dir)
    delete_partial_files(results_dir)
    write_spec(spec, results_dir)
    state = start_state(
        spec,
        find_start(spec, results_dir),
        skeleton=skeleton,
        steps_per_epoch=epoch_steps,
        precision=choose_precision(use_amp=use_amp),
        key=key,
    )
    plan = Plan(
        epochs=spec.num_epoch,
        steps_per_epoch=epoch_steps,
        origin_step=state.origin_step,
        origin_epoch=state.origin_epoch,
        budget=max_minutes * 60 if max_minutes else None,
    )
    logger.info("%d epochs of %d steps", plan.epochs, epoch_steps)
    run = TrainingRun(
        spec=spec,
        state=state,
        plan=plan,
        contract=contract_of(spec, skeleton, parameters=state.model.count_params()),
        folder=results_dir,
        key=key,
        validate=validate,
        on_epoch=on_epoch,
    )
    batches = make_batches(
        spec.dataloader,
        skeleton=skeleton,
        datasets=datasets,
        records=records,
        seed=spec.random_seed,
        batch_size=spec.dataloader.batch_size,
        first_step=run.step,
        steps=max(plan.last_step - run.step, 0),
    )
    return run.run(batches, Targets.of(spec.dataloader, skeleton))


def contract_of(spec: BpNetTrainer, skeleton: Skeleton, *, parameters: int) -> ModelContract:
    """What the model files say of themselves."""
    dims = spec.dataloader.image_config.image_dims
    extra = {
        "bpnet_version": __version__,
        "parameters": str(parameters),
        "trained_at": f"{dims.height}x{dims.width}",
        "training_spec_sha256": hashlib.sha256(dump_spec(spec).encode()).hexdigest(),
    }
    return dataclasses.replace(ModelContract.trained_on(spec.dataloader, skeleton), extra=extra)


def write_spec(spec: BpNetTrainer, folder: Path) -> None:
    """Write the resolved spec, without the key, to ``experiment_spec.yaml``."""
    with replacing(folder / "experiment_spec.yaml") as temporary:
        temporary.write_text(dump_spec(spec), encoding="utf-8")
