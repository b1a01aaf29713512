"""Memory: what a training needs is compared with what there is before it begins."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import small_data

from layerline.engines import make, memory_check
from layerline.engines.memory_check import ADDRESSES_A_THREAD, ADDRESSES_BESIDE, BESIDE, Free, check_memory
from layerline.errors import UserError
from layerline.network import memory, parse
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.engines.interface import Engine

DATA = small_data.dataset(200)
NETWORK = parse("Conv 16 3 1 1\nReLU\nFlat\nFC classes\n", input_shape=DATA.shape, classes=len(DATA.classes))
RECIPE = Recipe(batch_size=64)
PLENTY = 10**12


def engine(recipe: Recipe = RECIPE) -> Engine:
    return make("compiled", NETWORK, DATA.scaling, recipe, threads=2)


def needed(batch_size: int) -> int:
    return engine().memory(DATA.train.source, batch_size)


def test_the_batch_size_that_is_advised_fits() -> None:
    """Where memory is short by a byte: both numbers, and the largest half, quarter, … of the batch size that fits."""
    free = needed(16) + BESIDE
    with pytest.raises(UserError) as caught:
        check_memory(engine(), DATA, RECIPE, Free(free))
    assert str(caught.value).startswith("batch_size=64: training needs 20")
    assert " (200 MB of it whatever the batch size), but only 20" in str(caught.value)
    assert caught.value.help is not None
    assert re.match(r"--batch-size 16 needs 20\d MB", caught.value.help)
    check_memory(engine(), DATA, Recipe(batch_size=16), Free(free))
    with pytest.raises(UserError, match="batch_size=16: training needs"):
        check_memory(engine(), DATA, Recipe(batch_size=16), Free(free - 1))


def test_where_no_batch_fits_the_help_is_another() -> None:
    """What is taken whatever the batch size does not fit: more memory. A single image does not fit: another network."""
    with pytest.raises(UserError) as caught:
        check_memory(engine(), DATA, RECIPE, Free(BESIDE))
    assert caught.value.help == "close other programs, or raise the control group's limit"
    with pytest.raises(UserError) as caught:
        check_memory(engine(), DATA, RECIPE, Free(BESIDE + 1))
    assert str(caught.value.help).startswith("use a network with fewer filters")


def test_a_limit_on_addresses_counts_by_threads() -> None:
    """`ulimit -v` counts stacks and heaps of threads: refused by a byte, with the numbers and how to set it right."""
    beside = ADDRESSES_BESIDE + 2 * ADDRESSES_A_THREAD
    check_memory(engine(), DATA, RECIPE, Free(PLENTY, needed(64) + beside))
    with pytest.raises(UserError) as caught:
        check_memory(engine(), DATA, RECIPE, Free(PLENTY, 100_000_000))
    assert re.fullmatch(
        r"--batch-size 64: training needs 49\d MB of address space \(494 MB of it whatever the batch size\), "
        r"but its limit \(ulimit -v\) leaves only 100 MB",
        caught.value.message,
    )
    assert caught.value.help == "raise that limit, or use fewer --threads"
    with pytest.raises(UserError, match=r"batch_size=64: training needs .* of address space"):
        check_memory(engine(), DATA, RECIPE, Free(PLENTY, needed(64) + beside - 1))


def test_what_is_taken_is_not_asked_for_again() -> None:
    """An engine that has trained and evaluated, to measure a rate, has its memory: what is left may be little."""
    used = engine()
    used.prepare(DATA.train.source)
    with pytest.raises(UserError):
        check_memory(used, DATA, RECIPE, Free(0))  # there is no code to evaluate yet
    used.evaluate(DATA.train)
    check_memory(used, DATA, RECIPE, Free(0))


GROUPS = {
    "version 2": (
        "0::/a/b\n",
        {"a/memory.max": "300", "a/memory.stat": "anon 100\nfile 9\n", "a/b/memory.max": "max"},
        200,
    ),
    "version 2, the inner is less": ("0::/a/b\n", {"a/memory.max": "300", "a/b/memory.max": "150"}, 150),
    "version 2 in a container": ("0::/\n", {"memory.max": "500", "memory.stat": "anon 1\n"}, 499),
    "version 1": (
        "7:cpu:/a\n8:memory,x:/a\n",
        {"memory/a/memory.limit_in_bytes": "300", "memory/a/memory.stat": "rss 5\ntotal_rss 70\n"},
        230,
    ),
    "version 1 in a container": ("8:memory:/docker/1\n", {"memory/memory.limit_in_bytes": "300"}, 300),
    "more is taken than allowed": ("0::/\n", {"memory.max": "500", "memory.stat": "anon 900\n"}, 0),
}
"""What /proc/self/cgroup says, the files of the groups, and how many bytes they leave."""


@pytest.mark.parametrize("case", GROUPS)
def test_the_groups_around_a_process_count(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The least that one of the control groups leaves, wherever in their tree the process is."""
    said, files, free = GROUPS[case]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "said").write_text(said)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "said")
    assert memory.free_bytes() == free


def test_nothing_to_read_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without control groups it is what the machine has available."""
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "none")
    assert 0 < memory.free_bytes() <= memory.machine_bytes()
    assert memory_check.free_addresses() is None or memory_check.free_addresses() > 0
