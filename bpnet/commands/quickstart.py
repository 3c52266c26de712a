"""``bpnet quickstart``: every command, one after the other, on drawn people."""

import argparse
import importlib
import json
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bpnet.commands.evaluate_baseline import add_baseline_options
from bpnet.commands.options import add_log_level, at_least
from bpnet.commands.quickstart_baseline import MAX_DROP, Comparison
from bpnet.errors import DataError, ExitCode

EPILOG = """examples:
  bpnet quickstart -r quickstart
  bpnet quickstart -r quickstart --minutes 30
  bpnet quickstart -r quickstart --steps 600 --images 1000 --write_baseline baseline.json
  bpnet quickstart -r again --steps 600 --images 1000 --baseline baseline.json

draws a dataset, writes the spec files, then runs bpnet dataset_convert, train, evaluate, prune,
train (again), export and inference, each printed as a command line that also works alone. It ends
with one table, report.html and results.json in the folder of -r. Training takes --minutes in all,
the rest about two minutes on two cores. The exit code is 3 where the AP of one of the table's rows
fell below the baseline."""

MINUTES = 11.2
RETRAIN_SHARE = 0.34  # of the training time
TARGET_OPERATIONS = 0.5  # part of the GFLOPs that pruning leaves at most
GRANULARITY = 16  # filters; ONNX Runtime computes as many at once on AVX-512
TRAIN_IMAGES = 3000
TEST_IMAGES, CALIBRATION_IMAGES = 160, 100  # at most; no more than are drawn to train on
LIBRARIES = ("tensorflow", "onnx")  # of the extras that the commands need
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        variant: trained, pruned, retrained, onnx_trained or onnx_<precision>.
        parameters: of the network.
        gflops: of the network, an image.
        bytes: of the model file.
        ap: COCO AP on the drawn people that were not trained on.
        ap50: at OKS 0.5.
        ms_per_image: network and decoder on one core, all variants in turns.
        generator: version of the drawn people; figures compare within one.
    """

    variant: str
    parameters: int
    gflops: float
    bytes: int
    ap: float
    ap50: float
    ms_per_image: float
    generator: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-r",
        "--results_dir",
        type=Path,
        default=Path("quickstart"),
        metavar="DIR",
        help="folder of everything that the command writes (default: %(default)s)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=_minutes,
        default=MINUTES,
        metavar="M",
        help="training time, retraining included (default: %(default)s)",
    )
    length.add_argument(
        "--steps",
        type=at_least(2),
        metavar="N",
        help="train N steps, retraining included, in place of minutes: the same seed then gives "
        "the same figures on one machine",
    )
    parser.add_argument(
        "--images",
        type=at_least(1),
        default=TRAIN_IMAGES,
        metavar="N",
        help="pictures drawn to train on (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--dry_run", action="store_true", help="print the command lines, run nothing"
    )
    add_baseline_options(
        parser,
        earlier="an earlier quickstart",
        max_drop=MAX_DROP,
        digests="the labels and the untrained network",
    )
    add_log_level(parser)


def run(args: argparse.Namespace) -> int:
    """Run the flow; the first command that fails ends it, with its exit code.

    3 if the AP of a variant fell below the baseline.
    """
    root = args.results_dir
    comparison = Comparison.of(args)
    commands = _command_lines(root, _lengths(args), args.images)
    if args.dry_run:
        print("\n".join(shlex.join(["bpnet", *command]) for command in commands))
        return ExitCode.DONE
    started = time.monotonic()
    for library in LIBRARIES:  # what is missing is said now, not after minutes of drawing
        importlib.import_module(library)
    _start_afresh(root)
    _draw(root, args.images, args.seed, deterministic=args.steps is not None)
    comparison.see_what_is_drawn(root)
    code = _run_all(commands)
    if code != ExitCode.DONE:
        return code
    variants = _collect(root)
    _finish(root, variants, minutes=(time.monotonic() - started) / 60)
    return ExitCode.DONE if comparison.holds(variants) else ExitCode.BELOW_BASELINE


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"expected minutes above 0, found {text}")
    return minutes


def _lengths(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The options that say how long the training and the retraining are."""
    if args.steps is None:
        shares = (1 - RETRAIN_SHARE, RETRAIN_SHARE)
        trained, retrained = (["--max_minutes", f"{args.minutes * x:.2f}"] for x in shares)
        return trained, retrained
    again = max(1, round(args.steps * RETRAIN_SHARE))
    return ["--steps", str(args.steps - again)], ["--steps", str(again)]


