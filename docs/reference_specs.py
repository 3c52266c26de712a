"""The pages of spec keys, made from the dataclasses of ``bpnet.spec``."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from reference_prose import cell, code, prose

from bpnet.spec.dataset import DatasetSpec, SkeletonFile
from bpnet.spec.inference import InferenceSpec
from bpnet.spec.reader import TAG_KEY
from bpnet.spec.train import BpNetTrainer

WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}
SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a file: where it stands, and the dataclass that says what may stand in it.

    Attributes:
        path: Keys from the top of the file, with dots; empty for the file itself.
        kind: The dataclass.
        tagged: Whether ``__class_name__`` chooses it among others.
        chosen: Whether it is what the section is without that key.
    """

    path: str
    kind: type
    tagged: bool = False
    chosen: bool = True


@dataclasses.dataclass(frozen=True)
class Page:
    """A page of keys.

    Attributes:
        name: Of its file, without .md.
        title: Its heading.
        intro: Markdown below the heading.
        kind: The dataclass of the whole file.
        under: Only the sections whose path begins so; empty: those that no other page has.
    """

    name: str
    title: str
    intro: str
    kind: type
    under: str = ""


OF_TRAINING = (
    "Part of the [training spec](training_spec.md). Change one key for one run with "
    "`--set {under}.KEY=VALUE`."
)
PAGES = (
    Page(
        "training_spec",
        "Training spec",
        "What `bpnet train -e FILE` reads, YAML or JSON. [`dataloader`](training_dataloader.md), "
        "[`model`](training_model.md), [`optimizer`](training_optimizer.md) and "
        "[`loss`](training_loss.md) have pages of their own. `bpnet train -e FILE --dry_run` "
        "prints a file with every default filled in; `--set KEY=VALUE` changes a key for one run.",
        BpNetTrainer,
    ),
    *(
        Page(
            f"training_{under}",
            f"Training spec: {under}",
            OF_TRAINING.format(under=under),
            BpNetTrainer,
            under,
        )
        for under in ("dataloader", "model", "optimizer", "loss")
    ),
    Page(
        "inference_spec",
        "Inference spec",
        "What `bpnet inference`, `bpnet evaluate`, `bpnet benchmark` and others read with `-i "
        "FILE`. Models that bpnet wrote say most of it themselves, and need none.",
        InferenceSpec,
    ),
    Page(
        "dataset_spec",
        "Dataset spec",
        "Where images, masks and COCO annotations stand, and which keypoints they label: what "
        "`bpnet dataset_convert`, `bpnet evaluate` and `bpnet show` read with `-d FILE`.",
        DatasetSpec,
    ),
    Page(
        "skeleton_file",
        "Skeleton file",
        "The keypoints and limbs that a network learns. A training spec names it as "
        "`dataloader.pose_config.pose_config_path`; [`bpnet skeleton`](commands/skeleton.md) makes "
        "one, checks it and draws it.",
        SkeletonFile,
    ),
)


def spec_pages() -> dict[str, str]:
    """Every page's text, by the name of its file."""
    return {f"{page.name}.md": _page(page) for page in PAGES}


def sections(kind: type) -> list[Section]:
    """Every section of a file, in the order of its keys."""
    found = dict.fromkeys(_sections(Section("", kind)))
    return list(found)


def keys(kind: type) -> set[str]:
    """Every key of a file, from its top, with dots."""
    return {
        f"{section.path}.{item.name}".lstrip(".")
        for section in sections(kind)
        for item in dataclasses.fields(section.kind)
    }


def _sections(section: Section) -> Iterator[Section]:
    yield section
    hints = typing.get_type_hints(section.kind)
    for item in dataclasses.fields(section.kind):
        kinds, several = _classes(hints[item.name])
        path = f"{section.path}.{item.name}{'[]' if several else ''}".lstrip(".")
        for number, kind in enumerate(kinds):
            yield from _sections(Section(path, kind, len(kinds) > 1, number == 0))


def _classes(hint: Any) -> tuple[list[type], bool]:
    """The dataclasses that a key's value may be, and whether it is a list of them."""
    if typing.get_origin(hint) is list:
        return _classes(typing.get_args(hint)[0])[0], True
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return [member for member in members if dataclasses.is_dataclass(member)], False


