"""Pictures of pages, small: a browser's PNG with at most 256 colours, packed as tightly as it goes.

Knows of PNG what Chromium writes: eight bits a channel, not interlaced.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

Colour = tuple[int, int, int]
Row = list[Colour]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}  # by the kind of colour: RGB, and RGB with how opaque it is
_COLOURS, _FREQUENT = 256, 160
_FAR = 150


def small(png: bytes) -> bytes:
    """Return the picture *png* in 256 of its colours; others become the nearest."""
    rows = read(png)
    colours = Counter(colour for row in rows for colour in row)
    palette = _palette([colour for colour, _ in colours.most_common()])
    index = {colour: place for place, colour in enumerate(palette)}
    index |= {colour: _nearest(colour, palette) for colour in colours if colour not in index}
    lines = b"".join(b"\0" + bytes(index[colour] for colour in row) for row in rows)
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    parts = {
        b"IHDR": head,
        b"PLTE": b"".join(map(bytes, palette)),
        b"IDAT": zlib.compress(lines, 9),
        b"IEND": b"",
    }
    return _SIGNATURE + b"".join(_chunk(name, content) for name, content in parts.items())


def _palette(colours: list[Colour]) -> list[Colour]:
    """Return most of *colours* that are frequent, and then those that are like none of them.

    A mark is small, and its colour means something.
    """
    chosen = colours[:_FREQUENT]
    for colour in colours[_FREQUENT:]:
        if len(chosen) < _COLOURS and _distance(colour, chosen[_nearest(colour, chosen)]) > _FAR:
            chosen.append(colour)
    return chosen


def read(png: bytes) -> list[Row]:
    """Return the colours of a picture, row by row."""
    parts = list(_chunks(png))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    assert (depth, interlaced) == (8, 0)
    step = _CHANNELS[kind]
    packed = zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))
    length, before, rows = width * step, bytes(width * step), []
    for start in range(0, height * (length + 1), length + 1):
        line = packed[start + 1 : start + 1 + length]
        before = _plain(packed[start], line, before, step)
        rows.append(list(zip(before[::step], before[1::step], before[2::step], strict=True)))
    return rows


def _plain(way: int, line: bytes, above: bytes, step: int) -> bytes:
    """Undo what a line was written as: each byte less one that was guessed from its neighbours."""
    if way == 0:
        return line
    done = bytearray(line)
    for place in range(len(line)):
        left = done[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        guess = (0, left, above[place], (left + above[place]) // 2, 0)[way]
        if way == 4:  # Paeth's, which looks at all three
            guess = _paeth(left, above[place], corner)
        done[place] = (done[place] + guess) & 255
    return bytes(done)


def _paeth(left: int, above: int, corner: int) -> int:
    likely = left + above - corner
    return min((left, above, corner), key=lambda one: abs(likely - one))


def _nearest(colour: Colour, palette: list[Colour]) -> int:
    far = [_distance(colour, other) for other in palette]
    return far.index(min(far))


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert png.startswith(_SIGNATURE)
    place = len(_SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
