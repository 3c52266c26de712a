"""Tables and lists in Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table, its cells on one line each."""
    yield _row(titles)
    yield _row(["---"] * len(titles))
    for row in rows:
        yield _row(row)


def listed(items: Iterable[str]) -> Iterator[str]:
    """A list, an item a line."""
    for item in items:
        yield f"- {' '.join(item.split())}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"
