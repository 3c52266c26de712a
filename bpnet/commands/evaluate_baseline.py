"""A baseline: the figures of an evaluation in a file, and whether another has fallen below them."""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

from bpnet import __version__
from bpnet.commands.evaluate_files import read_json
from bpnet.errors import DataError

logger = logging.getLogger(__name__)

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
        from bpnet.files import replacing

        content = {
            "bpnet": __version__,
            "metrics": self.metrics,
            "max_drop": self.max_drop,
            "images": self.images,
            "labels_sha256": self.labels_sha256,
            "model": self.model,
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """The baseline of a file.

        Raises:
            DataError: It is no baseline.
        """
        content = read_json(path)
        try:
            metrics = {str(name): float(value) for name, value in content["metrics"].items()}
            baseline = cls(
                metrics=metrics,
                max_drop=float(content["max_drop"]),
                images=int(content["images"]),
                labels_sha256=str(content["labels_sha256"]),
                model={str(key): str(value) for key, value in content["model"].items()},
            )
            numbers = (metrics[AP], baseline.max_drop)
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DataError(
                f"{path} is no baseline: {error!r}; write one with --write_baseline"
            ) from error
        if not all(math.isfinite(number) for number in numbers) or baseline.max_drop < 0:
            raise DataError(f"{path} is no baseline: AP or max_drop is not a number of at least 0")
        return baseline


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
    ap, before = 100 * found.metrics[AP], 100 * baseline.metrics[AP]
    if before - ap > allowed + 1e-9:
        return (
            f"AP is {ap:.2f}, {before - ap:.2f} points below the baseline's {before:.2f} ({path}); "
            f"{allowed:g} are allowed"
        )
    logger.info("AP is %.2f, the baseline's %.2f; a drop of %g is allowed", ap, before, allowed)
    return None
