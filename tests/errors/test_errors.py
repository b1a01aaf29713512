"""Errors cross from one process to another, and are copied, as they are."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest
import small_data

import layerline
from layerline.errors import DivergedError, UnwrittenError, UserError

if TYPE_CHECKING:
    from layerline.training import Run


def below(kind: type) -> list[type]:
    """Return a class and all below it, those that are ours."""
    return [kind, *(each for child in kind.__subclasses__() for each in below(child))]


def kinds() -> list[type]:
    for module in pkgutil.walk_packages(layerline.__path__, "layerline."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = [*below(UserError), *below(DivergedError)]
    return [kind for kind in found if kind.__module__.startswith("layerline")]


@pytest.fixture(scope="module")
def run() -> Run:
    data = small_data.dataset()
    network = layerline.parse("Flat\nFC classes\nSoftmax\n", data)
    return layerline.train(network, data, epochs=2, learning_rate=0.1, threads=1, live=False)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_can_be_pickled_and_copied(kind: type, run: Run) -> None:
    """Class, words, help, notes, every attribute and the run are the same in the copy, in every protocol."""
    values: dict[str, Any] = {
        "message": "here: found this",
        "help": "do that",
        "run": run,
        "name": "cats",
        "parts": ("a", 1),
        "agreed": 3,
        "accepted": 0.02,
    }
    error = kind(**{name: values[name] for name in inspect.signature(kind).parameters})
    error.add_note("a note")
    error.place = 3
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301 - our own
    for other in (*copies, copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), other.args, repr(other)) == (str(error), error.args, repr(error))
        assert vars(other).keys() == vars(error).keys()
        assert (other.message, other.help, other.place) == (error.message, error.help, 3)
        assert other.__notes__ == ["a note"]
        assert _same_run(getattr(other, "run", None), getattr(error, "run", None))


def _same_run(one: Any, two: Any) -> bool:
    """Return whether two runs say the same, with the same weights."""
    if one is None or two is None:
        return one is two
    weights = [{name: each.tobytes() for name, each in run.model.weights.items()} for run in (one, two)]
    return weights[0] == weights[1] and one.history == two.history and repr(one.result) == repr(two.result)


def test_all_are_found() -> None:
    """The walk finds the errors that are public, and those that are not."""
    names = {kind.__name__ for kind in kinds()}
    public = {name for name in layerline.__all__ if name.endswith("Error")}
    assert public | {"FileError", "_OtherVersionError"} <= names


def test_an_unwritten_run_comes_out_of_another_process(run: Run) -> None:
    """The error of a full disk brings its run with it: the training is not lost in a pool of processes."""
    error = pickle.loads(pickle.dumps(UnwrittenError("no room", "make some", run)))  # noqa: S301 - our own
    assert error.run.history == run.history
    assert error.help == "make some"
