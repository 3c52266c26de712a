"""The README shows every command; that each line of it is real, the tests of all pages say."""

from documents import blocks, bpnet_arguments

from bpnet.cli import COMMANDS


def test_the_readme_shows_every_command() -> None:
    lines = [
        line for block in blocks("bash") if block.page == "README.md" for line in block.lines()
    ]
    shown = {arguments[0] for line in lines if (arguments := bpnet_arguments(line))}
    assert shown | {"quickstart"} == set(COMMANDS)
