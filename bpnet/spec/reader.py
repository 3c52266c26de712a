"""Spec files as frozen dataclasses, or one report of everything that is wrong with them."""

import dataclasses
import difflib
import logging
import math
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from bpnet.errors import SpecError
from bpnet.spec.source import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    Node,
    SpecDumper,
    parse_override,
    parse_tree,
    read_text,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

TAG_KEY = "__class_name__"
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
FAULTY: Any = object()  # what a value with a fault reads as


def read_spec(path: Path, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """The spec file ``path`` as ``kind``: JSON where the name ends in .json, YAML otherwise.

    Args:
        path: The file.
        kind: A dataclass of ``bpnet.spec``.
        overrides: ``section.key=value``, as given to ``--set``; the value is read as YAML.

    Raises:
        SpecError: The file cannot be read, or says something impossible; every fault is in it.
    """
    return parse_spec(read_text(path), kind, source=str(path), overrides=overrides)


def parse_spec(text: str, kind: type[T], *, source: str, overrides: Sequence[str] = ()) -> T:
    """The text of a spec as ``kind``; ``source`` is the file's name, for the report.

    Raises:
        SpecError: The text says something impossible; every fault is in it.
    """
    reading = _Reading()
    is_json = source.lower().endswith(".json")
    root = parse_tree(text, source=source, is_json=is_json, faults=reading.faults)
    for override in overrides:
        parsed = parse_override(override, reading.faults)
        if parsed is not None:
            _override(root, *parsed, faults=reading.faults)
    spec = reading.read(root, kind, "")
    if reading.faults:
        raise SpecError(_report(reading.faults, source))
    for warning in reading.warnings:
        logger.warning("%s", warning)
    return typing.cast("T", spec)


def dump_spec(spec: Any) -> str:
    """A spec as YAML that reads back equal; keys that are secret are left out."""
    plain = _plain(spec, tagged=False)
    return yaml.dump(plain, Dumper=SpecDumper, sort_keys=False, allow_unicode=True, width=100)


class _Reading:
    """One pass over a file's tree: the values, and the faults and warnings met on the way."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def fault(self, node: Node, path: str, said: str) -> Any:
        """Note a fault at ``node``."""
        place = node.where if node.where == f"--set {path}" else f"{node.where}: {path}"
        self.faults.append(f"{place.removesuffix(': ')}: {said}")
        return FAULTY

    def read(self, node: Node, kind: Any, path: str) -> Any:
        """``node`` as a value of the type ``kind``, or FAULTY."""
        members = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        if types.NoneType in members:
            if node.value is None:
                return None
            members = tuple(member for member in members if member is not types.NoneType)
        if dataclasses.is_dataclass(members[0]):
            return self._section(node, members, path)
        (member,) = members
        origin = typing.get_origin(member)
        if origin is list:
            return self._list(node, typing.get_args(member)[0], path)
        if origin is dict:
            return self._mapping(node, typing.get_args(member)[1], path)
        return self._scalar(node, member, path)

    def _scalar(self, node: Node, kind: type, path: str) -> Any:
        value = node.value
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) <= sys.float_info.max:
                return float(value)
        elif type(value) is kind:
            return value
        hint = ""
        if kind is str and type(value) in (bool, int, float):
            hint = "; put it in quotes if it is text"
        elif isinstance(value, str) and _would_read_as(value, kind):
            hint = "; write it without quotes"
        return self.fault(node, path, f"expected {KINDS[kind]}, found {node}{hint}")

    def _list(self, node: Node, kind: Any, path: str) -> Any:
        if not isinstance(node.value, list):
            return self.fault(node, path, f"expected a list, found {node}")
        items = [self.read(item, kind, f"{path}[{i}]") for i, item in enumerate(node.value)]
        return FAULTY if FAULTY in items else items

    def _mapping(self, node: Node, kind: Any, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self.fault(node, path, f"expected a section of names and values, found {node}")
        values = {
            name: self.read(item, kind, f"{path}.{name}") for name, item in node.value.items()
        }
        return FAULTY if FAULTY in values.values() else values

    def _section(self, node: Node, kinds: tuple[type, ...], path: str) -> Any:
        if not isinstance(node.value, dict):
            return self.fault(node, path, f"expected a section of keys, found {node}")
        entries = dict(node.value)
        kind = self._tagged(entries.pop(TAG_KEY, None), kinds, path)
        if kind is FAULTY:
            return FAULTY
        faults_before = len(self.faults)
        fields = {item.name: item for item in dataclasses.fields(kind)}
        hints = typing.get_type_hints(kind)
        values: dict[str, Any] = {}
        for name, entry in entries.items():
            inner = f"{path}.{name}".lstrip(".")
            if name not in fields:
                guess = _did_you_mean(name, fields)
                self.fault(entry, inner, f"unknown key{guess or _allowed(fields)}")
            elif fields[name].metadata.get("no_effect"):
                self._unused(entry, fields[name], inner)
            else:
                values[name] = self._setting(entry, hints[name], fields[name], inner)
        for name, item in fields.items():
            if name not in entries and not _has_default(item):
                inner = f"{path}.{name}".lstrip(".")
                said = f"missing, and required: {item.metadata['doc'].rstrip('.')}"
                self.fault(node, inner, said + _renamed(name, entries, fields))
        return kind(**values) if len(self.faults) == faults_before else FAULTY

    def _tagged(self, tag: Node | None, kinds: tuple[type, ...], path: str) -> Any:
        """The class that ``__class_name__`` picks, TAO's dotted names included."""
        if tag is None:
            return kinds[0]
        names = {kind.__name__: kind for kind in kinds}
        if isinstance(tag.value, str) and tag.value.rpartition(".")[2] in names:
            return names[tag.value.rpartition(".")[2]]
        guess = _did_you_mean(str(tag.value), names)
        inner = f"{path}.{TAG_KEY}".lstrip(".")
        return self.fault(tag, inner, f"expected {' or '.join(names)}, found {tag}{guess}")

    def _unused(self, node: Node, item: Any, path: str) -> None:
        """A key without effect: whatever it says is taken, with one warning unless it is usual."""
        default = _default(item)
        usual = (None, default) if not isinstance(default, bool) else (None,)
        if node.value not in usual:
            self.warnings.append(
                f"{node.where}: {path} has no effect: {item.metadata['no_effect']}"
            )

    def _setting(self, node: Node, kind: Any, item: Any, path: str) -> Any:
        """One key's value, checked against the limits of its ``setting``."""
        value = self.read(node, kind, path)
        if value is FAULTY:
            return FAULTY
        limits = item.metadata
        choices = limits["choices"]
        if choices is not None and value not in choices:
            names = ["null" if choice is None else str(choice) for choice in choices]
            guess = _did_you_mean(value, names) if isinstance(value, str) else ""
            return self.fault(node, path, f"expected {' or '.join(names)}, found {node}{guess}")
        if isinstance(value, list) and limits["length"] not in (None, len(value)):
            said = f"expected {limits['length']} values, found {len(value)}"
            return self.fault(node, path, said)
        self._check_limits(node, value, limits, path)
        return value

    def _check_limits(self, node: Node, value: Any, limits: Any, path: str) -> None:
        if isinstance(value, list) and isinstance(node.value, list):
            for i, (item, number) in enumerate(zip(node.value, value, strict=True)):
                self._check_limits(item, number, limits, f"{path}[{i}]")
        elif isinstance(value, int | float):
            least, greatest = limits["minimum"], limits["maximum"]
            if least is not None and value < least:
                self.fault(node, path, f"expected at least {least}, found {node}")
            elif greatest is not None and value > greatest:
                self.fault(node, path, f"expected at most {greatest}, found {node}")


def _override(root: Node, path: list[str], value: Node, *, faults: list[str]) -> None:
    """Put ``value`` in the tree; sections on its way that are not there are made."""
    section = root
    for depth, name in enumerate(path[:-1]):
        if not isinstance(section.value, dict):
            faults.append(f"{value.where}: {'.'.join(path[:depth])} is {section}, not a section")
            return
        below = section.value.get(name)
        if below is None or below.value is None:
            below = Node({}, value.where)
        else:  # a copy: another key may share it through an alias
            shared = below.value
            below = Node(dict(shared) if isinstance(shared, dict) else shared, below.where)
        section.value[name] = below
        section = below
    if isinstance(section.value, dict):
        section.value[path[-1]] = value
    else:
        faults.append(f"{value.where}: {'.'.join(path[:-1])} is {section}, not a section")


def _report(faults: list[str], source: str) -> str:
    if len(faults) == 1:
        return faults[0]

    def line(fault: str) -> float:
        number = fault.removeprefix(f"{source}:").partition(":")[0]
        return int(number) if number.isdecimal() else math.inf  # what --set says comes last

    ordered = "\n".join(f"  {fault}" for fault in sorted(faults, key=line))
    return f"{len(faults)} faults in {source}:\n{ordered}"


def _would_read_as(text: str, kind: type) -> bool:
    """Whether the text, without its quotes, is a value of ``kind``."""
    if kind is bool:
        return BOOLEAN.fullmatch(text) is not None
    return (INTEGER if kind is int else FLOAT).fullmatch(text) is not None


def _did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _allowed(fields: typing.Collection[str]) -> str:
    return f"; known here: {', '.join(fields)}" if len(fields) <= 10 else ""


def _renamed(name: str, entries: dict[str, Node], fields: typing.Iterable[str]) -> str:
    """Where a required key was probably misspelt."""
    strangers = [entry for entry in entries if entry not in fields]
    close = difflib.get_close_matches(name, strangers, n=1)
    return f"; {close[0]} may be it, misspelt" if close else ""


def _has_default(item: Any) -> bool:
    return (
        item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
    )


def _default(item: Any) -> Any:
    return item.default_factory() if item.default is dataclasses.MISSING else item.default


def _plain(value: Any, *, tagged: bool) -> Any:
    """A spec as dictionaries, lists and scalars; members of a union carry their class name."""
    if isinstance(value, list | tuple):
        return [_plain(item, tagged=False) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item, tagged=False) for name, item in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    hints = typing.get_type_hints(type(value))
    plain = {TAG_KEY: type(value).__name__} if tagged else {}
    for item in dataclasses.fields(value):
        if not item.metadata.get("secret"):
            union = sum(map(dataclasses.is_dataclass, typing.get_args(hints[item.name]))) > 1
            plain[item.name] = _plain(getattr(value, item.name), tagged=union)
    return plain
