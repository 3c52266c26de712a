"""Execute notebooks from beginning to end, small or in full; their files stay as they are.

    python notebooks/run.py                          # all of them, small: minutes
    python notebooks/run.py 1_quickstart --full      # as they are written: the hours they name
    python notebooks/run.py --set MINUTES=2          # small, but for this variable

The executed notebooks, with outputs and pictures, go to --results as NAME.ipynb to look at. The
first cell that fails ends the run, with the exit code 1. Needs pip install ".[train,notebooks]".
"""

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

FOLDER = Path(__file__).resolve().parent
SMALL = {  # what the notebooks read from the environment, each with its own default
    "IMAGES": "12",
    "MINUTES": "0.1",
    "RETRAIN_MINUTES": "0.1",
    "PHOTOS": "4",
    "EVALUATED": "4",
    "FRAMES": "12",
    "REPEATS": "2",
    "DRAWN": "12",
    "WIDTH": "0.25",
    "BATCH": "2",
}
CELL_SECONDS = 3600  # of a cell of a small run; those of a full one take what they take


def main(argv: list[str] | None = None) -> int:
    """Execute the notebooks named, in order, and say how long each took."""
    args = _parser().parse_args(argv)
    results = args.results or Path(mkdtemp(prefix="notebooks-"))
    results = results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    os.environ.update(_variables(args, results))
    for path in args.notebooks or sorted(FOLDER.glob("*.ipynb")):
        started = time.monotonic()
        try:
            execute(path, results / path.name, seconds=None if args.full else CELL_SECONDS)
        except (CellExecutionError, CellTimeoutError) as error:
            print(f"{str(error)[-3000:]}", file=sys.stderr)
            print(f"{path.name}: failed; all of it: {results / path.name}", file=sys.stderr)
            return 1
        print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"executed notebooks: {results}")
    return 0


def execute(path: Path, output: Path, *, seconds: int | None) -> None:
    """Run every cell of a notebook, in the folder of notebooks, and write what came of it.

    Args:
        path: The notebook; read only.
        output: The same with outputs, those up to a failure too.
        seconds: That a cell may take; None: any time.

    Raises:
        CellExecutionError: A cell failed; its message holds the cell and the error.
        CellTimeoutError: A cell took too long.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        coalesce_streams=True,
        resources=resources,
    )
    try:
        client.execute()
    finally:
        nbformat.write(notebook, output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "notebooks",
        nargs="*",
        type=_notebook,
        metavar="NAME",
        help="names of notebooks (default: all; the last two use what the first wrote)",
    )
    parser.add_argument("--full", action="store_true", help="as they are written, not small")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="what is written (default: a temporary folder)"
    )
    parser.add_argument(
        "--set",
        dest="variables",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help=f"of {', '.join(SMALL)} or another variable of a notebook; may be repeated",
    )
    return parser


def _notebook(name: str) -> Path:
    path = FOLDER / f"{Path(name).stem}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in FOLDER.glob("*.ipynb")))
        raise argparse.ArgumentTypeError(f"there is no notebook {name}; choose from {known}")
    return path


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value


def _variables(args: argparse.Namespace, results: Path) -> dict[str, str]:
    """The environment of the notebooks: a small run takes nothing from the outer one."""
    chosen = {} if args.full else {**SMALL, **_folders(results)}
    return {**chosen, **dict(args.variables)}


def _folders(results: Path) -> dict[str, str]:
    return {
        "RESULTS": str(results / "quickstart"),
        "COCO_RESULTS": str(results / "coco"),
        "HAND_RESULTS": str(results / "hand"),
        "EXPORT_RESULTS": str(results / "export"),
        "VIDEO_RESULTS": str(results / "video"),
        "COCO": str(results / "drawn_coco"),
    }


if __name__ == "__main__":
    sys.exit(main())
