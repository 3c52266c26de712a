"""Contact sheets: rows of pictures with titles, names and a legend, and the files they become.

Images are (H, W, 3) uint8 RGB.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.errors import DataError, SpecError
from bpnet.files import replacing

MARK = b"bpnet show"  # in every file of ours near its beginning, so that no other is replaced
MARKED_WITHIN = 256  # bytes
PNG_HEADER = 33  # bytes: the signature and the first chunk, IHDR
JPEG_QUALITY = 90

GAP = 8  # pixels between panels, and around everything
LINE = 20  # pixels a line of text
FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, SOFT, PAPER = (28, 36, 48), (91, 103, 119), 255


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its panels, whole, and what stands above them."""

    name: str
    note: str
    panels: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True)
class LegendEntry:
    """A swatch and what it means."""

    swatch: NDArray[np.uint8]
    text: str


def colour_swatch(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A small square of one colour, with a rim, so that white shows on white."""
    swatch = np.full((12, 12, 3), INK, np.uint8)
    swatch[1:-1, 1:-1] = colour
    return swatch


def draw_sheet(
    caption: str, titles: Sequence[str], rows: Sequence[Row], legend: Sequence[LegendEntry]
) -> NDArray[np.uint8]:
    """The sheet: a caption, column titles, a row of panels an example, the legend.

    Panels keep their pixels. Text that does not fit is cut in its middle.
    """
    widths = [
        max(*(row.panels[column].shape[1] for row in rows), _text_width(title, bold=True))
        for column, title in enumerate(titles)
    ]
    lefts = np.cumsum([GAP, *(width + GAP for width in widths)]).tolist()
    width = max(lefts.pop(), 400)
    parts = [_text_line(width, [(GAP, caption, False)], SOFT)]
    parts.append(_text_line(width, [(x, t, True) for x, t in zip(lefts, titles, strict=True)], INK))
    for row in rows:
        parts += [_name_line(width, row), _panel_strip(width, lefts, row.panels)]
    if legend:
        parts.append(_draw_legend(width, legend))
    return np.concatenate([*parts, np.full((GAP, width, 3), PAPER, np.uint8)])


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a PNG or JPEG file, by its suffix, marked as ours.

    Raises:
        DataError: It cannot be written.
    """
    options = [] if _is_png(path) else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    encoded = cv2.imencode(path.suffix.lower(), image[..., ::-1], options)[1].tobytes()
    if _is_png(path):  # a text chunk: https://www.w3.org/TR/png-3/#11tEXt
        body = b"tEXtSoftware\0" + MARK
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        marked = encoded[:PNG_HEADER] + chunk + encoded[PNG_HEADER:]
    else:  # a comment right after the start-of-image marker
        marked = encoded[:2] + b"\xff\xfe" + (len(MARK) + 2).to_bytes(2, "big") + MARK + encoded[2:]
    with replacing(path) as temporary:
        temporary.write_bytes(marked)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, marked as ours.

    Raises:
        DataError: It cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"made_by": MARK.decode(), **content}, indent=2) + "\n")


def check_replaceable(path: Path) -> None:
    """Make sure that nothing is lost if ``path`` is written.

    Raises:
        SpecError: There is a file that ``bpnet show`` has not written.
        DataError: What is there cannot be read.
    """
    try:
        with path.open("rb") as file:
            ours = MARK in file.read(MARKED_WITHIN)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    if not ours:
        raise SpecError(f"{path} exists and is not of bpnet show; give another name with -o")


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _text_width(text: str, *, bold: bool) -> int:
    (width, _), _ = cv2.getTextSize(text, FONT, _scale(bold), 1)
    return width


def _scale(bold: bool) -> float:
    return 0.5 if bold else 0.43


def _put_text(
    strip: NDArray[np.uint8], text: str, x: int, *, colour: tuple[int, int, int], bold: bool = False
) -> None:
    """Text from column ``x`` on, on the middle of a strip, cut in its middle where it is long."""
    room, kept, shown = strip.shape[1] - x - GAP, len(text), text
    while _text_width(shown, bold=bold) > room and kept > 1:
        kept -= 1
        shown = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
    place = (x, strip.shape[0] // 2 + 5)
    cv2.putText(strip, shown, place, FONT, _scale(bold), colour, 1, cv2.LINE_AA)


def _text_line(
    width: int, texts: Sequence[tuple[int, str, bool]], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """A line of texts, each with the column it begins at and whether it is a title."""
    line = np.full((LINE + 4, width, 3), PAPER, np.uint8)
    for x, text, bold in texts:
        _put_text(line, text, x, colour=colour, bold=bold)
    return line


def _name_line(width: int, row: Row) -> NDArray[np.uint8]:
    """The row's name, and its note in a softer colour after it."""
    line = np.full((LINE, width, 3), PAPER, np.uint8)
    room = max(width - _text_width(row.note, bold=False) - 3 * GAP, width // 3)
    _put_text(line[:, :room], row.name, GAP, colour=INK)
    after = min(GAP + _text_width(row.name, bold=False), room) + 2 * GAP
    _put_text(line, row.note, after, colour=SOFT)
    return line


def _panel_strip(
    width: int, lefts: Sequence[int], panels: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    height = max(panel.shape[0] for panel in panels)
    strip = np.full((height + GAP, width, 3), PAPER, np.uint8)
    for left, panel in zip(lefts, panels, strict=True):
        strip[: panel.shape[0], left : left + panel.shape[1]] = panel
    return strip


def _draw_legend(width: int, legend: Sequence[LegendEntry]) -> NDArray[np.uint8]:
    """The entries side by side, in as many lines as they need."""
    lines: list[list[LegendEntry]] = [[]]
    x = GAP
    for entry in legend:
        needed = _entry_width(entry)
        if lines[-1] and x + needed > width:
            lines.append([])
            x = GAP
        lines[-1].append(entry)
        x += needed
    return np.concatenate([_legend_line(width, line) for line in lines])


def _entry_width(entry: LegendEntry) -> int:
    swatch: int = entry.swatch.shape[1]
    return swatch + 5 + _text_width(entry.text, bold=False) + 2 * GAP


def _legend_line(width: int, entries: Sequence[LegendEntry]) -> NDArray[np.uint8]:
    height = max(LINE, *(entry.swatch.shape[0] + 6 for entry in entries))
    line = np.full((height, width, 3), PAPER, np.uint8)
    x = GAP
    for entry in entries:
        rows, columns = entry.swatch.shape[:2]
        top = (height - rows) // 2
        line[top : top + rows, x : x + columns] = entry.swatch[:, : width - x]
        _put_text(line, entry.text, x + columns + 5, colour=INK)
        x += _entry_width(entry)
    return line
