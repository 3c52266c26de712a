"""A self-contained HTML page: text, tables, charts and pictures, no links to anything outside."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet.files import replacing

STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --paper: #ffffff; --line: #d5dbe3; --soft: #5b6777;
  --c0: #2f6db3; --c1: #c0392b; --c2: #b7791f; --c3: #7b4fa3; --c4: #4d9a6a; --c5: #6b7a8c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --paper: #14181f; --line: #343c48; --soft: #98a4b3;
    --c0: #6aa6e6; --c1: #e8776b; --c2: #e0ad55; --c3: #b690dd; --c4: #79c596; --c5: #93a1b3; }
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
.facts td { text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.facts td:first-child { white-space: nowrap; color: var(--soft); }
.bars { display: grid; grid-template-columns: fit-content(50%) minmax(3rem, 1fr) max-content;
        gap: .3rem .8rem; align-items: center; margin: 1rem 0; font-size: .95rem; }
.bar { display: flex; height: 1.05rem; border-radius: 3px; overflow: hidden;
       background: color-mix(in srgb, var(--line) 45%, transparent); }
.bar i { display: block; height: 100%; }
.value { text-align: right; font-variant-numeric: tabular-nums; }
.key { display: inline-block; margin-right: 1.1rem; white-space: nowrap; }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
         margin-right: .4em; vertical-align: -.05em; }
svg { display: block; width: 100%; height: auto; max-width: 40rem; }
svg text { fill: var(--soft); font-size: 12px; font-family: inherit; }
h1, p, figcaption, .bars { overflow-wrap: anywhere; }
@media (max-width: 34rem) {
  th, td { padding: .35rem .35rem; } td:first-child { min-width: 6.5rem; }
}
"""  # the table's first column names the row, the others are numbers

COLOURS = 6  # of charts
CHART_WIDTH, CHART_HEIGHT = 480, 320  # of curves, in the chart's own units


@dataclass(frozen=True)
class Bar:
    """One bar of a chart.

    Attributes:
        label: What it is of.
        shares: Lengths of its parts, 0..1 of the chart's width, one colour each.
        value: Written at its end.
    """

    label: str
    shares: tuple[float, ...]
    value: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart: points with x and y from 0 to 1."""

    label: str
    points: tuple[tuple[float, float], ...]


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

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """A table of names and texts of any length."""
        body = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>"
            for name, text in rows
        )
        self._parts.append(f'<table class="facts"><tbody>{body}</tbody></table>')

    def bars(self, bars: Sequence[Bar], *, key: Sequence[str] = ()) -> None:
        """A chart of lying bars; ``key`` names the colours of their parts."""
        rows = []
        for bar in bars:
            parts = "".join(
                f'<i style="width:{100 * share:.2f}%;background:var(--c{number % COLOURS})"></i>'
                for number, share in enumerate(bar.shares)
            )
            rows.append(
                f'<span>{html.escape(bar.label)}</span><span class="bar">{parts}</span>'
                f'<span class="value">{html.escape(bar.value)}</span>'
            )
        self._key(key)
        self._parts.append(f'<div class="bars">{"".join(rows)}</div>')

    def curves(self, curves: Sequence[Curve], *, across: str, up: str, alt: str) -> None:
        """A chart of lines over 0..1 in both directions; ``across`` and ``up`` name the axes."""
        self._key([curve.label for curve in curves])
        grid = "".join(
            f'<path d="M{_x(at):.0f} {_y(0):.0f}V{_y(1):.0f}M{_x(0):.0f} {_y(at):.0f}H{_x(1):.0f}" '
            'stroke="var(--line)" fill="none"/>'
            f'<text x="{_x(at):.0f}" y="{_y(0) + 16:.0f}" text-anchor="middle">{at:g}</text>'
            f'<text x="{_x(0) - 6:.0f}" y="{_y(at) + 4:.0f}" text-anchor="end">{at:g}</text>'
            for at in (0, 0.2, 0.4, 0.6, 0.8, 1)
        )
        lines = "".join(
            '<polyline fill="none" stroke-width="2" stroke-linejoin="round" '
            f'stroke="var(--c{number % COLOURS})" points="'
            + " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in curve.points)
            + '"/>'
            for number, curve in enumerate(curves)
        )
        names = (
            f'<text x="{_x(1):.0f}" y="{_y(0) + 34:.0f}" text-anchor="end">{html.escape(across)}'
            f'</text><text x="0" y="14">{html.escape(up)}</text>'
        )
        self._parts.append(
            f'<figure><svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img" '
            f'aria-label="{html.escape(alt, quote=True)}">{grid}{lines}{names}</svg></figure>'
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

    def _key(self, names: Sequence[str]) -> None:
        """What each colour of a chart means."""
        entries = "".join(
            f'<span class="key"><i style="background:var(--c{number % COLOURS})"></i>'
            f"{html.escape(name)}</span>"
            for number, name in enumerate(names)
        )
        if entries:
            self._parts.append(f"<p>{entries}</p>")

    def _figure(self, kind: str, data: bytes, alt: str, caption: str) -> None:
        source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._parts.append(
            f'<figure><img src="{source}" alt="{html.escape(alt, quote=True)}">{below}</figure>'
        )


def _x(share: float) -> float:
    """Where a share of 0..1 is across a chart of curves."""
    return 40 + share * (CHART_WIDTH - 56)


def _y(share: float) -> float:
    """Where a share of 0..1 is down a chart of curves; 1 is at the top."""
    return 26 + (1 - share) * (CHART_HEIGHT - 66)
