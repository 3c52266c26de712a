"""The README's commands are real: each parses, and the files it names are in the repository."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL))
LINES = [line.partition("  #")[0].strip() for line in BLOCKS.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in LINES if line.startswith("bpnet ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(f"bpnet.commands.{name}").add_arguments(parser)
    parser.parse_args(arguments)


def test_the_readme_shows_every_command() -> None:
    from bpnet.cli import COMMANDS as KNOWN

    shown = {line.split()[1] for line in COMMANDS} | {"quickstart"}
    assert shown == set(KNOWN)


@pytest.mark.parametrize("target", re.findall(r"^make (\S+)", BLOCKS, flags=re.MULTILINE))
def test_a_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    "path",
    sorted(
        set(re.findall(r"\b(?:specs|data_pose_config|model_pose_config|docs)/[\w./]+\w", README))
    ),
)
def test_a_file_of_the_readme_exists(path: str) -> None:
    assert (REPOSITORY / path).exists()
