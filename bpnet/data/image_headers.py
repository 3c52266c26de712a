"""What the first bytes of an image file say of it, without decoding it."""

from collections.abc import Iterator
from typing import Literal

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
TIFF_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
TIFF_WIDTH, TIFF_HEIGHT, TIFF_ORIENTATION = 0x100, 0x101, 0x112
# Start-of-frame markers, which hold the size; C4, C8 and CC between them are something else.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def pixel_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG, PNG, TIFF or GIF; None where they cannot be told."""
    if data.startswith(JPEG_START):
        return jpeg_size(data)
    if data.startswith(PNG_START):
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if data.startswith(b"GIF8"):
        return int.from_bytes(data[8:10], "little"), int.from_bytes(data[6:8], "little")
    tags = _tiff_tags(data)
    if TIFF_WIDTH in tags and TIFF_HEIGHT in tags:
        return tags[TIFF_HEIGHT], tags[TIFF_WIDTH]
    return None


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation, 1 to 8, of a PNG or WebP; 1 where none is given."""
    chunks = _png_chunks(data) if data.startswith(PNG_START) else _riff_chunks(data)
    for kind, content in chunks:
        if kind in (b"eXIf", b"EXIF"):
            found = _tiff_tags(content.removeprefix(b"Exif\0\0")).get(TIFF_ORIENTATION, 1)
            return found if 1 <= found <= 8 else 1
    return 1


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG, from its start-of-frame segment; None where there is none."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in JPEG_FRAMES:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            return height, int.from_bytes(data[place + 7 : place + 9], "big")
        # A marker may be padded with any number of FF; other segments say how long they are.
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        place += 1 if marker == 0xFF else 2 + length
    return None


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(PNG_START)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those of a WebP file."""
    if not (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return
    place = 12
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        yield data[place : place + 4], data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _tiff_tags(data: bytes) -> dict[int, int]:
    """The whole-number tags with one value in a TIFF's first directory."""
    order = TIFF_ORDERS.get(data[:4])
    if order is None:
        return {}

    def number(place: int, size: int) -> int:
        return int.from_bytes(data[place : place + size], order)

    start = number(4, 4)
    tags = {}
    for entry in range(start + 2, min(start + 2 + 12 * number(start, 2), len(data) - 11), 12):
        size = {3: 2, 4: 4}.get(number(entry + 2, 2))  # SHORT, LONG
        if size is not None and number(entry + 4, 4) == 1:
            tags[number(entry, 2)] = number(entry + 8, size)
    return tags
