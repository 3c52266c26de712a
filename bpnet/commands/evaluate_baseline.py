"""A baseline: the figures of an evaluation in a file, and whether another has fallen below them."""

import argparse
import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bpnet import __version__
from bpnet.commands.evaluate_files import read_json
from bpnet.commands.options import points
from bpnet.errors import DataError

logger = logging.getLogger(__name__)

Parsed = TypeVar("Parsed")

AP = "AP_0.50:0.95_all"  # the figure that is compared, as status.json names it
MAX_DROP = 0.2  # AP points, where nobody says another


@dataclass(frozen=True)
class Baseline:
    """The figures of an evaluation, to compare others with.

    Attributes:
        metrics: COCO's ten figures, 0..1, as status.json names them.
        max_drop: AP points (hundredths) that AP may be lower.
        images: Number of images.
        labels_sha256: Of what the evaluation took from the labels.
        model: ``file`` and ``sha256``; nothing where detections were evaluated without a model.
    """

    metrics: dict[str, float]
    max_drop: float
    images: int
    labels_sha256: str
    model: dict[str, str]

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            DataError: It cannot be written.
        """
        content = {
            "metrics": self.metrics,
            "max_drop": self.max_drop,
            "images": self.images,
            "labels_sha256": self.labels_sha256,
            "model": self.model,
        }
        write_baseline(path, content)

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """The baseline of a file.

        Raises:
            DataError: It is no baseline.
        """
        return read_baseline(path, cls._parse)

    @classmethod
    def _parse(cls, content: Any) -> "Baseline":
        metrics = metrics_of(content)
        return cls(
            metrics=metrics,
            max_drop=max_drop_of(content, [metrics[AP]]),
            images=int(content["images"]),
            labels_sha256=str(content["labels_sha256"]),
            model={str(key): str(value) for key, value in content["model"].items()},
        )


def add_baseline_options(
    parser: argparse.ArgumentParser, *, earlier: str, max_drop: float, digests: str
) -> None:
    """The options ``--baseline``, ``--max_drop`` and ``--write_baseline``.

    Args:
        parser: of the command.
        earlier: what is compared with.
        max_drop: AP points of a new baseline.
        digests: of what, in a baseline.
    """
    group = parser.add_argument_group(f"comparison with {earlier}")
    group.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="exit with 3 where AP is lower than in this file of --write_baseline",
    )
    group.add_argument(
        "--max_drop",
        type=points,
        metavar="POINTS",
        help="AP points, hundredths, that AP may be lower (default: as the baseline says, and "
        f"{max_drop:g} in a new one)",
    )
    group.add_argument(
        "--write_baseline",
        type=Path,
        metavar="FILE",
        help=f"write the figures, --max_drop, and digests of {digests} to FILE",
    )


def warn_of_unused_max_drop(args: argparse.Namespace) -> None:
    """Warn of a ``--max_drop`` beside no baseline."""
    if args.max_drop is not None and not (args.baseline or args.write_baseline):
        logger.warning("--max_drop: no effect without --baseline or --write_baseline")


def write_baseline(path: Path, content: dict[str, Any]) -> None:
    """Write a baseline's content and the version that it is of.

    Raises:
        DataError: It cannot be written.
    """
    from bpnet.files import replacing

    with replacing(path) as temporary:
        text = json.dumps({"bpnet": __version__, **content}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_baseline(path: Path, parse: Callable[[Any], Parsed]) -> Parsed:
    """What ``parse`` makes of the content of a baseline.

    Raises:
        DataError: It is no baseline.
    """
    content = read_json(path)
    try:
        return parse(content)
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(
            f"{path} is no baseline: {error!r}; write one with --write_baseline"
        ) from error


def metrics_of(content: Any) -> dict[str, float]:
    """The figures under ``metrics``."""
    return {str(name): float(value) for name, value in content["metrics"].items()}


def max_drop_of(content: Any, compared: Iterable[float]) -> float:
    """AP points that AP may be lower than those ``compared``.

    Raises:
        ValueError: One of the numbers is none to compare with.
    """
    max_drop = float(content["max_drop"])
    if not all(map(math.isfinite, (max_drop, *compared))) or max_drop < 0:
        raise ValueError("AP or max_drop is not a number of at least 0")
    return max_drop


def check_baseline(
    found: Baseline, baseline: Baseline, *, path: Path, max_drop: float | None
) -> str | None:
    """The sentence that says that AP fell; None where it did not. Says in the log how they compare.

    Args:
        found: this evaluation.
        baseline: what it is compared with.
        path: of the baseline, for the sentences.
        max_drop: AP points, instead of the baseline's.

    Raises:
        DataError: The baseline is of other labels, so that the figures say nothing of each other.
    """
    if found.labels_sha256 != baseline.labels_sha256:
        raise DataError(
            f"{path} is of other labels ({baseline.images} images, here {found.images}), so it "
            "cannot be compared; evaluate the same dataset and --limit, or write it anew with "
            "--write_baseline"
        )
    if found.model.get("sha256") != baseline.model.get("sha256"):
        named = [one.model.get("file", "an unknown model") for one in (baseline, found)]
        logger.info("the baseline is of another model file: %s, this is %s", *named)
    allowed = baseline.max_drop if max_drop is None else max_drop
    return fall(found.metrics[AP], baseline.metrics[AP], allowed=allowed, path=path)


def fall(
    found: float, baseline: float, *, allowed: float, path: Path, named: str = "AP"
) -> str | None:
    """The sentence that says that AP fell; None, and a line in the log, where it did not.

    Args:
        found: AP, 0..1.
        baseline: AP, 0..1.
        allowed: AP points that it may be lower.
        path: of the baseline.
        named: whose AP it is.
    """
    ap, before = 100 * found, 100 * baseline
    if before - ap > allowed + 1e-9:
        return (
            f"{named} is {ap:.2f}, {before - ap:.2f} points below the baseline's {before:.2f} "
            f"({path}); {allowed:g} are allowed"
        )
    said = "%s is %.2f, the baseline's %.2f; a drop of %g is allowed"
    logger.info(said, named, ap, before, allowed)
    return None
