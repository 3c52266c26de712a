"""Reads the lists of a large JSON object one entry at a time, in the file's own order.

COCO's annotation files are an object of a few lists; ``json.load`` takes ten times the file's size
in memory. Here an entry is gone before the next one is read.
"""

import codecs
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from bpnet.data.storage import address, open_binary, remote_errors
from bpnet.errors import DataError

CHUNK = 1 << 20  # bytes read at once
LONGEST_TOKEN = 64  # characters; a fault nearer to the chunk's end may be a value that it cuts
SPACE = re.compile(r"[ \t\n\r]*")


def read_lists(path: Path, handlers: Mapping[str, Callable[[Any], None]]) -> set[str]:
    """Hand every entry of the named lists of a JSON file to its handler.

    Args:
        path: A file that holds one JSON object.
        handlers: What to do with an entry, by the name of its list. Other keys are passed over.

    Returns:
        The names of the lists that the file has.

    Raises:
        DataError: The file cannot be read, is cut short, or is not one JSON object.
    """
    found = set[str]()
    try:
        with remote_errors(path), open_binary(path) as file:
            text = _Text(file, path)
            if not text.skip("{"):
                raise DataError(f"{path} is not COCO JSON: an object is expected at its top")
            more = not text.skip("}")
            while more:
                key = text.read_key()
                if key not in handlers:
                    text.read_value()
                else:
                    if key in found:
                        raise DataError(f"{path} has `{key}` twice; merge the two lists")
                    _read_list(text, key, handlers[key])
                    found.add(key)
                more = text.skip(",")
                if not more:
                    text.expect("}")
            text.expect_end()
    except OSError as error:
        raise DataError(
            f"the annotation file {address(path)} cannot be read: {error.strerror or error}"
        ) from error
    return found


def _read_list(text: "_Text", key: str, handle: Callable[[Any], None]) -> None:
    if not text.skip("["):
        raise DataError(f"{text.path} has no list `{key}`; a COCO keypoint file is expected")
    more = not text.skip("]")
    while more:
        handle(text.read_value())
        more = text.skip(",")
        if not more:
            text.expect("]")


class _Text:
    """A JSON file, of which only the part being read is in memory."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.path = path
        self._file = file
        self._decode_bytes = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode_value = json.JSONDecoder().raw_decode
        self._text, self._place, self._ended = "", 0, False
        self._lines = 0  # that have left memory

    def skip(self, mark: str) -> bool:
        """Whether the next character is ``mark``, which is passed over then."""
        self._skip_space()
        if not self._text.startswith(mark, self._place):
            return False
        self._place += len(mark)
        return True

    def expect(self, mark: str) -> None:
        """Pass over ``mark``, which must come next."""
        if not self.skip(mark):
            raise self._broken(f"expecting '{mark}'", self._place)

    def expect_end(self) -> None:
        """Nothing but white space may follow."""
        self._skip_space()
        if self._place < len(self._text):
            raise self._broken("extra data", self._place)

    def read_key(self) -> str:
        """A key of an object, and the colon after it."""
        self._skip_space()
        place = self._place
        key = self.read_value()
        if not isinstance(key, str):
            raise self._broken("expecting a key in double quotes", place)
        self.expect(":")
        return key

    def read_value(self) -> Any:
        """The next value, whole."""
        self._skip_space()
        while True:
            try:
                value, end = self._decode_value(self._text, self._place)
            except json.JSONDecodeError as error:
                near = error.pos >= len(self._text) - LONGEST_TOKEN
                if self._ended or not (near or error.msg.startswith("Unterminated string")):
                    raise self._broken(error.msg.lower(), error.pos) from error
            except RecursionError as error:
                raise self._broken("brackets too deep", self._place) from error
            else:
                if end < len(self._text) or self._ended:  # else a number may go on
                    self._place = end
                    return value
            self._fill()

    def _skip_space(self) -> None:
        while True:
            found = SPACE.match(self._text, self._place)
            self._place = found.end() if found else self._place
            if self._place < len(self._text) or self._ended:
                return
            self._fill()

    def _fill(self) -> None:
        """Read on; a value longer than what is in memory doubles it, so that few tries do."""
        data = self._file.read(max(CHUNK, len(self._text) - self._place))
        self._ended = not data
        try:
            new = self._decode_bytes.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path} is not a JSON text file: {error.reason}") from error
        self._lines += self._text.count("\n", 0, self._place)
        self._text, self._place = self._text[self._place :] + new, 0

    def _broken(self, said: str, place: int) -> DataError:
        line = self._lines + self._text.count("\n", 0, place) + 1
        return DataError(
            f"{self.path}, line {line}: broken JSON, {said}; was the download cut short?"
        )
