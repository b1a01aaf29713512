"""Cached features: nothing is computed twice, and nothing is believed that is not exactly what was stored."""

from __future__ import annotations

import dataclasses
import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from test_frozen_features import DATA, FROZEN, HEAD, PLAIN, network, same

from layerline.data.augment.augmentation import Augmentation
from layerline.data.dataset import ImageSet, Scaling, Split
from layerline.engines import feature_cache, feature_store
from layerline.engines.compiled import CompiledEngine
from layerline.engines.epoch import plan_epoch
from layerline.engines.frozen_features import FeatureEngine
from layerline.engines.interface import State
from layerline.engines.predictor import Predictor
from layerline.files.private import Unfinished

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.engines.interface import Engine
    from layerline.recipe import Recipe


@pytest.fixture(autouse=True)
def _everything_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "WORTH", 0)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by each image whose features are computed."""
    seen: list[int] = []
    values = Predictor.values

    def counted(self: Predictor, weights: Any, images: Any, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        seen.extend(indices.tolist())
        return values(self, weights, images, indices)

    monkeypatch.setattr(Predictor, "values", counted)
    return seen


def split(folder: Path | None, change: tuple[int, ...] = (), order: NDArray[np.int64] | None = None) -> Split:
    """Return the training images, cached in a folder; with a pixel of some changed, or in another order."""
    pixels = DATA.train.images.copy()
    pixels[list(change), 0, 3, 3] ^= 1
    labels = DATA.train.labels
    if order is not None:
        pixels, labels = np.ascontiguousarray(pixels[order]), labels[order]
    return Split(ImageSet(pixels, labels, cache=folder), np.arange(len(labels), dtype=np.int64))


def trained(on: Split, recipe: Recipe = PLAIN, threads: int = 2, **changed: Any) -> Engine:
    """Return an engine after two epochs; changed: other frozen weights, or another scaling."""
    engine = FeatureEngine(network(), changed.get("scaling", DATA.scaling), recipe, threads)
    if "weight" in changed:
        state = engine.state()
        first = next(iter(state.weights))
        engine.set_state(State({**state.weights, first: state.weights[first] * changed["weight"]}, state.optimizer))
    for number in (1, 2):
        engine.train(plan_epoch(recipe, on, number, 10), 0)
    return engine


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_the_second_training_computes_nothing(tmp_path: Path, computed: list[int]) -> None:
    """Its bits are those of a training without a cache; with other threads, and images in another order, too."""
    plain = trained(split(None))
    assert files(tmp_path) == []
    computed.clear()
    first = trained(split(tmp_path / "cache"))
    n = len(DATA.train)
    assert len(computed) == n
    assert len(files(tmp_path / "cache")) == 1
    for threads in (1, 3):
        again = trained(split(tmp_path / "cache"), threads=threads)
        for one in (first, again):
            assert same(one.state().weights, plain.state().weights)
    trained(split(tmp_path / "cache", order=np.arange(n)[::-1]))
    assert len(computed) == n
    assert len(files(tmp_path / "cache")) == 1


def test_only_what_is_new_is_computed(tmp_path: Path, computed: list[int]) -> None:
    """Changed images are computed and stored; with other weights, another scaling or mirrored, all are."""
    trained(split(tmp_path))
    for n, changes in ((2, {"change": (3, 9)}), (0, {"change": (3, 9)})):
        computed.clear()
        engine = trained(split(tmp_path, **changes))
        assert len(computed) == n
        usual = trained(split(None, **changes))
        assert same(engine.state().weights, usual.state().weights)
    scaling = Scaling((DATA.scaling.scale[0] * 2,), DATA.scaling.shift)
    for changed in ({"weight": 2}, {"scaling": scaling}):
        computed.clear()
        engine = trained(split(tmp_path), **changed)
        assert len(computed) == len(DATA.train)
        assert same(engine.state().weights, trained(split(None), **changed).state().weights)
    flips = dataclasses.replace(PLAIN, augment=Augmentation(flip="alternate"))
    for n in (len(DATA.train), 0):
        computed.clear()
        engine = trained(split(tmp_path), flips)
        assert len(computed) == n
        live = CompiledEngine(network(), DATA.scaling, flips, 2)
        for number in (1, 2):
            live.train(plan_epoch(flips, split(None), number, 10), 0)
        assert same(engine.state().weights, live.state().weights)


def spoiled(path: Path, what: str) -> None:
    content = bytearray(path.read_bytes())
    if what == "link":
        path.rename(path.parent / "elsewhere")
        path.symlink_to(path.parent / "elsewhere")
    elif what == "writable":
        path.chmod(0o666)
    elif what == "folder":
        path.parent.chmod(0o777)
    elif what == "of another key":
        name = path.name[:32]
        path.rename(path.with_name(path.name.replace(name, name[::-1])))
    else:
        place = {"magic": 0, "key": 30, "number": 60, "sum": 70, "digest": 120, "last": len(content) - 1}.get(what)
        if place is not None:
            content[place] ^= 1
        path.write_bytes(content[:-1] if what == "cut" else bytes(content) + b"x" * (what == "longer"))


@pytest.mark.parametrize(
    "what",
    [
        "magic",
        "key",
        "number",
        "sum",
        "digest",
        "last",
        "cut",
        "longer",
        "link",
        "writable",
        "folder",
        "of another key",
    ],
)
def test_what_is_not_exactly_as_stored_is_not_believed(tmp_path: Path, computed: list[int], what: str) -> None:
    """A file that was changed, or that others may have written, is ignored: all features are computed."""
    folder = tmp_path / "cache"
    usual = trained(split(folder))
    (path,) = files(folder)
    spoiled(path, what)
    computed.clear()
    engine = trained(split(folder))
    assert len(computed) == len(DATA.train)
    assert same(engine.state().weights, usual.state().weights)


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """If the first or the second write fails there is no file, and the training is the usual one."""
    left, write = [after], Unfinished.write

    def failing(self: Unfinished, content: bytes) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "full")
        left[0] -= 1
        write(self, content)

    monkeypatch.setattr(Unfinished, "write", failing)
    engine = trained(split(tmp_path))
    assert files(tmp_path) == []
    assert same(engine.state().weights, trained(split(None)).state().weights)


def test_the_least_recently_used_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files together stay below the limit; a set that would be too large is not stored at all."""
    trained(split(tmp_path))
    size = files(tmp_path)[0].stat().st_size
    monkeypatch.setattr(feature_cache, "LIMIT", 5 * size // 2)
    (first,) = files(tmp_path)
    trained(split(tmp_path), weight=2)
    (second,) = set(files(tmp_path)) - {first}
    for seconds, path in ((1_000, first), (2_000, second)):
        os.utime(path, (seconds, seconds))
    trained(split(tmp_path))  # uses the first
    trained(split(tmp_path), weight=3)
    assert first in files(tmp_path)
    assert second not in files(tmp_path)
    assert len(files(tmp_path)) == 2
    monkeypatch.setattr(feature_cache, "LARGEST", size // 2)
    trained(split(tmp_path), weight=4)
    assert len(files(tmp_path)) == 2


def test_a_few_images_are_not_worth_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work below the threshold is neither looked for nor stored."""
    monkeypatch.setattr(feature_store, "WORTH", 1 << 40)
    trained(split(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_what_a_stopped_training_computed_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    """After a stop among the features, the next run computes only the others."""
    engine = FeatureEngine(network(FROZEN + HEAD), DATA.scaling, PLAIN, 2)
    values = Predictor.values

    def stopping(self: Predictor, weights: Any, images: Any, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        if len(computed) >= 40:
            engine.stop()
        return values(self, weights, images, indices)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "values", stopping)
        patch.setattr(feature_store, "WORK", 1)
        assert engine.train(plan_epoch(PLAIN, split(tmp_path), 1, 10), 0) == 0
    done = len(computed)
    assert 40 <= done < len(DATA.train)
    trained(split(tmp_path))
    assert len(computed) == len(DATA.train)
