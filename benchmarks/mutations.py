"""Slightly mutated bytes: one or several changes, of kinds that occur accidentally or are malicious."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_SIZES: Final = (
    0, 1, 2, 7, 127, 128, 255, 256, 1000, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1,
)  # fmt: skip
_NUMBERS: Final = (
    b"0", b"1", b"-1", b"2", b"255", b"65536", b"2147483647", b"4294967296", b"9223372036854775808", b"1e308",
    b"-1e400", b"1e-320", b"nan", b"inf", b"NaN", b"Infinity", b"null", b"true", b'"1"', b"0x10", b"1" * 5000,
    b"0.5", b"1.5", b"{}", b"[]", b"10000000",
)  # fmt: skip
_TEXTS: Final = (
    b"", b"\0", b"\n", b"\r\n", b"\xff\xfe", b"\xef\xbb\xbf", "\u00e9\u4f60\U0001f600".encode(), b"\xed\xa0\x80",
    b"../../etc/passwd", b"\x1b[31m", b"%n%s", b"${HOME}", b"{0.__class__}", b"a" * 70000, b'"', b"'", b"\\", b"=",
    b",", b"#", b"[" * 3000, b"{" * 3000, b"a." * 3000, b"(" * 3000, b"<", b"\t" * 1000, b"\xc2\xa0",
    b"__import__('os')",
)  # fmt: skip
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?")
_MOST: Final = 2**22
"""Maximum size of a mutated file in bytes; larger ones are covered by named tests."""


def changed(random: Random, content: bytes, others: tuple[bytes, ...] = ()) -> bytes:
    """Return the bytes with one change, often a few, rarely many. others: sources for spliced pieces."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 5, 20))):
        content = _once(random, content, others)[:_MOST]
    return content


def _once(random: Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
    change = random.choice((_bit, _byte, _size, _size, _cut, _drop, _repeat, _insert, _number, _number, _swap, _line))
    if others and random.random() < 0.1:
        return _spliced(random, content, random.choice(others))
    return change(random, content)


def _place(random: Random, content: bytes) -> int:
    """Return a random position, favoring the ends and the first bytes."""
    near = min(len(content), 64)
    return random.choice(
        (random.randint(0, near), len(content) - random.randint(0, near), random.randint(0, len(content)))
    )


def _put(content: bytes, at: int, piece: bytes, over: int) -> bytes:
    return content[:at] + piece + content[at + over :]


def _bit(random: Random, content: bytes) -> bytes:
    at = _place(random, content)
    return _put(content, at, bytes([content[at] ^ 1 << random.randrange(8)]), 1) if at < len(content) else content


def _byte(random: Random, content: bytes) -> bytes:
    return _put(content, _place(random, content), random.randbytes(random.choice((1, 1, 2, 4))), 1)


def _size(random: Random, content: bytes) -> bytes:
    width = random.choice((1, 2, 4, 8))
    value = random.choice(_SIZES) % 256**width
    return _put(content, _place(random, content), value.to_bytes(width, random.choice(("little", "big"))), width)


def _cut(random: Random, content: bytes) -> bytes:
    return content[: _place(random, content)]


def _drop(random: Random, content: bytes) -> bytes:
    return _put(content, _place(random, content), b"", random.choice((1, 2, 8, 100, 1000)))


def _repeat(random: Random, content: bytes) -> bytes:
    at, length = _place(random, content), random.choice((1, 2, 4, 16, 100, 1000))
    return _put(content, at, content[at : at + length] * random.choice((2, 2, 3, 50, 1000)), length)


def _insert(random: Random, content: bytes) -> bytes:
    return _put(content, _place(random, content), random.choice(_TEXTS), random.choice((0, 0, 1, 8)))


def _number(random: Random, content: bytes) -> bytes:
    """Return the bytes with a textual number replaced."""
    start = random.randrange(max(1, len(content)))
    found = _NUMBER.search(content, start) or _NUMBER.search(content)
    if found is None:
        return _insert(random, content)
    return _put(content, found.start(), random.choice(_NUMBERS), found.end() - found.start())


def _swap(random: Random, content: bytes) -> bytes:
    a, b, c = sorted(_place(random, content) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _line(random: Random, content: bytes) -> bytes:
    """Return the bytes with one line removed, duplicated, or moved."""
    lines = content.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    for _ in range(random.randrange(3)):
        lines.insert(random.randint(0, len(lines)), line)
    return b"\n".join(lines)


def _spliced(random: Random, content: bytes, other: bytes) -> bytes:
    at, start, length = _place(random, content), _place(random, other), random.choice((8, 64, 1000, 10**6))
    return _put(content, at, other[start : start + length], random.choice((0, length)))
