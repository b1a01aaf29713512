"""What a training run's bits depend on besides its state: runs with the same identity can resume each other."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from layerline.errors import RecipeError
from layerline.files.versions import versions
from layerline.numbers import display
from layerline.recipe import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerline.data.dataset import Dataset, Split
    from layerline.engines.interface import Engine
    from layerline.network import Network
    from layerline.network.start import Start
    from layerline.recipe import Recipe

_VERSIONS: Final = ("layerline", "llvmlite")
"""The packages that determine the machine code."""


@dataclass(frozen=True)
class Identity:
    """The network, data, recipe and engine of a training run, as plain values."""

    network: str
    """The text of the network file."""
    data: Mapping[str, object]
    cuts: Mapping[str, object]
    """The options of the splits, only for messages; `data` decides whether the splits are the same."""
    recipe: Mapping[str, object]
    engine: Mapping[str, object]
    start: str | None = None
    """The digest of the weights that it started from; None if they were drawn, as in checkpoints of older versions."""

    @classmethod
    def of(
        cls, network: Network, data: Dataset, recipe: Recipe, engine: Engine, start: Start | None = None
    ) -> Identity:
        """Return the identity of a training run."""
        facts = {key: value for key, value in engine.facts().items() if key not in ("threads", "ranks")}
        found = versions()
        made = {key: found[key] for key in _VERSIONS if key in found}
        return cls.read(
            json.dumps(
                {
                    "network": network.text,
                    "data": _data(data),
                    "cuts": dict(data.cuts),
                    "recipe": recipe.as_dict(),
                    "engine": {"engine": engine.name, **facts, **made},
                    "start": None if start is None else start.digest,
                }
            )
        )

    @classmethod
    def read(cls, text: str) -> Identity:
        """Return the identity from its JSON text. Raises TypeError or ValueError if it is not valid."""
        found = cls(**json.loads(text))
        tables = (found.data, found.cuts, found.recipe, found.engine)
        if not isinstance(found.network, str) or not all(isinstance(table, dict) for table in tables):
            raise TypeError("its identity must be a network text and four tables")
        if not isinstance(found.start, str | None):
            raise TypeError("its start must be a digest")
        if not isinstance(found.data.get("classes"), list):
            raise TypeError("its identity has no classes")
        return found

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes."""
        return list(map(str, cast("list[object]", self.data["classes"])))

    @property
    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))

    def differences(self, kept: Identity) -> list[str]:
        """Return what this has that `kept` has not, a sentence each; none where one can go on from the other."""
        return [
            *_network_differences(self.network, kept.network),
            *_data_differences(self, kept),
            *_differing(_as_now(self.recipe), _as_now(kept.recipe), flags=True),
            *_differing(self.engine, _engine_as_now(kept.engine), flags=False),
            *_start_differences(self.start, kept.start),
        ]


def _data(data: Dataset) -> dict[str, object]:
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "shape": list(data.shape),
        "scaling": [list(data.scaling.scale), list(data.scaling.shift)],
        "splits": {name: None if split is None else _digest(split) for name, split in splits.items()},
    }


def _digest(split: Split) -> str:
    """Return the SHA-256 of which images a split has, in which order, under which labels."""
    found = hashlib.sha256(split.indices.astype("<i8").tobytes())
    found.update(split.labels.astype("<i4").tobytes())
    return found.hexdigest()


def _network_differences(text: str, kept: str) -> Iterator[str]:
    """Yield a sentence about the first line that differs, if any."""
    for number, (line, before) in enumerate(
        itertools.zip_longest(text.splitlines(), kept.splitlines(), fillvalue="missing"), start=1
    ):
        if line != before:
            yield f"network: line {number} is {display.name(line.strip(), 40)}, was {display.name(before, 40)}"
            return


def _start_differences(now: str | None, kept: str | None) -> list[str]:
    """Return whether the initial weights differ."""
    if now == kept:
        return []
    texts = ["drawn from the seed" if digest is None else f"{digest[:12]}… (SHA-256)" for digest in (now, kept)]
    return [f"start: the initial weights are {texts[0]}, were {texts[1]}"]


def _data_differences(now: Identity, kept: Identity) -> list[str]:
    """Return how the data differs; if its content is the same, the split options that differ."""
    if now.data == kept.data:
        return []
    print_now, print_kept = (str(each.data.get("fingerprint"))[:12] for each in (now, kept))
    if print_now != print_kept:
        name = display.name(str(now.data["name"]))
        return [f"data: the content of {name} is {print_now}… (SHA-256), was {print_kept}…"]
    if found := _differing(now.cuts, kept.cuts, flags=True):
        return found
    if now.classes != kept.classes:
        return [f"data: has {len(now.classes)} classes, had {len(kept.classes)}, or their names differ"]
    return ["data: the training, validation or test images are different"]


def _as_now(recipe: Mapping[str, object]) -> Mapping[str, object]:
    """Return a recipe with today's values, and its augmentation, which older versions stored as typed, in order."""
    recipe = {"backbone_rate": 1.0, **recipe}
    if "augment" not in recipe:
        return recipe
    try:
        return {**recipe, "augment": words.written("augment", words.augmentation(recipe["augment"]))}
    except RecipeError:
        return recipe  # not valid: reported as a difference


def _engine_as_now(engine: Mapping[str, object]) -> Mapping[str, object]:
    """Return an engine with all its facts: the torch engine of older versions was on the CPU, in float32."""
    return {"device": "cpu", "precision": "float32", **engine} if engine.get("engine") == "torch" else engine


def _differing(now: Mapping[str, object], kept: Mapping[str, object], *, flags: bool) -> list[str]:
    """Return a sentence for each key whose value differs."""
    sentences = []
    for key in sorted({*now, *kept}):
        if now.get(key) != kept.get(key):
            name = f"--{key.replace('_', '-')}" if flags else f"{key}:"
            sentences.append(f"{name} {_text(now.get(key))}, was {_text(kept.get(key))}")
    return sentences


def _text(value: object) -> str:
    if isinstance(value, list):
        return display.name(",".join(map(str, value)), 60)
    return "none" if value is None else display.name(str(value), 60)
