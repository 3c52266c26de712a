"""The text of a YAML or JSON file, as a tree that remembers where each value stands.

PyYAML alone reads ``1e-4`` as text, keeps the last of two equal keys without a word and forgets the
lines; this module composes its nodes into ``Node`` and notes every fault of form on the way.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bpnet.errors import SpecError
from bpnet.spec.mounts import read_mounts

Scalar = None | bool | int | float | str

FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
BOOLEAN = re.compile(r"(?i:true|false|yes|no|on|off)")
TAG = "tag:yaml.org,2002:"


@dataclass
class Node:
    """One value of a file.

    Attributes:
        value: A scalar, or the nodes of a list or of a section.
        where: ``file:line`` of its key, or the ``--set`` option that gave it.
    """

    value: Scalar | list["Node"] | dict[str, "Node"]
    where: str

    def __str__(self) -> str:
        if isinstance(self.value, dict):
            return "a section"
        if isinstance(self.value, list):
            return "a list"
        if isinstance(self.value, str):
            return f"the text {self.value[:60]!r}"
        if isinstance(self.value, bool) or self.value is None:
            return {True: "true", False: "false", None: "null"}[self.value]
        return str(self.value)


def read_text(path: Path) -> str:
    """The text of a spec file.

    Raises:
        SpecError: It is not there, not a file, not readable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist; check the path and the working folder") from None
    except IsADirectoryError:
        raise SpecError(f"{path} is a folder; a YAML or JSON file was expected") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}") from None


def parse_tree(text: str, *, source: str, is_json: bool, faults: list[str]) -> Node:
    """The tree of a file's text. Faults of form that leave a tree are added to ``faults``.

    Raises:
        SpecError: The text is no YAML or JSON at all.
    """
    if is_json:
        text = _checked_json(text, source)
    try:
        composed = yaml.compose(text, Loader=_SpecLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SpecError(f"{source}:{line}: broken YAML: {_said(error)}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: broken YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise SpecError(f"{source}: nested too deeply to be a spec") from None
    if composed is None:
        raise SpecError(f"{source} is empty; a section of keys was expected")
    return _TreeBuilder(source, faults).build(composed, f"{source}:{composed.start_mark.line + 1}")


def parse_override(override: str, faults: list[str]) -> tuple[list[str], Node] | None:
    """``section.key=value`` as the path of the key and its value, read as YAML."""
    name, equals, text = override.partition("=")
    path = name.strip().split(".")
    if not equals or not all(path):
        faults.append(f"--set {override}: expected section.key=value")
        return None
    where = f"--set {name.strip()}"
    try:
        composed = yaml.compose(text, Loader=_SpecLoader)
    except yaml.YAMLError:
        composed = None if not text.strip() else yaml.ScalarNode(f"{TAG}str", text.strip())
    if composed is None:
        return path, Node(None, where)
    builder = _TreeBuilder(where, faults, lines=False)
    return path, builder.build(composed, where)


class _SpecLoader(yaml.SafeLoader):
    """SafeLoader whose plain scalars are null, true/false, numbers (``1e-4`` too) or text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (PyYAML's own interface)


def _full(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:{pattern})$")


for _tag, _pattern, _first in (
    ("null", _full("~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", _full(BOOLEAN.pattern), list("tTfFyYnNoO")),
    ("int", _full(INTEGER.pattern), list("-+0123456789")),
    ("float", _full(FLOAT.pattern), list("-+0123456789.")),
    ("merge", _full("<<"), ["<"]),
):
    _SpecLoader.add_implicit_resolver(f"{TAG}{_tag}", _pattern, _first)


class SpecDumper(yaml.SafeDumper):
    """SafeDumper that quotes text which ``_SpecLoader`` would read as a number.

    Lists of scalars stand on one line.
    """

    def ignore_aliases(self, data: object) -> bool:
        """Every value is written out in full."""
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        """A list; on one line where it holds no section and no list."""
        flow = not any(isinstance(item, list | dict) for item in data)
        return self.represent_sequence(f"{TAG}seq", data, flow_style=flow)


SpecDumper.add_representer(list, SpecDumper.represent_list)

SpecDumper.add_implicit_resolver(f"{TAG}float", _full(FLOAT.pattern), list("-+0123456789."))


class _TreeBuilder:
    """PyYAML's nodes as ours."""

    def __init__(self, source: str, faults: list[str], *, lines: bool = True) -> None:
        self.source = source
        self.faults = faults
        self.lines = lines
        self.built: dict[int, Node | None] = {}  # by id; None while being built
        self.mounts = read_mounts()

    def build(self, node: yaml.Node, where: str) -> Node:
        """The tree below ``node``."""
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node, where), where)
        if id(node) not in self.built:
            self.built[id(node)] = None
            if isinstance(node, yaml.SequenceNode):
                items = [self.build(item, self._where(item)) for item in node.value]
                self.built[id(node)] = Node(items, where)
            else:
                self.built[id(node)] = self._section(node, where)
        built = self.built[id(node)]
        if built is None:
            self.faults.append(f"{where}: an alias that contains itself")
            return Node(None, where)
        return Node(built.value, where)

    def _where(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}" if self.lines else self.source

    def _section(self, node: yaml.Node, where: str) -> Node:
        section: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            at = self._where(key)
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(f"{at}: expected a name as the key, found a list or a section")
            elif key.tag == f"{TAG}merge":
                merged |= self._merged(value, at)
            elif key.value in section:
                self.faults.append(f"{at}: {key.value}: the key stands twice in this section")
            else:
                section[key.value] = self.build(value, at)
        return Node(merged | section, where)

    def _merged(self, value: yaml.Node, where: str) -> dict[str, Node]:
        """What ``<<: *other`` brings; of several sections, the first wins."""
        sections = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged: dict[str, Node] = {}
        for section in sections:
            built = self.build(section, where).value
            if isinstance(built, dict):
                merged = built | merged
            else:
                self.faults.append(f"{where}: <<: expected a section to merge")
        return merged

    def _scalar(self, node: yaml.ScalarNode, where: str) -> Scalar:
        text, kind = node.value, node.tag.removeprefix(TAG)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() in ("true", "yes", "on")
            if kind == "int":
                return int(text.replace("_", ""), 16 if "x" in text else 10)
            if kind == "float":
                return _float(text)
        except ValueError:
            self.faults.append(f"{where}: expected {kind}, found {text!r}")
            return None
        if kind != "str":
            self.faults.append(f"{where}: the tag {node.tag} is not allowed")
        return self.mounts(str(text))


def _float(text: str) -> float:
    bare = text.replace("_", "").lower()
    if bare.lstrip("+-") in (".inf", ".nan"):
        return math.nan if "nan" in bare else math.copysign(math.inf, -1 if bare[0] == "-" else 1)
    return float(bare)


def _checked_json(text: str, source: str) -> str:
    """JSON that YAML's composer can read: it refuses tabs, which JSON has only between tokens."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{source}:{error.lineno}: broken JSON: {error.msg}") from None
    except RecursionError:
        raise SpecError(f"{source}: nested too deeply to be a spec") from None
    return text.replace("\t", " ")


def _said(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.problem, error.context) if part)
