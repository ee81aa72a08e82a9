"""PNG pictures (ISO/IEC 15948), as a browser makes them: their pixels, and a smaller form."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cached_property

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = 256


class Picture:
    """An RGB or RGBA picture with 8 bits a channel, or one of a palette."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        assert data.startswith(_SIGNATURE)
        chunks = list(_chunks(data))
        (self.width, self.height, depth, kind, *_) = struct.unpack(">IIBBBBB", chunks[0][1])
        assert depth == 8
        self._chunks, self._kind = chunks, kind

    @cached_property
    def rows(self) -> list[bytes]:
        """The rows, three octets a pixel. To read them takes seconds."""
        palette = next((body for name, body in self._chunks if name == b"PLTE"), b"")
        channels = {2: 3, 6: 4, 3: 1}[self._kind]
        packed = b"".join(body for name, body in self._chunks if name == b"IDAT")
        rows = _rows(zlib.decompress(packed), self.width * channels, channels)
        if channels == 1:
            found = [b"".join(palette[3 * i : 3 * i + 3] for i in row) for row in rows]
        else:
            found = [_without_alpha(row, channels) for row in rows]
        assert len(found) == self.height
        return found

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """The red, green and blue of a pixel."""
        red, green, blue = self.rows[y][3 * x : 3 * x + 3]
        return red, green, blue

    def colours(self) -> dict[bytes, int]:
        """How often each colour is there."""
        counted = Counter[tuple[int, ...]]()
        for row in self.rows:
            counted.update(zip(row[0::3], row[1::3], row[2::3], strict=True))
        return {bytes(colour): count for colour, count in counted.items()}

    def part_darker_than(self, level: int) -> float:
        """Which part of the pixels is darker than a level of 0 to 255."""
        dark = sum(n for colour, n in self.colours().items() if sum(colour) < 3 * level)
        return dark / (self.width * self.height)


def optimised(picture: Picture) -> bytes:
    """The picture with a palette of its most frequent colours; the others become the nearest."""
    counted = sorted(picture.colours().items(), key=lambda each: -each[1])
    palette = [colour for colour, _ in counted[:_COLOURS]]
    index = {colour: place for place, colour in enumerate(palette)}
    for colour, _ in counted[_COLOURS:]:
        index[colour] = min(range(len(palette)), key=lambda place: _apart(palette[place], colour))
    lines = b"".join(
        b"\0" + bytes(index[row[place : place + 3]] for place in range(0, len(row), 3))
        for row in picture.rows
    )
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 3, 0, 0, 0)
    return _SIGNATURE + b"".join(
        _chunk(name, body)
        for name, body in (
            (b"IHDR", header),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )


def _apart(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(data):
        [length] = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += length + 12


def _without_alpha(row: bytes, channels: int) -> bytes:
    if channels == 3:
        return row
    return b"".join(row[place : place + 3] for place in range(0, len(row), 4))


def _rows(raw: bytes, length: int, step: int) -> Iterator[bytes]:
    """Undo the filters of the rows (section 9)."""
    before = bytearray(length)
    for start in range(0, len(raw), length + 1):
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + length])
        if kind == 1:
            for i in range(step, length):
                row[i] = (row[i] + row[i - step]) & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, before, strict=True))
        elif kind == 3:
            for i in range(length):
                left = row[i - step] if i >= step else 0
                row[i] = (row[i] + (left + before[i]) // 2) & 255
        elif kind == 4:
            for i in range(length):
                left, corner = (row[i - step], before[i - step]) if i >= step else (0, 0)
                row[i] = (row[i] + _paeth(left, before[i], corner)) & 255
        yield bytes(row)
        before = row


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    distances = (abs(guess - left), abs(guess - above), abs(guess - corner))
    return (left, above, corner)[distances.index(min(distances))]
