"""Print the completion of commands, options and file names for bash, zsh or fish."""

import argparse
import textwrap
from pathlib import Path

from bpnet.commands.completion_scripts import (
    ANYTHING,
    FILES,
    FOLDERS,
    NOTHING,
    SHELLS,
    Command,
    Option,
)
from bpnet.errors import ExitCode

WIDTH = 72  # characters of an option's description
FILE_METAVARS = ("FILE", "PREFIX", "INPUT", "MODEL", "DATASET_SPEC", "PICTURE", "PATH")
FOLDER_METAVARS = ("DIR", "FOLDER")

EPILOG = """examples:
  bash:  bpnet completion bash > ~/.local/share/bash-completion/completions/bpnet
  zsh:   bpnet completion zsh > "${fpath[1]}/_bpnet"
  fish:  bpnet completion fish > ~/.config/fish/completions/bpnet.fish
  or for one session, bash and zsh:  eval "$(bpnet completion bash)"

The script is made from the commands' own options; make it anew after an update of bpnet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell to complete in")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(SHELLS[args.shell](read_commands()), end="")
    return ExitCode.DONE


def read_commands() -> list[Command]:
    """Every command, and below it every one of its own commands, with their options."""
    from bpnet.cli import COMMANDS, command_parser

    return [
        command
        for name, does in COMMANDS.items()
        for command in _read((name,), does, command_parser(name))
    ]


def _read(path: tuple[str, ...], does: str, parser: argparse.ArgumentParser) -> list[Command]:
    """The command of a parser, then those of its subparsers."""
    options, words, inner = [], [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            said = {one.dest: one.help or "" for one in action._choices_actions}
            for name, below in action.choices.items():
                inner += _read((*path, name), said.get(name, ""), below)
            words += list(action.choices)
        elif action.option_strings:
            options.append(_option(action))
        elif action.choices is not None:
            words += [str(choice) for choice in action.choices]
    return [Command(path, does, tuple(options), tuple(words)), *inner]


def _option(action: argparse.Action) -> Option:
    described = " ".join(((action.help or "") % vars(action)).split()).partition(" (default")[0]
    return Option(
        names=tuple(action.option_strings),
        help=textwrap.shorten(described, WIDTH, placeholder="..."),
        takes=_takes(action),
        words=tuple(str(choice) for choice in action.choices or ()),
        many=action.nargs in ("+", "*"),
    )


def _takes(action: argparse.Action) -> str:
    """What a value of the option is: nothing, one of its choices or any text, files, folders."""
    if action.nargs == 0:
        return NOTHING
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if metavar in FOLDER_METAVARS:
        return FOLDERS
    if action.type is Path or metavar in FILE_METAVARS:
        return FILES
    return ANYTHING
