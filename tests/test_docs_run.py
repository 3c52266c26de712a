"""The command blocks of the documentation run, page by page, as a reader would type them.

A comment before a block says why it does not run here: it needs the reader's data or a GPU. Blocks
that need the quickstart's results or take minutes run where BPNET_QUICKSTART names that folder:

    bpnet quickstart -r quickstart && BPNET_QUICKSTART=quickstart pytest tests/test_docs_run.py
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import (
    LONG,
    QUICKSTART,
    REPOSITORY,
    Block,
    blocks,
    bpnet_arguments,
)

from bpnet import cli

QUICKSTART_FOLDER = os.environ.get("BPNET_QUICKSTART")
SET_UP = ("pip ", "python3 -m venv", "make ", "docker ")  # .ci, Makefile and Dockerfile are these
SHIPPED = ("specs", "data_pose_config", "model_pose_config", "docs", "benchmarks")


def steps_of(page: str) -> Iterator[Block]:
    """The blocks that run here, and those that are files, in the order of the page."""
    allowed = {"", *((QUICKSTART, LONG) if QUICKSTART_FOLDER else ())}
    for block in blocks():
        if block.page == page and (
            block.mark.startswith("file: ") or (block.language == "bash" and block.mark in allowed)
        ):
            yield block


RUNNING = [page for page in dict.fromkeys(block.page for block in blocks()) if [*steps_of(page)]]


@pytest.fixture
def readers_folder(tmp_path, monkeypatch) -> Path:
    """An empty folder but for what a clone of the repository has, and the quickstart's results."""
    for name in SHIPPED:
        (tmp_path / name).symlink_to(REPOSITORY / name)
    if QUICKSTART_FOLDER:
        (tmp_path / "quickstart").symlink_to(Path(QUICKSTART_FOLDER).resolve())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", RUNNING)
def test_the_blocks_of_a_page_run_in_turn(page, readers_folder):
    for block in steps_of(page):
        if block.mark.startswith("file: "):
            (readers_folder / block.mark.removeprefix("file: ")).write_text(block.text)
            continue
        for line in block.lines():
            assert run(line) == 0, f"{block}: {line}"


def run(line: str) -> int:
    """The exit code of a line, which runs bpnet or a script of ours, or sets the machine up."""
    arguments = bpnet_arguments(line)
    if arguments is not None:
        return cli.main(arguments)
    if line.startswith(SET_UP):
        return 0
    words = shlex.split(line)
    assert words[0] == "python", f"nothing here runs {line}"
    return subprocess.run([sys.executable, *words[1:]], check=False, timeout=3600).returncode


def test_the_pages_for_beginners_run():
    assert {"docs/start.md", "docs/your_own_data.md"} <= set(RUNNING)
