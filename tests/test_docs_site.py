"""The documentation as a whole: links, pictures, figures; the site, where Sphinx is installed."""

import importlib.util
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from documents import DOCS, PAGES, REPOSITORY

LINK = re.compile(r"(?<!!)\[(?:[^\]\\]|\\.)*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[((?:[^\]\\]|\\.)*)\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def prose_of(page: Path) -> str:
    """The page without its blocks and its code."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"(`+)[^`]*\1(?!\()", "code", text)


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    anchors: list[str] = []
    for heading in re.findall(r"^#{1,6} (.*)$", text, flags=re.M):
        lower = unicodedata.normalize("NFC", heading.strip().lower().replace("`", ""))
        anchor = re.sub(r"[^\w\- ]", "", lower).replace(" ", "-")
        repeats = anchors.count(anchor)
        anchors.append(f"{anchor}-{repeats}" if repeats else anchor)
    return set(anchors)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page):
    broken = []
    for target in LINK.findall(prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_picture_is_there_and_says_what_it_shows(page):
    shown = PICTURE.findall(prose_of(page))
    assert [source for _, source in shown if not (page.parent / source).is_file()] == []
    assert [source for said, source in shown if len(said.split()) < 3] == []
    assert "<img" not in prose_of(page)


def test_every_picture_of_the_folder_is_shown():
    shown = {Path(source).name for page in PAGES for _, source in PICTURE.findall(prose_of(page))}
    assert {path.name for path in (DOCS / "pictures").iterdir()} - shown == set()


def test_every_page_can_be_reached_from_the_first():
    """By the trees of contents, which Sphinx makes the menu of."""
    seen: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        text = page.read_text() if page.is_file() else ""
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.S):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            found = [(page.parent / f"{name}.md").resolve() for name in names]
            waiting += [path for path in found if path not in seen]
    assert seen == set(DOCS.rglob("*.md"))


def test_a_figure_says_the_same_wherever_it_stands():
    """Rows with figures are word for word those of the README or of the benchmarks' README."""
    sources = (REPOSITORY / "README.md", REPOSITORY / "benchmarks" / "README.md")
    known = {line for path in sources for line in path.read_text().splitlines()}
    page = (DOCS / "accuracy_and_speed.md").read_text().splitlines()
    rows = [line for line in page if line.startswith("|") and re.search(r"\d", line)]
    assert len(rows) > 20
    assert [row for row in rows if row not in known] == []


@pytest.mark.skipif(importlib.util.find_spec("furo") is None, reason="bpnet[docs] is not installed")
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q"]
    built = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "reference" / "commands" / "train.html").is_file()
