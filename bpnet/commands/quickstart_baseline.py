"""A quickstart's baseline: what it began with, which no machine changes, and the AP it reached.

What it began with is hashed: the labels drawn, and the network before training, without weights.
Trained weights are in no digest. Processors add up in another order, some of them in bfloat16, so
the last bits differ from one to the next, and a training makes them AP points: ``max_drop`` is
wide enough for these. How many filters pruning takes hangs on them too, so parameters and GFLOPs
are there to be read, and AP alone is compared.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpnet.commands.evaluate_baseline import (
    AP,
    fall,
    max_drop_of,
    metrics_of,
    read_baseline,
    warn_of_unused_max_drop,
    write_baseline,
)
from bpnet.errors import DataError, SpecError

if TYPE_CHECKING:
    from bpnet.commands.quickstart import Variant

MAX_DROP = 5.0  # AP points, where nobody says another


@dataclass(frozen=True)
class Beginning:
    """What a quickstart begins with, alike on every machine.

    Attributes:
        seed: Of data, weights and order.
        steps: Of training and retraining.
        images: Drawn to train on.
        generator: Version of the drawn people.
        labels_sha256: Of both annotation files.
        network_sha256: Of the network's layers before training.
    """

    seed: int
    steps: int
    images: int
    generator: str
    labels_sha256: str = ""
    network_sha256: str = ""

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Beginning":
        """What the command line says; nothing is drawn yet.

        Raises:
            SpecError: It says no steps.
        """
        from bpnet.data.rendered import GENERATOR_VERSION

        if args.steps is None:
            raise SpecError(
                "--baseline and --write_baseline need --steps: what a training of so many minutes "
                "reaches depends on the machine"
            )
        return cls(args.seed, args.steps, args.images, GENERATOR_VERSION)

    def drawn(self, root: Path) -> "Beginning":
        """The same with the digests of what was drawn and written below ``root``."""
        import hashlib

        from bpnet.files import digest
        from bpnet.model.description import structure_digest
        from bpnet.model.network import build_network
        from bpnet.spec.reader import read_spec
        from bpnet.spec.train import BpNetTrainer

        files = sorted((root / "data" / "annotations").glob("*.json"))
        labels = hashlib.sha256("".join(digest(path) for path in files).encode()).hexdigest()
        spec = read_spec(root / "specs" / "train.yaml", BpNetTrainer)
        network = structure_digest(build_network(spec.model, seed=spec.random_seed))
        said = (self.seed, self.steps, self.images, self.generator)
        return Beginning(*said, labels_sha256=labels, network_sha256=network)


@dataclass(frozen=True)
class QuickstartBaseline:
    """The figures of a quickstart, to compare others with.

    Attributes:
        path: Its file.
        beginning: What it began with.
        max_drop: AP points (hundredths) that a variant's AP may be lower.
        ap: Of each variant, 0..1.
    """

    path: Path
    beginning: Beginning
    max_drop: float
    ap: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> "QuickstartBaseline":
        """The baseline of a file.

        Raises:
            DataError: It is no baseline of a quickstart.
        """

        def parse(content: Any) -> QuickstartBaseline:
            variants = content["variants"].items()
            ap = {str(name): metrics_of(variant)[AP] for name, variant in variants}
            said = content["beginning"]
            return cls(
                path=path,
                beginning=Beginning(**{each.name: said[each.name] for each in fields(Beginning)}),
                max_drop=max_drop_of(content, ap.values()),
                ap=ap,
            )

        return read_baseline(path, parse)

    def check(self, found: Beginning) -> None:
        """See that both quickstarts begin alike, in all that is known yet of this one.

        Raises:
            DataError: They do not, so that their figures say nothing of each other.
        """
        before, now = asdict(self.beginning), asdict(found)
        other = [name for name, value in now.items() if value != "" and value != before[name]]
        if not other:
            return
        said = [f"{name} {_short(before[name])} (here {_short(now[name])})" for name in other]
        raise DataError(
            f"{self.path} is of {', '.join(said)}, so it cannot be compared; give the same "
            "settings, or write it anew with --write_baseline"
        )

    def falls(self, variants: "Sequence[Variant]", *, max_drop: float | None) -> list[str]:
        """The sentence of each variant whose AP fell by more than ``max_drop``, or the baseline's.

        Raises:
            DataError: The baseline is of other variants.
        """
        found = {variant.variant: variant.ap for variant in variants}
        if found.keys() != self.ap.keys():
            named = [", ".join(sorted(each)) for each in (self.ap, found)]
            raise DataError(f"{self.path} is of the variants {named[0]}; here are {named[1]}")
        allowed = self.max_drop if max_drop is None else max_drop
        sentences = (
            fall(found[name], ap, allowed=allowed, path=self.path, named=f"AP of {name}")
            for name, ap in self.ap.items()
        )
        return [sentence for sentence in sentences if sentence is not None]


@dataclass
class Comparison:
    """What ``--baseline`` and ``--write_baseline`` ask of a quickstart.

    Attributes:
        args: The command line.
        beginning: What is known of this quickstart's; None where nothing is compared or written.
        baseline: What it is compared with.
    """

    args: argparse.Namespace
    beginning: Beginning | None
    baseline: QuickstartBaseline | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Comparison":
        """What can be said before anything is drawn.

        Raises:
            BpnetError: The baseline is none, or of other settings.
        """
        warn_of_unused_max_drop(args)
        begins = Beginning.of(args) if args.baseline or args.write_baseline else None
        baseline = QuickstartBaseline.read(args.baseline) if args.baseline else None
        if begins and baseline:
            baseline.check(begins)
        return cls(args, begins, baseline)

    def see_what_is_drawn(self, root: Path) -> None:
        """Take the digests of what was drawn and written below ``root``.

        Raises:
            DataError: The baseline's are others.
        """
        if self.beginning is None:
            return
        self.beginning = self.beginning.drawn(root)
        if self.baseline:
            self.baseline.check(self.beginning)

    def holds(self, variants: "Sequence[Variant]") -> bool:
        """Whether no AP fell, saying which did; the figures are written where asked.

        Raises:
            DataError: They cannot be written.
        """
        falls = self.baseline.falls(variants, max_drop=self.args.max_drop) if self.baseline else []
        for sentence in falls:
            print(f"bpnet quickstart: {sentence}", file=sys.stderr)
        if self.beginning and self.args.write_baseline:
            max_drop = MAX_DROP if self.args.max_drop is None else self.args.max_drop
            content = _content(self.beginning, variants, max_drop=max_drop)
            write_baseline(self.args.write_baseline, content)
        return not falls


def _content(
    beginning: Beginning, variants: "Sequence[Variant]", *, max_drop: float
) -> dict[str, Any]:
    """What the baseline's file holds."""
    figures = {
        each.variant: {
            "metrics": {AP: each.ap, "AP_0.5": each.ap50},
            "parameters": each.parameters,
            "gflops": each.gflops,
        }
        for each in variants
    }
    return {"max_drop": max_drop, "beginning": asdict(beginning), "variants": figures}


def _short(value: object) -> str:
    """A digest's first letters; other values whole."""
    text = str(value)
    return text[:12] if len(text) == 64 else text
