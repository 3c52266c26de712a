"""The tables of figures of a page, kept word for word as their sources have them."""

import re
from collections.abc import Iterable
from pathlib import Path

TABLE = re.compile(r"^(\|.*\n)(\|[-| :]+\n)((?:\|.*\n)*)", flags=re.MULTILINE)
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "accuracy_and_speed.md"
SOURCES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")


def refreshed(page: str, sources: Iterable[str]) -> str:
    """``page``, each table with the rows of the table of the same heading in a source."""
    rows = {found[1]: found[3] for source in sources for found in TABLE.finditer(source)}
    return TABLE.sub(lambda found: found[1] + found[2] + rows.get(found[1], found[3]), page)


def page_of_figures() -> str:
    """The page as it should be."""
    sources = [source.read_text(encoding="utf-8") for source in SOURCES]
    return refreshed(PAGE.read_text(encoding="utf-8"), sources)
