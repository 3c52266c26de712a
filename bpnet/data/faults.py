"""Everything that is wrong with a file, in one report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bpnet.data.storage import address
from bpnet.errors import DataError

SHOWN = 20  # faults written out; the rest are counted


class Faults:
    """Collects the sentences that a file's faults end in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """One more, which begins with the place in the file."""
        self._sentences.append(sentence)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Takes in the ``DataError`` that ends the block, so that the next entry is read."""
        try:
            yield
        except DataError as error:
            self.add(str(error))

    def check(self) -> None:
        """Raise what was collected, if anything.

        Raises:
            DataError: One sentence with the file's name, or a list of up to 20 and their number.
        """
        place = address(self._path)
        if len(self._sentences) == 1:
            raise DataError(f"{place}: {self._sentences[0]}")
        if self._sentences:
            lines = [f"{len(self._sentences)} faults in {place}:"]
            lines += [f"  {sentence}" for sentence in self._sentences[:SHOWN]]
            more = len(self._sentences) - SHOWN
            lines += [f"  and {more} more"] if more > 0 else []
            raise DataError("\n".join(lines))
