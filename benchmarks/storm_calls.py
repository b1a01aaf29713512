"""Calls of all kinds, with expected answers computed in a single thread without interrupts."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import shutil
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

import layerline
from layerline.sklearn import ConvNetClassifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

NETWORKS: Final = (
    ("Flat\nFC 16\nReLU\nFC classes\n", 8),
    ("Conv 4 3 1 1\nBatchNorm\nReLU\nMaxPool 2\nFlat\nFC classes\n", 8),
    ("Conv 24 3 1 1\nReLU\nMaxPool 2\nConv 32 3 1 1\nReLU\nMaxPool 2\nFlat\nFC classes\n", 28),
)
RECIPES: Final[tuple[dict[str, Any], ...]] = (
    {"optimizer": "sgd", "learning_rate": 0.02, "batch_size": 20, "epochs": 2},
    {"optimizer": "adamw", "learning_rate": 0.002, "batch_size": 7, "epochs": 3, "augment": "shift=1"},
)
IMAGES: Final = 5000
ESTIMATOR: Final = "Conv 3 3 1 1\nReLU\nMaxPool 2\nFlat\nFC classes\n"
LONGEST: Final = 16
"""Epochs of partial_fit with known answers."""


COPIED: Final[tuple[Callable[[Any], Any], ...]] = (
    copy.copy,
    copy.deepcopy,
    lambda each: pickle.loads(pickle.dumps(each)),  # noqa: S301 - our own data
)


class WrongError(AssertionError):
    """An answer differs from the expected one."""


def same(found: Any, known: Any, what: str) -> None:
    """Raise WrongError if two arrays are not bit-identical."""
    if found.shape != known.shape or found.tobytes() != np.ascontiguousarray(known).tobytes():
        rows = "different shape"
        if found.shape == known.shape:
            rows = f"{int((found != known).any(axis=tuple(range(1, found.ndim))).sum())} of {len(found)} rows"
        raise WrongError(f"{what}: wrong, {rows}")


def digest(run: layerline.Run) -> str:
    """Return the data by which two runs are compared for bit-identical results."""
    told = hashlib.sha256(b"".join(a.tobytes() for a in run.model.weights.values()))
    told.update(repr([(row.train_loss, row.validation_loss) for row in run.history]).encode())
    told.update(repr((run.result.test_loss, None if run.stopped else run.result.intervals)).encode())
    return told.hexdigest()


class Calls:
    """Objects shared by the calls, and their expected answers."""

    def __init__(self, scratch: Path, pause: Callable[[], None]) -> None:
        """Compute all answers in this thread, with one thread. pause: stops the interrupts in a forked child."""
        self.scratch, self._pause = scratch, pause
        self._number = 0
        self.data = layerline.load_data("digits", limit=200)
        random = np.random.default_rng(7)
        self._folder = scratch / "folder"
        for name in ("cat", "dog"):
            (self._folder / name).mkdir(parents=True)
            for k in range(60):
                pixels = random.integers(0, 256, (70, 70, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(self._folder / name / f"{k}.png")
        self._prepare_models(random)
        for prepare in (self._prepare_trainings, self._prepare_estimators):
            prepare()
            print("prepared", flush=True)  # the supervisor treats silence as a hang
        self._loaded = {name: self._load_digest(name) for name in ("folder", "digits")}
        self.kinds = {
            "predict_proba": self._predict_proba,
            "predict": self._predict,
            "predict of a new model": self._predict_of_new,
            "evaluate": self._evaluate,
            "train": self._train,
            "train with out=": self._train_out,
            "train with a chosen rate": self._train_chosen,
            "estimator fit": self._fit,
            "estimator partial_fit": self._partial_fit,
            "estimator shared": self._use_shared,
            "load_data": self._load,
            "save and load": self._save,
            "copies": self._copies,
            "fork": self._fork,
        }
        self.weights = dict.fromkeys(self.kinds, 3) | {
            "predict_proba": 10,
            "predict of a new model": 5,
            "estimator partial_fit": 6,
            "train with out=": 1,
            "train with a chosen rate": 1,
            "fork": 1,
        }
        self.seconds = dict.fromkeys(self.kinds, 0.05)

    def _prepare_models(self, random: np.random.Generator) -> None:
        self.models, self.images, self.known, self.floats = [], [], [], []
        for text, size in NETWORKS:
            given = random.integers(0, 256, (IMAGES, 1, size, size), dtype=np.uint8)
            network = layerline.parse(text, input_shape=(1, size, size), classes=10)
            weights = {
                name: (random.standard_normal(w.shape) * 0.1).astype(w.dtype)
                if w.dtype != "int64"
                else np.zeros(w.shape)
                for name, w in network.weights.items()
            }
            for name in weights:
                if name.endswith("running_var"):
                    weights[name] = np.abs(weights[name]) + 1
            scaling = self.data.scaling
            whole = layerline.Model(network, tuple("0123456789"), scaling, weights, threads=1)
            self.models.append(layerline.Model(network, tuple("0123456789"), scaling, weights))
            self.images.append(given)
            self.known.append(whole.predict_proba(given))
            self.floats.append(whole.predict_proba(given.astype(np.float32)))

    def _prepare_trainings(self) -> None:
        self._networks = [layerline.parse(text, self.data) for text, size in NETWORKS if size == 8]
        self._trained: dict[tuple[int, int | str], str] = {}
        self._predicted: dict[tuple[int, int], Any] = {}
        self._tested: dict[tuple[int, int], tuple[layerline.Model, str]] = {}
        assert self.data.test is not None  # noqa: S101 - digits have one
        self._test_images = self.data.test.source.images
        for n, network in enumerate(self._networks):
            for r, recipe in enumerate(RECIPES):
                run = layerline.train(network, self.data, **recipe, threads=1)
                self._trained[n, r] = digest(run)
                self._predicted[n, r] = run.model.predict_proba(self._test_images)
                self._tested[n, r] = (run.model, self._test_digest(run.model))
            run = layerline.train(network, self.data, epochs=1, batch_size=20, optimizer="sgd", threads=1)
            self._trained[n, "chosen"] = digest(run)

    def _test_digest(self, model: layerline.Model) -> str:
        told = [model.evaluate(self.data, which, baselines=False) for which in ("test", "all")]
        return repr([(t.test_loss, repr(t.confusion), t.intervals) for t in told])

    def _prepare_estimators(self) -> None:
        X = self.data.train.source.images[:300]
        self.X, self.y = X, np.asarray(self.data.train.source.labels[:300])
        self._fitted = self.estimator(1).fit(self.X, self.y)
        self._states = [self._fitted.predict_proba(self.X)]
        going = pickle.loads(pickle.dumps(self._fitted))  # noqa: S301 - our own data
        for _ in range(LONGEST):
            self._states.append(going.partial_fit(self.X, self.y).predict_proba(self.X))
        self._own = threading.local()
        self._shared = copy.deepcopy(self._fitted)

    def estimator(self, threads: int | None) -> ConvNetClassifier:
        """Return a new estimator."""
        return ConvNetClassifier(ESTIMATOR, epochs=2, batch_size=16, optimizer="sgd", threads=threads)

    def _path(self) -> Path:
        self._number += 1
        return self.scratch / f"{os.getpid()}-{threading.get_ident()}-{self._number}"

    def some(self, rng: Random, model: layerline.Model | None = None, n: int | None = None) -> None:
        """Predict some images with one of the models, or with a given one of weights n, and compare."""
        if n is None:
            n = rng.randrange(len(self.models))
        model = model or self.models[n]
        count = int(IMAGES ** rng.random()) if rng.random() < 0.7 else rng.randint(1, IMAGES)
        start = rng.randint(0, IMAGES - count)
        chosen = self.images[n][start : start + count]
        known = self.known[n]
        if rng.random() < 0.25:
            chosen, known = chosen.astype(np.float32), self.floats[n]
        same(model.predict_proba(chosen), known[start : start + count], f"predict_proba, network {n}, {count} images")

    def _predict_proba(self, rng: Random) -> None:
        self.some(rng)

    def _predict(self, rng: Random) -> None:
        n = rng.randrange(len(self.models))
        count = rng.randint(1, IMAGES)
        names = self.models[n].predict(self.images[n][:count])
        same(
            names,
            np.asarray(self.models[n].classes).astype(names.dtype)[self.known[n][:count].argmax(axis=1)],
            "predict",
        )

    def _predict_of_new(self, rng: Random) -> None:
        n = rng.randrange(len(self.models))
        old = self.models[n]
        if rng.random() < 0.3:
            self.models[n] = layerline.Model(old.network, old.classes, old.scaling, old.weights)
            self.some(rng, n=n)  # other threads see it meanwhile
        else:
            threads = rng.choice((1, 2, 3))
            model = layerline.Model(old.network, old.classes, old.scaling, old.weights, threads=threads)
            self.some(rng, model, n)
            self.some(rng, model, n)

    def _evaluate(self, rng: Random) -> None:
        model, known = self._tested[rng.choice(sorted(self._tested))]
        if self._test_digest(model) != known:
            raise WrongError("evaluate: wrong")

    def _train(self, rng: Random) -> None:
        key = rng.choice(sorted(self._tested))
        run = layerline.train(self._networks[key[0]], self.data, **RECIPES[key[1]], threads=rng.choice((None, 1, 2, 3)))
        if run.stopped is None and digest(run) != self._trained[key]:
            raise WrongError(f"train {key}: not bit-identical")

    def _train_out(self, rng: Random) -> None:
        key = rng.choice(sorted(self._tested))
        path = self._path()
        try:
            run = layerline.train(self._networks[key[0]], self.data, **RECIPES[key[1]], out=path)
            if run.stopped is None:
                if digest(run) != self._trained[key]:
                    raise WrongError(f"train {key} with out=: not bit-identical")
                same(layerline.load(path).predict_proba(self._test_images), self._predicted[key], "the run's model")
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _train_chosen(self, rng: Random) -> None:
        n = rng.randrange(len(self._networks))
        run = layerline.train(self._networks[n], self.data, epochs=1, batch_size=20, optimizer="sgd")
        if run.stopped is None and digest(run) != self._trained[n, "chosen"]:
            raise WrongError(f"train {n} with a chosen rate: not bit-identical")

    def _fit(self, rng: Random) -> None:
        found = self.estimator(rng.choice((None, 1, 2))).fit(self.X, self.y)
        same(found.predict_proba(self.X), self._states[0], "fit")

    def check(self, estimator: ConvNetClassifier, what: str) -> None:
        """Raise WrongError if an estimator is between two of its states."""
        same(estimator.predict_proba(self.X), self._states[len(estimator.history_) - 2], what)

    def _partial_fit(self, rng: Random) -> None:
        own = getattr(self._own, "estimator", None)
        if own is not None:  # it may have been interrupted
            self.check(own, "an estimator after partial_fit, finished or interrupted")
        if own is None or len(own.history_) >= 2 + LONGEST:
            how = rng.choice(COPIED)
            own = self._own.estimator = how(self._fitted)
        before = len(own.history_)
        own.partial_fit(self.X, self.y)
        if len(own.history_) != before + 1:
            raise WrongError("partial_fit: no new epoch")
        self.check(own, "partial_fit")

    def _use_shared(self, rng: Random) -> None:
        estimator = self._shared
        if len(estimator.history_) >= 2 + LONGEST - 1:
            self._shared = copy.deepcopy(self._fitted)
        elif rng.random() < 0.5 and len(estimator.history_) < 2 + LONGEST - 8:
            estimator.partial_fit(self.X, self.y)
        found = estimator.predict_proba(self.X)
        if not any(found.tobytes() == known.tobytes() for known in self._states):
            raise WrongError("a shared estimator: predictions match none of its states")

    def _load_digest(self, name: str) -> str:
        data = layerline.load_data(self._folder if name == "folder" else "digits")
        told = hashlib.sha256()
        for split in (data.train, data.validation, data.test):
            if split is not None:
                for array in (split.source.images, split.source.labels, split.indices):
                    told.update(np.ascontiguousarray(array).tobytes())
        return told.hexdigest()

    def _load(self, rng: Random) -> None:
        name = rng.choice(("folder", "folder", "digits"))
        if self._load_digest(name) != self._loaded[name]:
            raise WrongError(f"load_data {name}: different data")

    def _save(self, rng: Random) -> None:
        n = rng.randrange(len(self.models))
        path = self._path().with_suffix(".safetensors")
        try:
            self.models[n].save(path)
            self.some(rng, layerline.load(path), n)
        finally:
            path.unlink(missing_ok=True)

    def _copies(self, rng: Random) -> None:
        how = rng.choice(COPIED)
        n = rng.randrange(len(self.models))
        self.some(rng, how(self.models[n]), n)
        self.check(how(self._fitted), "a copy of an estimator")

    def _fork(self, rng: Random) -> None:
        """Predict and train in a child; the caller reaps it later."""
        if os.fork():
            return
        code = 1
        try:
            self._pause()
            for call in (self._predict_proba, self._train, self._predict_of_new, self._partial_fit):
                call(rng)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def timed(self, kind: str, rng: Random) -> None:
        """Make a call and record about how long it takes."""
        start = time.perf_counter()
        self.kinds[kind](rng)
        self.seconds[kind] = 0.7 * self.seconds[kind] + 0.3 * (time.perf_counter() - start)
