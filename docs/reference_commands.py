"""The pages of commands, made from their own parsers."""

import argparse
import re
from collections.abc import Iterator

from reference_prose import cell, code, prose

from bpnet import cli


def command_pages() -> dict[str, str]:
    """Every command's page, by the name of its file, and the page that lists them."""
    pages = {f"commands/{name}.md": _command(name) for name in cli.COMMANDS}
    rows = [
        f"| [`bpnet {name}`]({name}.md) | {cell(does)} |" for name, does in cli.COMMANDS.items()
    ]
    pages["commands/index.md"] = "\n".join(
        [
            "# Commands",
            "",
            "`bpnet COMMAND --help` prints the same. Lines of TAO's launcher run as they are: "
            "`bpnet tao model bpnet train ...`.",
            "",
            "| Command | What it does |",
            "|---|---|",
            *rows,
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *cli.COMMANDS,
            "```",
            "",
        ]
    )
    return pages


def parsers(name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command's parser, and those of its own commands, each with what is typed for it."""
    parser = cli.command_parser(name)
    yield f"bpnet {name}", parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner, sub in action.choices.items():
                yield f"bpnet {name} {inner}", sub


def options(name: str) -> set[str]:
    """Every option of a command, in each of its spellings."""
    return {
        spelling
        for _, parser in parsers(name)
        for action in parser._actions
        for spelling in action.option_strings
    }


def without_help(name: str) -> list[str]:
    """Options and arguments of a command that say nothing of themselves."""
    return [
        _spelling(action)
        for _, parser in parsers(name)
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]


def _command(name: str) -> str:
    (typed, parser), *inner = parsers(name)
    lines = [f"# {typed}", "", prose(parser.description or ""), ""]
    lines += _epilog(parser.epilog or "")
    if inner:
        lines += ["| Command | What it does |", "|---|---|"]
        lines += [f"| {code(typed)} | {cell(_inner_help(parser, typed))} |" for typed, _ in inner]
        lines += [""]
        for typed, sub in inner:
            lines += [f"## {typed}", "", *_options(typed, sub, level=3)]
    else:
        lines += _options(typed, parser, level=2)
    return "\n".join(lines)


def _inner_help(parser: argparse.ArgumentParser, typed: str) -> str:
    name = typed.rpartition(" ")[2]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                if choice.dest == name:
                    return prose(choice.help or "")
    return ""


def _options(typed: str, parser: argparse.ArgumentParser, *, level: int) -> list[str]:
    """What must be typed, then a table for each group of options."""
    actions = [action for action in parser._actions if action.required]
    flags = [_spelling(action, every=False) for action in actions if action.option_strings]
    others = [_spelling(action) for action in parser._actions if not action.option_strings]
    lines = ["```text", " ".join([typed, *flags, "[options]", *others]), "```", ""]
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if _is_shown(action)]
        if not shown:
            continue
        what = "Option" if shown[0].option_strings else "Argument"
        title = group.title or "options"
        title = "Arguments" if what == "Argument" else title[0].upper() + title[1:]
        lines += [f"{'#' * level} {title}", ""]
        if group.description:
            lines += [prose(group.description), ""]
        lines += [f"| {what} | Meaning |", "|---|---|"]
        for action in shown:
            row = (code(_spelling(action)), _meaning(parser, action))
            lines.append(f"| {' | '.join(map(cell, row))} |")
        lines.append("")
    return lines


def _is_shown(action: argparse.Action) -> bool:
    return bool(action.help) and not isinstance(action, argparse._HelpAction)


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    said = _sentence(parser._get_formatter()._expand_help(action))
    for group in parser._mutually_exclusive_groups:
        if action in group._group_actions:
            names = [code(_short(other)) for other in group._group_actions if other is not action]
            said += f"; not together with {' or '.join(names)}"
    return f"**Required.** {said}" if action.required and action.option_strings else said


def _short(action: argparse.Action) -> str:
    return action.option_strings[0]


def _spelling(action: argparse.Action, *, every: bool = True) -> str:
    """``-r, --results_dir DIR``: every name of an option, or the first, and its value once."""
    value = action.metavar or action.dest.upper()
    if action.metavar is None and action.choices is not None:
        value = f"{{{','.join(map(str, action.choices))}}}"
    names = ", ".join(action.option_strings if every else action.option_strings[:1])
    return f"{names} {_values(value, action.nargs)}".strip()


def _values(value: str | tuple[str, ...], count: int | str | None) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(count, int):
        return " ".join([value] * count)
    if count == "?":
        return f"[{value}]"
    if count in ("+", "*"):
        more = "..." if value.startswith("{") else f"[{value} ...]"
        return f"{value} {more}" if count == "+" else f"[{value} ...]"
    return value


def _epilog(epilog: str) -> list[str]:
    """The epilog: what is indented as commands, the rest as paragraphs."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", epilog.strip("\n")):
        head, _, rest = paragraph.partition("\n")
        if head.strip() == "examples:":
            lines += _block(rest.splitlines())
        else:
            lines += [_sentence(paragraph), ""]
    return lines


def _sentence(text: str) -> str:
    said, first = prose(text), text.split()[0]
    return said if first == "bpnet" or first[-1] == ":" else said[0].upper() + said[1:]


def _block(indented: list[str]) -> list[str]:
    shown = [re.sub(r"^  ", "", line).rstrip() for line in indented]
    starts = [
        line for before, line in zip(["", *shown], shown, strict=False) if not before.endswith("\\")
    ]
    if all(line.startswith("bpnet ") for line in starts):
        return [
            "```bash",
            *(re.sub(r"(\S)\s{3,}(?=\S)", r"\1  # ", line) for line in shown),
            "```",
            "",
        ]
    return ["```text", *shown, "```", ""]
