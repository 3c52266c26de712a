"""Paths as a container has them, such as TAO's, turned into those of this machine.

A mount says which folder here stands for a folder there: ``FROM:TO``. Specs, command lines and
lists of images may then keep the paths that they had in the container.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpnet.errors import SpecError

VARIABLE = "BPNET_MOUNTS"
SEPARATOR = ";"  # between the mounts in the variable
OPTION = "--mount"
KEY_OPTIONS = ("-k", "--key")  # what follows is no path, whatever it looks like
TAO_FILE = Path("~/.tao_mounts.json")  # where TAO's launcher keeps the same thing


@dataclass(frozen=True)
class Mount:
    """The folder ``there`` (absolute, as specs say it) is ``here`` on this machine."""

    there: str
    here: str

    def __call__(self, text: str) -> str | None:
        """``text`` as a path of this machine; None where it is not ``there`` or below it."""
        if text != self.there and not text.startswith(f"{self.there}/"):
            return None
        return self.here + text[len(self.there) :]


@dataclass(frozen=True)
class Mounts:
    """Every mount of a run; of several that fit a path the deepest one counts."""

    mounts: tuple[Mount, ...] = ()

    def __call__(self, text: str) -> str:
        """``text``, and where it is a path below a mount, that path on this machine."""
        for mount in sorted(self.mounts, key=lambda mount: -len(mount.there)):
            found = mount(text)
            if found is not None:
                return found
        return text


def read_mounts() -> Mounts:
    """The mounts of the environment's ``BPNET_MOUNTS``.

    Raises:
        SpecError: It says something else than mounts.
    """
    parts = [part.strip() for part in os.environ.get(VARIABLE, "").split(SEPARATOR)]
    return Mounts(tuple(mount for part in parts if part for mount in _parse(part)))


@contextlib.contextmanager
def mounted(arguments: Sequence[str]) -> Iterator[list[str]]:
    """A command line without ``--mount``, its paths those of this machine.

    Within the block the mounts are those of the environment too, so that specs, commands that run
    others, and their processes see them.

    Raises:
        SpecError: A mount is none.
    """
    rest, given = _split(arguments)
    before = os.environ.get(VARIABLE)
    if given:  # the first that fits counts, so the command line comes before the environment
        os.environ[VARIABLE] = SEPARATOR.join([*given, *([before] if before else [])])
    try:
        mounts = read_mounts()
        yield [
            argument if previous in KEY_OPTIONS else _map_argument(argument, mounts)
            for previous, argument in zip(["", *rest], rest, strict=False)
        ]
    finally:
        if given:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without ``--mount`` and its values, and those values."""
    rest, given = [], []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == OPTION:
            value = next(waiting, None)
            if value is None:
                raise SpecError(f"{OPTION}: expected FROM:TO behind it")
            given.append(value)
        elif argument.startswith(f"{OPTION}="):
            given.append(argument.removeprefix(f"{OPTION}="))
        else:
            rest.append(argument)
    return rest, given


def _map_argument(argument: str, mounts: Mounts) -> str:
    """A path, or the path after the last ``=`` of ``--option=`` or ``section.key=``."""
    name, equals, value = argument.rpartition("=")
    if equals and not argument.startswith("/") and name not in KEY_OPTIONS:
        return f"{name}={mounts(value)}"
    return mounts(argument)


def _parse(text: str) -> list[Mount]:
    """The mount ``FROM:TO``, or those in the file of TAO's launcher."""
    if text.endswith(".json") and ":" not in text:
        return _read_file(Path(text).expanduser())
    there, colon, here = text.partition(":")
    return [_mount(there, here if colon else "", f"the mount {text!r}")]


def _mount(there: str, here: str, where: str) -> Mount:
    there = there.rstrip("/")
    if not there.startswith("/") or not here:
        raise SpecError(
            f"{where}: expected FROM:TO, an absolute folder of the container and a folder of this "
            f"machine, such as /workspace/tao-experiments:{Path('~') / 'tao'}"
        )
    kept = os.path.expanduser(here)  # noqa: PTH111 (a Path would lose "./" and know no more)
    return Mount(there, kept.rstrip("/"))


def _read_file(path: Path) -> list[Mount]:
    """The mounts of ``~/.tao_mounts.json``: ``{"Mounts": [{"source": ..., "destination": ...}]}``.

    There ``source`` is the folder of this machine and ``destination`` that of the container.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"the mounts {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise SpecError(f"the mounts {path} are not JSON: {error}") from None
    entries = said.get("Mounts") if isinstance(said, dict) else None
    if not isinstance(entries, list):
        raise SpecError(f"{path} has no list `Mounts`; the file of TAO's launcher was expected")
    mounts = []
    for number, entry in enumerate(entries):
        where = f"{path}: Mounts[{number}]"
        known = entry if isinstance(entry, dict) else {}
        there, here = known.get("destination"), known.get("source")
        if not isinstance(there, str) or not isinstance(here, str):
            raise SpecError(f"{where}: expected `source` and `destination`, two paths")
        mounts.append(_mount(there, here, where))
    return mounts
