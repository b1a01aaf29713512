"""The plain tables of the page: classes, automatic choices, data, layers, and the environment of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from layerline.layers.grammar import times
from layerline.measure.class_rows import lowest
from layerline.network import table
from layerline.numbers import display
from layerline.runs import metrics
from layerline.runs.result import class_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.runs.metrics import Counts
    from layerline.runs.saved import SavedRun

MOST_CLASSES: Final = 500
"""Maximum rows of the table of classes; of more, those with the lowest F1 are shown."""
MOST_LAYERS: Final = 400
MOST_TEXT: Final = 40_000
"""Maximum characters of the network file."""
_MOST_ROWS: Final = 100
_LONGEST: Final = 300
_LONGEST_NOTE: Final = 600
_BATCH: Final = 64
_NAMES: Final = {"cpu": "CPU", "lanes": "vector lanes of the CPU", "fma": "fused multiply-add"}
_NETWORK: Final = "network"
"""The key of the choice of a network, which is an argument of the command and no option."""
_SPLITS: Final = ("train", "validation", "test")


@dataclass(frozen=True)
class ClassLine:
    """A row of the table of classes."""

    name: str
    cells: tuple[str, ...]
    """images, F1, precision, recall, as displayed."""
    keys: tuple[float, ...]
    """The same as numbers to sort by; −1 if there is none."""
    share: float
    """F1, for the bar."""
    confused_with: str
    """The class that it is most often predicted as, if any, and how often."""


def classes(run: SavedRun, confusion: Counts) -> list[ClassLine]:
    """Return one row per class, from the (K, K) counts, row = truth."""
    rows = class_rows(run.classes, confusion)
    confused = {j: (k, count) for j, k, count in reversed(metrics.worst(confusion))}
    found = []
    for k in sorted(lowest(rows, MOST_CLASSES)):
        precision, recall, f1 = rows[k].known
        known, (other, often) = (f1, precision, recall), confused.get(k, (k, 0))
        found.append(
            ClassLine(
                display.name(run.classes[k]),
                (display.count(rows[k].support), *map(display.fraction, known)),
                (float(rows[k].support), *(-1.0 if value is None else round(value, 6) for value in known)),
                f1 or 0.0,
                f"{display.name(run.classes[other], 24)} ({display.count(often)})" if often else "",
            )
        )
    return found


def choices(run: SavedRun, given: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return (name, value, reason, flag) of each automatic choice: those given as (key, reason), else the record's."""
    pairs = list(given) or list(run.record.about.assumed.items())
    values = {**run.record.data, **run.record.train}
    found = []
    for key, why in pairs[:_MOST_ROWS]:
        value = _value(values[key]) if key in values else ""
        flag = "--" + key.replace("_", "-") if key.replace("_", "").isalnum() else ""
        if key == _NETWORK:
            value, flag = run.record.about.network.name or "", "NET"
        found.append((display.name(key.replace("_", " ")), value, display.name(why, _LONGEST), display.name(flag)))
    return found


def settings(run: SavedRun) -> list[tuple[str, str]]:
    """Return every option of the run with its value, as in experiment.toml."""
    both = [*run.record.data.items(), *run.record.train.items()]
    return [(display.name("--" + key.replace("_", "-")), _value(value)) for key, value in both[:_MOST_ROWS]]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return display.rate(value)
    if isinstance(value, list):
        more = f", … ({display.count(len(value))} in total)" if len(value) > 20 else ""
        return ", ".join(display.name(str(part), 30) for part in value[:20]) + more
    return display.name(str(value), _LONGEST)


@dataclass(frozen=True)
class Data:
    """The section about the data."""

    facts: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Images per class and split."""
    more: str
    notes: tuple[str, ...]


def data(run: SavedRun) -> Data:
    """Return what experiment.toml records about the data, with the images per class if they are known."""
    about = run.record.about.data
    image, sizes = about.image, about.images
    facts = [("name", display.name(display.NOTHING if about.name is None else about.name))]
    if len(image) == 3:
        facts.append(("image size", f"{display.picture(image[1], image[2])}, {display.colors(image[0])}"))
    facts.append(("classes", display.count(len(run.classes))))
    facts += [(f"{split} images", display.count(sizes[split]) if split in sizes else "none") for split in _SPLITS]
    if about.fingerprint:
        facts.append(("fingerprint", display.name(about.fingerprint, 70)))
    counts = _counts(run)
    names = run.classes[:MOST_CLASSES]
    rows = [
        (display.name(name), tuple(display.count(int(column[k])) for column in counts.values()))
        for k, name in enumerate(names)
    ]
    more = (
        f"The first {MOST_CLASSES} of {display.count(len(run.classes))} classes."
        if len(names) < len(run.classes)
        else ""
    )
    notes = tuple(display.name(note, _LONGEST_NOTE) for note in (*about.notes, *about.findings)[:_MOST_ROWS])
    return Data(tuple(facts), tuple(counts), tuple(rows) if counts else (), more, notes)


def _counts(run: SavedRun) -> dict[str, Sequence[int]]:
    """Return the images per class by split: from the record, else from the predictions."""
    found: dict[str, Sequence[int]] = {}
    for split in _SPLITS:
        listed = run.record.about.data.counts.get(split, ())
        if listed and len(listed) == len(run.classes):
            found[split] = listed
        elif (confusion := run.confusion(split)) is not None:
            found[split] = confusion.sum(axis=1).tolist()
    return found


@dataclass(frozen=True)
class Layers:
    """The table of layers, as `layerline describe` prints it."""

    head: str
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, ...], ...]
    more: str


def layers(run: SavedRun) -> Layers | None:
    """Return the table of layers for the run's batch size; None if the network is not known."""
    network = run.network
    if network is None:
        return None
    batch = run.record.batch_size or _BATCH
    rows = [(row[0].replace("  ", "\u2003"), *row[1:]) for row in table.rows(network, batch)]
    more = f"The first {MOST_LAYERS} of {display.count(len(rows))} lines." if len(rows) > MOST_LAYERS else ""
    head = (
        f"{display.name(network.name, 40)}: input {times(network.input_shape)}, {display.count(network.classes)} "
        "classes. "
        f"Multiply-adds are per image (forward); memory is an estimate for a training step with {display.count(batch)} "
        "images."
    )
    return Layers(head, tuple(rows[:MOST_LAYERS]), tuple(table.totals(network, batch)), more)


def text(run: SavedRun) -> tuple[str, str]:
    """Return the network file with unprintable characters escaped, and a note if it was truncated."""
    lines = [display.name(line, 400) for line in run.network_text[:MOST_TEXT].splitlines()]
    cut = f"The first {display.count(MOST_TEXT)} characters." if len(run.network_text) > MOST_TEXT else ""
    return "\n".join(lines), cut


def environment(run: SavedRun) -> list[tuple[str, str]]:
    """Return what reproducing the run depends on: versions, seed, machine, and the digest of the model."""
    about, train = run.record.about, run.record.train
    rows = [(display.name(name), display.name(version)) for name, version in about.versions.items()]
    rows += [(key, _value(train[key])) for key in ("seed", "engine", "device", "precision", "threads") if key in train]
    for key, value in about.engine.items():
        if key not in dict(rows):
            rows.append((_NAMES.get(key, display.name(str(key).replace("_", " "))), _value(value)))
    if run.digest:
        rows.append(("model file SHA-256", display.name(run.digest, 70)))
    return rows[:_MOST_ROWS]
