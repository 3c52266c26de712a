"""What a training leaves to read: results.csv, TensorBoard events, curves.png."""

import csv
import logging
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bpnet.files import replacing

logger = logging.getLogger(__name__)

Row = dict[str, float]

# tf.summary.scalar writes the same, but only where TensorBoard itself is installed.
SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
)
IMAGE = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images")
)


class Reports:
    """The rows of ``results.csv``, and everything that is drawn from them.

    Attributes:
        rows: One an epoch, in order.
    """

    def __init__(self, folder: Path, *, step: int, writes: bool = True) -> None:
        """Go on from the rows of an earlier run up to ``step``, if there are any.

        Args:
            folder: Of everything that is written.
            step: Steps done.
            writes: Whether anything is to be written: of several machines one does.
        """
        self.folder = folder
        self.writes = writes
        self.rows = [row for row in read_rows(folder / "results.csv") if row["step"] <= step]
        if writes:
            self.events = tf.summary.create_file_writer(str(folder / "events"))
        else:
            self.events = tf.summary.create_noop_writer()

    def write_scalars(self, step: int, values: dict[str, float]) -> None:
        """Put ``values`` at ``step`` into the TensorBoard events."""
        with self.events.as_default(step=step):
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=SCALAR)

    def write_image(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """Put an image (H, W, 3) at ``step`` into the TensorBoard events."""
        height, width = image.shape[:2]
        png = tf.io.encode_png(image).numpy()
        data = tf.constant([str(width).encode(), str(height).encode(), png])
        with self.events.as_default(step=step):
            tf.summary.write(name, data, metadata=IMAGE)

    def write_row(self, row: Row) -> None:
        """Add an epoch's row, in place of one of the same epoch."""
        self.rows = [old for old in self.rows if old["epoch"] < row["epoch"]] + [row]
        self.events.flush()
        columns = list(dict.fromkeys(name for old in self.rows for name in old))
        path = self.folder / "results.csv"
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, columns)
            writer.writeheader()
            writer.writerows({name: f"{row[name]:.8g}" for name in row} for row in self.rows)

    def draw_curves(self) -> None:
        """Write ``curves.png``: the losses, and the validations where there are any."""
        if self.rows and self.writes:
            figure = draw_curves(self.rows)
            with replacing(self.folder / "curves.png") as temporary:
                figure.savefig(temporary, dpi=120)

    def close(self) -> None:
        """Write what is still in memory."""
        self.events.close()


def read_rows(path: Path) -> list[Row]:
    """The rows of a results.csv; none, and a warning, where it is broken."""
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
        if any(not row.keys() >= {"epoch", "step"} for row in rows):
            raise ValueError("a row has no epoch or no step, so no training of bpnet wrote it")
        return rows
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s is started afresh: %s", path, error)
        return []


def draw_curves(rows: list[Row]) -> Figure:
    """Losses over the epochs; below them the validations' AP, if any."""
    measures = [name for name in ("ap", "ap50") if any(name in row for row in rows)]
    figure = Figure(figsize=(8, 7 if measures else 4), layout="constrained")
    axes = figure.subplots(2 if measures else 1, 1, sharex=True, squeeze=False)[:, 0]
    names = [name for row in rows for name in row if "loss" in name]
    for name in dict.fromkeys(names):
        points = [(row["epoch"], row[name]) for row in rows if row.get(name, 0.0) > 0.0]
        if points:
            style = {"color": "black", "linewidth": 2} if name == "loss" else {"linewidth": 1}
            axes[0].plot(*zip(*points, strict=True), label=name.replace("_", " "), **style)
    axes[0].set(ylabel="loss", yscale="log")
    if measures:
        for name in measures:
            points = [(row["epoch"], row[name]) for row in rows if not _missing(row, name)]
            axes[1].plot(*zip(*points, strict=True), marker="o", label=name.upper())
        axes[1].set(ylabel="average precision", ylim=(0, 1))
    for axis in axes:
        axis.grid(visible=True, alpha=0.3)
        axis.legend(fontsize="small")
    axes[-1].set(xlabel="epoch")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def _missing(row: Row, name: str) -> bool:
    """Whether ``row`` has no number under ``name``."""
    return math.isnan(row.get(name, math.nan))
