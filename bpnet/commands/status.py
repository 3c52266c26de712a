"""``status.json``: what a run is doing, a JSON object a line, in TAO's form."""

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bpnet.errors import DataError
from bpnet.files import make_folder

STATUS_FILE = "status.json"


class StatusWriter:
    """Appends lines to ``status.json``; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.path = make_folder(folder) / STATUS_FILE if folder is not None else None
        self.failed = False

    def __call__(
        self,
        *,
        status: str = "RUNNING",
        message: str | None = None,
        kpi: Mapping[str, Any] | None = None,
        graphical: Mapping[str, Any] | None = None,
        **data: Any,
    ) -> None:
        """One line.

        Args:
            status: STARTED, RUNNING, SUCCESS or FAILURE. After a FAILURE no SUCCESS follows.
            message: A sentence.
            kpi: Figures of merit, such as AP.
            graphical: Figures for a curve, such as the loss.
            data: More keys, as they are.
        """
        self.failed = self.failed or status == "FAILURE"
        if self.path is None:
            return
        now = datetime.datetime.now()
        line: dict[str, Any] = {
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": "ERROR" if status == "FAILURE" else "INFO",
        }
        given = {"message": message, "kpi": kpi, "graphical": graphical}
        line |= {name: value for name, value in given.items() if value is not None}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line | data, default=_plain) + "\n")
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def status(results_dir: Path | None, command: str) -> Iterator[StatusWriter]:
    """STARTED, whatever the block writes, then SUCCESS, or FAILURE where an exception passes.

    Raises:
        DataError: ``results_dir`` cannot be written.
    """
    write = StatusWriter(results_dir)
    write(status="STARTED", message=f"Starting {command}.")
    try:
        yield write
    except BaseException as error:
        with contextlib.suppress(DataError):  # a full disk is what the user should hear of first
            write(status="FAILURE", message=_said(error, command))
        raise
    if not write.failed:
        write(status="SUCCESS", message=f"{command} finished.")


def _said(error: BaseException, command: str) -> str:
    if isinstance(error, KeyboardInterrupt):
        return f"{command} was interrupted."
    if isinstance(error, SystemExit):
        return f"{command} ended with exit code {error.code}."
    return str(error) or type(error).__name__


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and paths, as JSON can hold them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
