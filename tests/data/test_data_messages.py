"""Every mistake in data, and what the user is told."""

from __future__ import annotations

import tracemalloc

import pytest
from data_mistakes_options import CASES
from places import GOLDEN
from work import Work

from layerline.data import load_data
from layerline.errors import DataError

MESSAGES = GOLDEN / "data"


@pytest.mark.parametrize("name", CASES)
def test_message_is_the_golden_one(name, golden, tmp_path, monkeypatch):
    """Data that is wrong is refused with the message that was read and found good, and nothing in it is run."""
    monkeypatch.chdir(tmp_path)
    source, options = CASES[name]()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DataError) as caught:
        load_data(source, **options)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    golden(f"data/{name}.txt", caught.value.with_flags)


@pytest.mark.parametrize("name", CASES)
def test_refusal_takes_little_work_and_memory(name, tmp_path, monkeypatch):
    """A refusal takes few calls and under 8 MB, whatever the file declares."""
    monkeypatch.chdir(tmp_path)
    source, options = CASES[name]()
    tracemalloc.start()
    with Work() as work, pytest.raises(DataError):
        load_data(source, **options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert work.calls < 1_000_000
    assert peak < 8_000_000


@pytest.mark.parametrize("path", sorted(MESSAGES.glob("*.txt")), ids=lambda path: path.stem)
def test_message_is_fit_for_a_terminal(path):
    """A message holds nothing a terminal obeys, no line of it is over-long, and its case is there."""
    text = path.read_text(encoding="utf-8")
    assert path.stem in CASES
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    assert max(map(len, text.split("\n"))) <= 220
