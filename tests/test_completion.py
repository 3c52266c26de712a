"""Completion scripts, made from the parsers and tried in the shells that this machine has."""

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from bpnet import cli
from bpnet.commands.completion import _read, read_commands
from bpnet.commands.completion_scripts import SHELLS, Command, Option, fish, zsh

TRY_IN_BASH = """
source {script}
COMP_WORDS=({words} "{last}")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_bpnet
echo "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def commands() -> list[Command]:
    return read_commands()


@pytest.fixture(scope="module")
def scripts(commands, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    written = {}
    for shell, write in SHELLS.items():
        written[shell] = folder / f"bpnet.{shell}"
        written[shell].write_text(write(commands))
    return written


def shell_path(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"this machine has no {shell}")
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_reads_its_script(shell, scripts):
    read = subprocess.run([shell_path(shell), "-n", scripts[shell]], capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_long_option_is_in_the_script(shell, scripts, commands):
    text = scripts[shell].read_text()
    for command in commands:
        assert command.path[-1] in text
        for option in command.options:
            assert option.names[-1].lstrip("-") in text
    assert {command.path[0] for command in commands} == set(cli.COMMANDS)


def complete_in_bash(script: Path, words: str) -> list[str]:
    first, _, last = words.rpartition(" ")
    text = TRY_IN_BASH.format(script=script, words=first, last=last)
    run = subprocess.run([shell_path("bash"), "-c", text], capture_output=True, text=True)
    assert run.stderr == ""
    return run.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bpnet tra", ["train"]),
        ("bpnet evaluate --provider ", ["auto", "cpu", "cuda", "tensorrt", "openvino"]),
        ("bpnet evaluate --provider o", ["openvino"]),
        ("bpnet benchmark --providers cpu op", ["openvino"]),
        ("bpnet evaluate --provider cpu --thr", ["--threads"]),
        ("bpnet evaluate --provider cpu -m a.onnx --lim", ["--limit"]),
        ("bpnet benchmark -m a.onnx b.onnx --war", ["--warm_up"]),
        ("bpnet benchmark -m a.onnx ", []),  # files, which bash completes itself
        ("bpnet train --dry_run --set", ["--set"]),
        ("bpnet completion ", ["bash", "zsh", "fish"]),
        ("bpnet --v", ["--version"]),
        ("bpnet skeleton dr", ["draw"]),
        ("bpnet skeleton draw a.json --tu", ["--turn"]),
        ("bpnet doctor --need base t", ["train", "tensorrt"]),
    ],
)
def test_bash_completes(words, expected, scripts):
    assert complete_in_bash(scripts["bash"], words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bpnet tra", ["train"]),
        ("bpnet evaluate --provider o", ["openvino"]),
        ("bpnet evaluate --lim", ["--limit"]),
        ("bpnet completion z", ["zsh"]),
        ("bpnet evaluate --provider cpu --thr", ["--threads"]),
    ],
)
def test_fish_completes(words, expected, scripts):
    text = f'source {scripts["fish"]}; complete -C "{words}"'
    run = subprocess.run(
        [shell_path("fish"), "--no-config", "-c", text], capture_output=True, text=True
    )
    assert [line.partition("\t")[0] for line in run.stdout.splitlines()] == expected


def test_quotes_and_brackets_of_a_help_text_are_escaped():
    option = Option(("-a",), "model's [n]: 1", words=("x",), takes="anything")
    command = Command(("c",), "does: it's", (option,))
    assert r"model'\''s \[n\]\: 1" in zsh([command])
    assert r"'model\'s [n]: 1'" in fish([command])
    assert r"does\: it'\''s" in zsh([command])


def test_commands_of_commands_are_found():
    parser = argparse.ArgumentParser(prog="bpnet c")
    inner = parser.add_subparsers().add_parser("draw", help="draws")
    inner.add_argument("--to", type=Path, nargs="+", help="where, %(default)s (default: here)")
    outer, found = _read(("c",), "does", parser)
    assert outer.words == ("draw",)
    assert (found.path, found.does) == (("c", "draw"), "draws")
    assert found.options[1] == Option(("--to",), "where, None", "files", many=True)


def test_the_command_prints_the_script(capsys):
    assert cli.main(["completion", "bash"]) == 0
    assert "complete -o default -F _bpnet bpnet" in capsys.readouterr().out


def test_an_unknown_shell_is_a_usage_error(capsys):
    assert cli.main(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err
