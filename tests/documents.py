"""The Markdown files of the repository, and the blocks of code in them."""

import importlib
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
BESIDE = ("benchmarks", "examples/c", "notebooks")  # folders with a README of their own
PAGES = [
    *sorted(REPOSITORY.glob("[A-Z]*.md")),
    *[REPOSITORY / folder / "README.md" for folder in BESIDE],
    *sorted(DOCS.rglob("*.md")),
]

# Pages whose commands are about the reader's own models and data.
ABOUT_ONES_OWN = (
    "README.md",
    "CONTRIBUTING.md",
    *BESIDE,
    "docs/reference/",
    "docs/jetson.md",
)
DATA, GPU = "needs data", "needs a GPU"
QUICKSTART, MAKES_QUICKSTART, LONG = "needs quickstart", "makes quickstart", "takes long"
MARKS = (DATA, GPU, QUICKSTART, MAKES_QUICKSTART, LONG)
BLOCK = re.compile(
    r"^(?:<!-- *(?P<mark>[^\n]*?) *-->\n+)?"
    r"(?P<indent> *)```(?P<language>[^`\n]*)\n(?P<text>.*?)^ *```$",
    flags=re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Path of its file, below the repository.
        line: Where it begins, from 1.
        language: What follows the fence.
        text: What stands in it.
        mark: The comment before it, or what holds for its page: one of MARKS, ``file: NAME``, none.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def lines(self) -> list[str]:
        """The lines of a shell, continued ones put together, comments and empty ones left out."""
        joined = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        bare = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined]
        return [line for line in bare if line]


def blocks(language: str | None = None) -> list[Block]:
    """Every block of a language in every page."""
    found = [block for page in PAGES for block in _blocks(page)]
    return [block for block in found if language in (None, block.language)]


def bpnet_arguments(line: str) -> list[str] | None:
    """What a line of a shell gives to ``bpnet``; None where it runs something else.

    Pipes and redirections are left out, with what is after them.
    """
    words = shlex.split(line)
    before = list(itertools.takewhile(lambda word: word != "bpnet", words))
    runs = " ".join(word for word in before if not re.match(r"\w+=", word))
    if len(before) == len(words) or not re.match(r"$|docker run |python3? -m|nice ", runs):
        return None
    words = words[len(before) + 1 :]
    return list(itertools.takewhile(lambda word: not re.match(r"\d?>|[|&;<]", word), words))


def reference() -> ModuleType:
    """``docs/make_reference.py`` as a module."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    return importlib.import_module("make_reference")


def _blocks(page: Path) -> Iterator[Block]:
    name = page.relative_to(REPOSITORY).as_posix()
    text = page.read_text(encoding="utf-8")
    of_page = DATA if name.startswith(ABOUT_ONES_OWN) else ""
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        inner = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(name, line, found["language"], inner, found["mark"] or of_page)