def _command_lines(
    root: Path, lengths: tuple[list[str], list[str]], images: int
) -> list[list[str]]:
    """Every command of the flow, as typed after ``bpnet``."""
    specs, models = root / "specs", root / "models"
    dataset, inference = str(specs / "dataset.json"), str(specs / "inference.yaml")
    trained = root / "train" / "bpnet_model.keras"
    pruned = root / "pruned" / "bpnet_model.keras"
    retrained = root / "retrain" / "bpnet_model.keras"
    photos, enough = str(root / "data" / "train"), str(min(CALIBRATION_IMAGES, images))
    unseen = str(root / "data" / "val")

    def train(name: str, length: list[str]) -> list[str]:
        spec, results = str(specs / f"{name}.yaml"), str(root / name)
        return ["train", "-e", spec, "-r", results, *length, "--use_amp"]

    def evaluate(name: str, model: Path) -> list[str]:
        results = str(root / "evaluate" / name)
        return [
            "evaluate", "-i", inference, "-m", str(model), "-d", dataset, "-r", results,
        ]  # fmt: skip

    def export(model: Path, name: str, precision: str) -> list[str]:
        command = [
            "export", "-m", str(model), "-o", str(models / f"{name}.onnx"),
            "-d", "192,256,3", "--data_type", precision, "--verify_image_dir", photos,
        ]  # fmt: skip
        if precision == "int8":
            command += ["--cal_image_dir", photos, "--batches", enough]
        return command

    convert = ["dataset_convert", "-d", dataset, "--generate_masks"]
    return [
        [*convert, "-m", "train", "-o", str(root / "records" / "train")],
        [*convert, "-m", "test", "-o", str(root / "records" / "test")],
        train("train", lengths[0]),
        evaluate("trained", trained),
        [
            "prune", "-m", str(trained), "-o", str(pruned),
            "--target_flops", str(TARGET_OPERATIONS), "-pg", str(GRANULARITY),
            "--criterion", "contribution", "--normalizer", "energy", "--compensate",
            "--cal_image_dir", photos, "--cal_images", enough,
        ],
        evaluate("pruned", pruned),
        train("retrain", lengths[1]),
        evaluate("retrained", retrained),
        export(trained, "trained", "fp32"),
        *[export(retrained, precision, precision) for precision in PRECISIONS],
        *[evaluate(f"onnx_{name}", models / f"{name}.onnx") for name in ("trained", *PRECISIONS)],
        [
            "benchmark", "-m", *map(str, _model_files(root).values()),
            "--threads", "1", "--input", unseen, "--json", str(root / "speed.json"),
        ],
        [
            "inference", "-i", inference, "-m", str(models / "int8.onnx"),
            "--input_type", "dir", "--input", unseen,
            "--results_dir", str(root / "inference"), "--dump_visualizations",
        ],
    ]  # fmt: skip


def _start_afresh(root: Path) -> None:
    """Make the folder. One that a quickstart left is refused: training would resume, not start.

    Raises:
        DataError: It cannot be written, or holds an earlier quickstart.
    """
    from bpnet.files import make_folder

    make_folder(root)
    if (root / "train").exists():
        raise DataError(
            f"{root} holds an earlier quickstart: delete it, or choose another folder with -r"
        )


def _draw(root: Path, images: int, seed: int, *, deterministic: bool) -> None:
    """Draw the people and write the specs."""
    from tqdm import tqdm

    from bpnet.commands.quickstart_specs import write_specs
    from bpnet.data.rendered import render_dataset

    for split, count in (("train", images), ("val", min(TEST_IMAGES, images))):
        drawing = render_dataset(root / "data", split=split, images=count, seed=seed)
        for _ in tqdm(drawing, total=count, desc=f"drawing {split}", unit="image", file=sys.stderr):
            pass
    write_specs(root, seed=seed, deterministic=deterministic)


def _run_all(commands: list[list[str]]) -> int:
    from bpnet.cli import main

    for number, command in enumerate(commands, start=1):
        print(f"\n[{number}/{len(commands)}] {shlex.join(['bpnet', *command])}", flush=True)
        code = main(command)
        if code != ExitCode.DONE:
            print(f"bpnet quickstart: that command failed with exit code {code}", file=sys.stderr)
            return code
    return ExitCode.DONE


def _model_files(root: Path) -> dict[str, Path]:
    """The file of each variant."""
    return {
        "trained": root / "train" / "bpnet_model.keras",
        "pruned": root / "pruned" / "bpnet_model.keras",
        "retrained": root / "retrain" / "bpnet_model.keras",
        **{f"onnx_{name}": root / "models" / f"{name}.onnx" for name in ("trained", *PRECISIONS)},
    }


def _collect(root: Path) -> list[Variant]:
    """The table's rows, from the files that the commands wrote."""
    from bpnet.commands.quickstart_specs import INPUT
    from bpnet.data.rendered import GENERATOR_VERSION
    from bpnet.model.description import NetworkDescription, describe_network
    from bpnet.model.files import load_model

    files = _model_files(root)
    speeds = json.loads((root / "speed.json").read_text())["results"]
    networks: dict[str, NetworkDescription] = {}
    rows = []
    for (name, path), speed in zip(files.items(), speeds, strict=True):
        if path.suffix == ".keras":
            networks[name] = describe_network(load_model(path)[0], *INPUT)
        network = networks.get(name.removeprefix("onnx_"), networks.get("retrained"))
        assert network is not None  # the networks come first
        figures = _figures(root / "evaluate" / name / "status.json")
        rows.append(
            Variant(
                variant=name,
                parameters=network.parameters,
                gflops=network.gflops,
                bytes=path.stat().st_size,
                ap=figures["AP_0.50:0.95_all"],
                ap50=figures["AP_0.5"],
                ms_per_image=sum(speed["ms"][stage]["median"] for stage in ("network", "decode")),
                generator=GENERATOR_VERSION,
            )
        )
    return rows


def _figures(status_file: Path) -> dict[str, float]:
    """The figures of merit in an evaluation's ``status.json``."""
    lines = [json.loads(line) for line in status_file.read_text().splitlines()]
    kpi: dict[str, float] = [line["kpi"] for line in lines if "kpi" in line][-1]
    return kpi


def _finish(root: Path, variants: list[Variant], *, minutes: float) -> None:
    """Print the table and write ``results.json`` and ``report.html``."""
    from bpnet.commands.quickstart_report import HEADER, rows_of, write_report
    from bpnet.files import replacing

    with replacing(root / "results.json") as temporary:
        temporary.write_text(json.dumps([asdict(variant) for variant in variants], indent=2) + "\n")
    write_report(root, variants)
    rows = rows_of(variants)
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    print()
    for row in (HEADER, *rows):
        first, *numbers = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *numbers]))
    print(f"\n{minutes:.1f} minutes. Open {root / 'report.html'}; figures: {root / 'results.json'}")
