"""The ``bpnet`` command: a table of subcommands, of which only the one that runs is imported."""

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from bpnet import __version__
from bpnet.errors import BpnetError, ExitCode, MissingLibraryError

if TYPE_CHECKING:
    import logging

COMMANDS = {  # name: what it does; its module is bpnet.commands.<name>
    "dataset_convert": "turn COCO annotations into records and masks",
    "train": "train a network, or retrain a pruned one",
    "evaluate": "measure a model's COCO keypoint AP",
    "inference": "find the people in images",
    "prune": "remove a network's weakest filters",
    "export": "write a model as ONNX: FP32, FP16 or INT8",
    "sample_calibration_images": "choose images to calibrate INT8 with",
    "show": "draw what the network will see of a dataset",
    "benchmark": "measure how fast models run",
    "quickstart": "run every command on a drawn dataset, in minutes",
    "skeleton": "make, check or draw a skeleton file",
    "card": "write the model card of a model, from its metadata and results",
    "doctor": "say what works on this machine, and how to get the rest",
    "completion": "print the completion script for bash, zsh or fish",
}

ELSEWHERE = {  # commands that TAO has and we have not: what to use
    "export_keras": "bpnet export writes ONNX of a Keras file, with --sdk_compatible_model too",
}
LAUNCHER = ("tao", "model", "bpnet")  # what TAO's command lines begin with

LIBRARIES = {  # importable name: its own name, the extra that brings it
    "tensorflow": ("TensorFlow", "train"),
    "keras": ("Keras", "train"),
    "onnx": ("onnx", "export"),
    "matplotlib": ("matplotlib", "train"),
    "tensorrt": ("TensorRT", "tensorrt"),
    "cuda": ("cuda-python", "tensorrt"),
}

ENVIRONMENT = {  # of TensorFlow, where the user says nothing else
    # It calls it an error that a machine has no GPU; what fails is raised in Python too.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # A step's memory serves the next: the system would clear it page by page, each time.
    "TF_CPU_ALLOCATOR_USE_BFC": "true",
}

MESSAGES = "bpnet messages"  # name of the log handler that writes to stderr


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            code = _run(arguments)
        except SystemExit as stop:  # argparse, or SIGTERM
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone: nobody is left to tell
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    return code


def _run(arguments: list[str]) -> int:
    arguments = _without_launcher(arguments)
    name = arguments[0] if arguments else "--help"
    if name.startswith("-"):
        _top_parser().parse_args([name, *arguments[1:]])
        return ExitCode.USAGE
    if name not in COMMANDS:
        return _unknown(name)
    with _terminable():
        try:
            return _run_command(name, arguments[1:])
        except BpnetError as error:
            print(f"bpnet {name}: error: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print(f"bpnet {name}: interrupted", file=sys.stderr)
            return ExitCode.INTERRUPTED


def _without_launcher(arguments: list[str]) -> list[str]:
    """``train -e ...`` of ``tao model bpnet train -e ...``, pasted as it is."""
    start = 0
    for word in LAUNCHER:
        start += arguments[start : start + 1] == [word]
    return arguments[start:]


def set_environment() -> None:
    """Set what TensorFlow reads from the environment, before its first operation."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command, which is all that its help, completion and documentation know."""
    module = importlib.import_module(f"bpnet.commands.{name}")
    described = (module.__doc__ or "").replace("``", "")
    parser = argparse.ArgumentParser(prog=f"bpnet {name}", description=described)
    module.add_arguments(parser)
    return parser


def _run_command(name: str, arguments: list[str]) -> int:
    set_environment()
    try:
        from bpnet.spec.mounts import mounted

        parser = command_parser(name)
        with mounted(arguments) as here:
            args = parser.parse_args(here)
            if getattr(args, "mount", None):
                parser.error("write --mount in full")
            with _logging(args):
                from bpnet.commands.options import warn_of_unused_options

                warn_of_unused_options(args)
                return int(importlib.import_module(f"bpnet.commands.{name}").run(args))
    except ModuleNotFoundError as error:
        library = LIBRARIES.get((error.name or "").partition(".")[0])
        if library is None:
            raise
        said = f"bpnet {name} needs {library[0]}: pip install 'bpnet[{library[1]}]'"
        if library[1] == "train" and sys.version_info < (3, 11):
            said += " on Python 3.11 or newer"
        raise MissingLibraryError(said) from error


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:{width}}  {does}" for name, does in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="bpnet",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="Train, prune, quantise and deploy multi-person 2D pose networks.",
        epilog=f"commands:\n{table}\n\nbpnet COMMAND --help tells a command's options.\n"
        "Lines of TAO's launcher run as they are: bpnet tao model bpnet train ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _unknown(name: str) -> int:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, n=1)
    if name in ELSEWHERE:
        guess = f"; {ELSEWHERE[name]}"
    elif close:
        guess = f"; did you mean {close[0]}?"
    else:
        guess = f" (choose from {', '.join(COMMANDS)})"
    print("usage: bpnet COMMAND ...", file=sys.stderr)
    print(f"bpnet: error: there is no command {name!r}{guess}", file=sys.stderr)
    return ExitCode.USAGE


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the command as an exception, so that files are closed and status is written."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(int(ExitCode.TERMINATED))

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: whoever started it listens to signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _logging(args: argparse.Namespace) -> Iterator[None]:
    """Messages to stderr, and to --log_file, while the command runs."""
    import logging

    from bpnet.errors import DataError

    root, ours = logging.getLogger(), logging.getLogger("bpnet")
    handlers: list[logging.Handler] = []
    if MESSAGES not in [handler.name for handler in root.handlers]:  # else: a command ran another
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[0].name = MESSAGES
    log_file = getattr(args, "log_file", None)
    if log_file is not None:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(log_file, mode="a", encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{log_file} cannot be written: {error.strerror or error}") from error
    before = ours.level
    ours.setLevel(getattr(args, "log_level", "INFO"))
    for handler in handlers:
        handler.setFormatter(_formatter())
        root.addHandler(handler)
    try:
        yield
    finally:
        ours.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _formatter() -> "logging.Formatter":
    import logging

    return logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
