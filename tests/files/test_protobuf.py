"""The wire format of Protocol Buffers, by the examples of its definition, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from layerline.files import protobuf
from layerline.files.protobuf import BYTES, FLOAT, INTEGER, TEXT, WireFault, decoded, encoded, many, one


@dataclass(frozen=True)
class Inner:
    """Test1 of the definition."""

    a: int = one(1, INTEGER, 0)


@dataclass(frozen=True)
class Outer:
    """Every kind of field."""

    inner: Inner | None = one(3, Inner, None)
    text: str = one(2, TEXT, "")
    packed: tuple[int, ...] = many(6, INTEGER, packed=True)
    plain: tuple[int, ...] = many(7, INTEGER, most=3)
    floats: tuple[float, ...] = many(8, FLOAT)
    content: bytes = one(9, BYTES, b"")
    several: tuple[Inner, ...] = many(10, Inner)


PUBLISHED = {
    "089601": Inner(150),
    "1207" + b"testing".hex(): Outer(text="testing"),
    "1a03089601": Outer(Inner(150)),
    "3206038e029ea705": Outer(packed=(3, 270, 86942)),
}
"""Bytes in the definition, https://protobuf.dev/programming-guides/encoding → the message."""


@pytest.mark.parametrize("content", PUBLISHED)
def test_published_examples(content: str) -> None:
    """They are written and read as the definition has them."""
    message = PUBLISHED[content]
    assert encoded(message).hex() == content
    assert decoded(type(message), bytes.fromhex(content)) == message


def test_every_kind_is_read_as_it_was_written() -> None:
    """Negative numbers have ten bytes; bytes are read as a view."""
    message = Outer(Inner(-1), "ä☃", (0, -5, 2**63 - 1), (1, 2), (1.5, -0.25), b"\0\xff", (Inner(), Inner(7)))
    found = decoded(Outer, encoded(message))
    assert found == message
    assert bytes(found.content) == b"\0\xff"


def test_packed_and_plain_are_both_read() -> None:
    """Whichever way numbers are declared, and mixed."""
    assert decoded(Outer, bytes.fromhex("3003300132020405")).packed == (3, 1, 4, 5)
    assert decoded(Outer, bytes.fromhex("3a0201023803")).plain == (1, 2, 3)
    assert decoded(Outer, bytes.fromhex("42080000803f00000040")).floats == (1.0, 2.0)


def test_unknown_fields_are_skipped() -> None:
    """Of every wire type."""
    unknown = bytes.fromhex("a00601a1060000000000000000a20602ffffa50600000000")
    assert decoded(Outer, unknown + encoded(Outer(text="x"))) == Outer(text="x")


def test_the_last_of_several_values_counts() -> None:
    """Of a field that has one."""
    assert decoded(Inner, bytes.fromhex("08010802")) == Inner(2)


REFUSED = {
    "08": "ends within a number",
    "0880": "ends within a number",
    "08" + "ff" * 10 + "01": "more than 64 bits",
    "08" + "ff" * 9 + "7f": "more than 64 bits",
    "0000": "0 is not the number of a field",
    "0b": "unknown wire type 3",
    "0e": "unknown wire type 6",
    "12ffffffff07": "declares 2,147,483,647 bytes, but 0 follow",
    "1205": "declares 5 bytes, but 0 follow",
    "1201ff": "utf-8",
    "1a020880": "ends within a number",
    "1801": "Outer.inner is not a message",
    "10aa01": "found wire type 0, expected 2",
    "4a020101" + "48": "ends within a number",
    "4203000000": "not a whole number of values",
    "3801380138013801": "more than 3 values of plain",
}


@pytest.mark.parametrize("content", REFUSED)
def test_damaged_bytes_are_refused(content: str) -> None:
    """With what is wrong, and where."""
    with pytest.raises(WireFault, match=REFUSED[content]):
        decoded(Outer, bytes.fromhex(content))


def test_every_prefix_is_read_or_refused() -> None:
    """A file that was cut off anywhere raises nothing else."""
    content = encoded(Outer(Inner(150), "testing", (1, 300), (1, 2), (1.5,), b"abc", (Inner(1), Inner(2))))
    outcomes = set()
    for end in range(len(content)):
        try:
            decoded(Outer, content[:end])
            outcomes.add("read")
        except WireFault:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_the_depth_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in messages are read to a depth, so that no file exhausts the stack."""
    content = encoded(Outer(Inner(150)))
    assert decoded(Outer, content) == Outer(Inner(150))
    monkeypatch.setattr(protobuf, "DEEPEST", 0)
    with pytest.raises(WireFault, match="nested more than 0 deep"):
        decoded(Outer, content)


def test_the_number_of_fields_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown fields and packed numbers count, too."""
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 10)
    for content in ("a00601" * 11, "320b" + "01" * 11, "422c" + "00" * 44):
        with pytest.raises(WireFault, match="more than 10 fields"):
            decoded(Outer, bytes.fromhex(content))
    assert len(decoded(Outer, bytes.fromhex("3209" + "01" * 9)).packed) == 9
