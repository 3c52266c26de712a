"""A self-contained HTML page: headings, text, tables and pictures, no links to anything outside."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.files import replacing

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --paper: #ffffff; --line: #d5dbe3; --soft: #5b6777; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --paper: #14181f; --line: #343c48; --soft: #98a4b3; }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
figure { margin: 1.2rem 0; } img { max-width: 100%; height: auto; border-radius: 4px; }
figcaption, .note { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
"""  # the table's first column names the row, the others are numbers


class Page:
    """A page in the making. Every text given to it is escaped."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A section begins."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str, *, note: bool = False) -> None:
        """A paragraph; ``note``: a small one in a soft colour."""
        name = ' class="note"' if note else ""
        self._parts.append(f"<p{name}>{html.escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table whose first column names the row."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def picture(self, image: NDArray[np.uint8], *, alt: str, caption: str = "") -> None:
        """A picture (H, W, 3), RGB; ``alt`` says what it shows to who cannot see it."""
        encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
        self._figure("image/jpeg", encoded.tobytes(), alt, caption)

    def picture_file(self, path: Path, *, alt: str, caption: str = "") -> None:
        """A PNG file, put into the page."""
        self._figure("image/png", path.read_bytes(), alt, caption)

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            DataError: It cannot be written.
        """
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style></head><body>"
            + "\n".join(self._parts)
            + "</body></html>\n"
        )
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def _figure(self, kind: str, data: bytes, alt: str, caption: str) -> None:
        source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._parts.append(
            f'<figure><img src="{source}" alt="{html.escape(alt, quote=True)}">{below}</figure>'
        )
