"""How long a training is, and how far it has come."""

import dataclasses
import logging
import math
from dataclasses import dataclass
from pathlib import Path

from bpnet.data import storage
from bpnet.errors import DataError
from bpnet.spec.dataloader import DatasetConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The length of a training, in steps and perhaps in minutes.

    Attributes:
        epochs: Epochs in all, a last one that is cut short included.
        steps_per_epoch: Steps of one epoch.
        origin_step: Step at which another run's checkpoint was taken over; else 0.
        origin_epoch: Epochs that checkpoint had; else 0.
        budget: Seconds of wall clock that the training may take; None: any.
        steps: Steps after ``origin_step``; None: those of the epochs.
    """

    epochs: int
    steps_per_epoch: int
    origin_step: int = 0
    origin_epoch: int = 0
    budget: float | None = None
    steps: int | None = None

    @property
    def last_step(self) -> int:
        """Steps in all."""
        if self.steps is not None:
            return self.origin_step + self.steps
        return self.origin_step + (self.epochs - self.origin_epoch) * self.steps_per_epoch

    def in_steps(self, steps: int) -> "Plan":
        """The same training in so many steps, not counting those before ``origin_step``."""
        epochs = self.origin_epoch + math.ceil(steps / self.steps_per_epoch)
        return dataclasses.replace(self, epochs=epochs, steps=steps)

    def epoch(self, step: int) -> int:
        """Epochs done after ``step`` steps; one that is cut short is not done."""
        return self.origin_epoch + (step - self.origin_step) // self.steps_per_epoch

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch is done after ``step`` steps."""
        return (step - self.origin_step) % self.steps_per_epoch == 0

    def progress(self, step: int, elapsed: float) -> float:
        """Part of the training done, 0..1: by steps or by the clock, whichever is further."""
        by_clock = elapsed / self.budget if self.budget else 0.0
        return min(1.0, max(step / max(self.last_step, 1), by_clock))


def find_records(config: DatasetConfig) -> list[Path]:
    """The training record files, wildcards resolved, in the order of the spec.

    Raises:
        DataError: An entry matches no file.
    """
    return _find("train", Path(config.train_records_folder_path), config.train_records_path)


def find_validation_records(config: DatasetConfig) -> list[Path]:
    """The validation record files; none, and a warning, where there are none.

    They are optional: TAO's specs name files that its users never made.
    """
    folder = Path(config.val_records_folder_path or config.train_records_folder_path)
    if not config.val_records_path:
        logger.warning("val_records_path names no record file: no validation loss")
        return []
    try:
        return _find("val", folder, config.val_records_path)
    except DataError as error:
        logger.warning("no validation loss: %s", error)
        return []


def _find(kind: str, folder: Path, entries: list[str]) -> list[Path]:
    """The files that the entries of ``<kind>_records_path`` mean."""
    records: list[Path] = []
    for entry in entries:
        try:
            files = storage.find_files(*_place(folder, entry))
        except OSError as error:
            said = f"{kind}_records_path: {entry} cannot be listed: {error.strerror or error}"
            raise DataError(said) from error
        if not files:
            sought = storage.address(storage.join(folder, entry))
            raise DataError(
                f"{kind}_records_path: no file matches {sought}; "
                "`bpnet dataset_convert` writes the records"
            )
        records += [path for path in files if path not in records]
    if not records:
        raise DataError(f"{kind}_records_path is empty; name at least one record file")
    return records


def _place(folder: Path, entry: str) -> tuple[Path, str]:
    """A folder and the pattern below it that an entry means."""
    path = Path(entry)
    if storage.is_remote(entry):
        return path.parent, path.name
    if path.is_absolute():
        return Path(path.anchor), str(path.relative_to(path.anchor))
    return folder, entry