def _page(page: Page) -> str:
    others = {other.under: f"{other.name}.md" for other in PAGES if other.kind is page.kind}
    lines = [f"# {page.title}", "", page.intro, ""]
    for section in sections(page.kind):
        top = section.path.partition(".")[0]
        if top == page.under if page.under else top not in others or not top:
            lines += _section(section, elsewhere={} if page.under else others)
    return "\n".join(lines)


def _section(section: Section, *, elsewhere: dict[str, str]) -> list[str]:
    """A section as heading and table; sections in it are links, to ``elsewhere`` by their path."""
    lines = []
    if section.path:
        lines += [f"## {_heading(section)}", "", prose(section.kind.__doc__ or ""), ""]
    if section.tagged:
        unless = ", which is also the default" if section.chosen else ""
        lines += [f"With `{TAG_KEY}: {section.kind.__name__}`{unless}.", ""]
    lines += ["| Key | Value | Meaning |", "|---|---|---|"]
    hints = typing.get_type_hints(section.kind)
    inner = {part.path: part for part in reversed([*_sections(section)]) if part != section}
    for item in dataclasses.fields(section.kind):
        path = f"{section.path}.{item.name}".lstrip(".")
        part = inner.get(path) or inner.get(f"{path}[]")
        place = elsewhere.get(path) or (f"#{_anchor(_heading(part))}" if part else "")
        value = _value(item, hints[item.name], f"[section]({place})")
        lines.append(f"| {' | '.join(map(cell, (code(item.name), value, _meaning(item))))} |")
    return [*lines, ""]


def _heading(section: Section) -> str:
    return f"`{section.path}`" + (f" of `{section.kind.__name__}`" if section.tagged else "")


def _anchor(heading: str) -> str:
    """As GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _meaning(item: Any) -> str:
    said = prose(item.metadata["doc"])
    if item.metadata["no_effect"]:
        return f"{said} **No effect:** {prose(item.metadata['no_effect'])}."
    return f"{said} Never written out again." if item.metadata["secret"] else said


def _value(item: Any, hint: Any, section: str) -> str:
    """What may be written, and what holds where nothing is; ``section`` links to what is inside."""
    classes, several = _classes(hint)
    if classes and not _is_optional(hint):
        return f"list of {section.replace('section', 'sections', 1)}" if several else section
    said = section if classes else _kind(hint, item.metadata)
    if item.default is not dataclasses.MISSING:
        return f"{said}; default {code(_yaml(item.default))}"
    if item.default_factory is not dataclasses.MISSING:
        return f"{said}; default {code(_yaml(item.default_factory()))}"
    return f"{said}; **required**"


def _kind(hint: Any, limits: Any) -> str:
    if limits["choices"] is not None:
        return " or ".join(code(_yaml(choice)) for choice in limits["choices"])
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(member for member in members if member is not types.NoneType)
    said = _one_kind(kind, limits["length"]) + _range(limits["minimum"], limits["maximum"])
    return f"{said}, or null" if _is_optional(hint) and not isinstance(kind, type) else said


def _one_kind(kind: Any, length: int | None) -> str:
    origin = typing.get_origin(kind)
    if origin is list:
        inner = typing.get_args(kind)[0]
        if typing.get_origin(inner) is list:
            return f"list of lists of {SEVERAL[typing.get_args(inner)[0]]}"
        count = "list of" if length is None else f"list of {length}"
        return f"{count} {(SEVERAL if length != 1 else WORDS)[inner]}"
    if origin is dict:
        inner = typing.get_args(kind)[1]
        return f"names, each with {WORDS.get(inner, 'a list of texts')}"
    return WORDS[kind]


def _range(least: float | None, greatest: float | None) -> str:
    if least is not None and greatest is not None:
        return f", {least:g} to {greatest:g}"
    if least is not None:
        return f", at least {least:g}"
    return "" if greatest is None else f", at most {greatest:g}"


def _is_optional(hint: Any) -> bool:
    return types.NoneType in typing.get_args(hint)


def _yaml(value: Any) -> str:
    """A value as YAML and JSON both write it."""
    return value if isinstance(value, str) and value else json.dumps(value)
