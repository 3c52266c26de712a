"""What the README must show; that each line of it is real, the tests of all pages say."""

from documents import blocks, bpnet_arguments

from bpnet.cli import COMMANDS


def test_the_readme_shows_every_command() -> None:
    lines = [
        line for block in blocks("bash") if block.page == "README.md" for line in block.lines()
    ]
    shown = {arguments[0] for line in lines if (arguments := bpnet_arguments(line))}
    assert shown | {"quickstart"} == set(COMMANDS)


def test_the_readme_leads_to_a_photo_and_to_a_trained_network_first() -> None:
    """To the first within the first screens, in the order in which a newcomer types the lines."""
    lines = [
        line for block in blocks("bash") if block.page == "README.md" for line in block.lines()
    ]
    first = [line.split(" -")[0] for line in lines[:5]]
    assert first[1:4] == ["pip install .", "bpnet inference", "make quickstart"]


def test_the_readme_has_the_layers_of_the_architectures_page() -> None:
    maps = [
        block.text
        for block in blocks("text")
        if block.page in ("README.md", "docs/architecture.md") and block.text.startswith("cli -> ")
    ]
    assert len(maps) == 2
    assert maps[0] == maps[1]
