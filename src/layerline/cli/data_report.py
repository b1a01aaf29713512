"""`layerline data info` and `layerline data check`: the content of a data set, and the problems in it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli.columns import folded, table
from layerline.cli.commands import Command, given, options
from layerline.cli.data_progress import Reading, cache_folder
from layerline.cli.terminal import Terminal
from layerline.experiment.options import BY_KEY, DATA_KEYS, check_limit, check_split_seed
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerline.data.checking.doctor import Finding
    from layerline.data.dataset import Dataset

_OPTIONS: Final = tuple(key for key in DATA_KEYS if key not in ("data", "normalize", "allow"))
_MOST_ROWS: Final = 50
_LONGEST_NAME: Final = 28
_SPLITS: Final = ("train", "validation", "test")
_REFUSED: Final = 2


@click.command(cls=Command)
@click.argument("data")
@options((*_OPTIONS, "seed"), "Data")
def info(**values: Any) -> None:
    """Print the class counts of DATA, and the images' size and type.

    It also prints the fingerprint and any notes. DATA and the options are the same as for train.
    """
    for line in _lines(_load(values)):
        click.echo(line)


@click.command(cls=Command)
@click.argument("data")
@options((*_OPTIONS, "seed", "allow"), "Data")
def check(**values: Any) -> int:
    """Check DATA for problems, and list every image concerned.

    DATA is what train takes as --data, and must be readable. Exits with 0 if train would accept the data, and with 2
    if it would refuse them.
    """
    from layerline.data.checking import doctor

    flags = given(values)
    allow = BY_KEY["allow"].value(flags.pop("allow")) if "allow" in flags else ()
    doctor.check_allow(allow)
    data = _load(flags)
    findings = doctor.examine(data, every=True)
    for line in _checked(data, findings, allow):
        click.echo(line)
    return _REFUSED if any(item.refuses and item.kind not in allow for item in findings) else 0


def _load(values: dict[str, Any]) -> Dataset:
    """Return the data that the options name; the terminal shows the progress of reading."""
    from layerline.data import load_data
    from layerline.recipe import Recipe

    flags = {key: BY_KEY[key].value(value) for key, value in given(values).items()}
    source = flags.pop("data")
    check_limit(flags.get("limit"))
    check_split_seed(flags.get("split_seed"))
    seed = Recipe(seed=flags.pop("seed", 0)).seed
    seed = flags.pop("split_seed", seed)
    terminal = Terminal(sys.stdout, os.environ)
    flags.setdefault("cache", cache_folder())
    try:
        return load_data(source, seed=seed, progress=Reading(terminal), **flags)
    finally:
        terminal.clear()


def _lines(data: Dataset) -> list[str]:
    """Return the lines that `info` prints."""
    images = data.train.source.images
    C, H, W = data.shape
    splits = [(name, split) for name in _SPLITS if (split := getattr(data, name)) is not None]
    total = sum(len(split) for _, split in splits)
    sources = {id(split.source): split.source for _, split in splits}.values()
    held = sum(source.images.nbytes for source in sources)
    kind, largest = display.colors(C), f"{data.train.source.maximum:g}"
    return [
        folded(
            f"{display.name(data.name)}: {display.count(total)} {kind} {display.picture(H, W)} images, "
            f"{len(data.classes)} classes, {display.size(held)} as {images.dtype}, divided by {largest}"
        ),
        folded(", ".join(f"{name} {display.count(len(split))}" for name, split in splits)),
        *_resized(data),
        "",
        *_counts(data, splits),
        "",
        f"fingerprint {data.fingerprint}",
        *(folded(f"note: {note}") for note in data.notes),
        *(folded(f"skipped: {display.name(file, 200)}") for file in data.skipped),
    ]


def _resized(data: Dataset) -> list[str]:
    """Return a line about the original sizes, if the images were resized."""
    if data.resized is None:
        return []
    found, (least, most) = data.resized, (data.resized.smallest, data.resized.largest)
    sizes = display.counted(found.sizes, "size")
    between = "" if least == most else f" from {display.picture(*least)} to {display.picture(*most)}"
    return [folded(f"{sizes}{between}, resized to {display.picture(*found.size)} ({found.fit})")]


def _counts(data: Dataset, splits: Sequence[tuple[str, Any]]) -> list[str]:
    """Return the table of classes; if there are very many, only those with the fewest training images."""
    import numpy as np

    counts = np.stack([np.bincount(split.labels, minlength=len(data.classes)) for _, split in splits], axis=1)
    listed, note = list(range(len(data.classes))), []
    if len(listed) > _MOST_ROWS:
        listed = np.argsort(counts[:, 0], kind="stable")[:_MOST_ROWS].tolist()
        note = [f"(the {_MOST_ROWS} of {display.count(len(data.classes))} classes with the fewest training images)"]
    rows = [_row(display.name(data.classes[k], _LONGEST_NAME), counts[k], counts.sum()) for k in listed]
    rows.append(_row("all", counts.sum(axis=0), counts.sum()))
    return [*table(("class", *(name for name, _ in splits), "total", "fraction"), rows), *note]


def _row(name: str, counts: Any, total: Any) -> tuple[str, ...]:
    row_total = int(counts.sum())
    share = display.percent(row_total / int(total), 1)
    return (name, *(display.count(int(count)) for count in counts), display.count(row_total), share)


def _checked(data: Dataset, findings: Sequence[Finding], allow: Sequence[str]) -> list[str]:
    """Return the lines that `check` prints: notes, then each finding with all the images concerned."""
    from layerline.data.checking.doctor import not_examined

    total = sum(len(split) for split in (data.train, data.validation, data.test) if split is not None)
    refusing = [item for item in findings if item.refuses and item.kind not in allow]
    found = "nothing found" if not findings else display.counted(len(findings), "finding")
    if findings:
        found += f"; train would {_verdict(len(refusing), len(findings))}"
    lines = [f"{display.name(data.name)}: {display.counted(total, 'image')} in {len(data.classes)} classes: {found}"]
    lines += [folded(f"note: {note}") for note in data.notes]
    unseen = not_examined(data)
    lines += [folded(f"not checked: {'; '.join(unseen)}")] if unseen else []
    for item in findings:
        how = "" if not item.refuses else " (allowed)" if item.kind in allow else f" (refused; --allow {item.kind})"
        lines += ["", folded(f"{item.kind}: {item.message}{how}"), *_images(data, item)]
    return lines


def _verdict(refusing: int, findings: int) -> str:
    if findings == 1:
        return "refuse it" if refusing else "not refuse it"
    if refusing in (0, findings):
        return "refuse all of them" if refusing else "not refuse any of them"
    return f"refuse {refusing} of them"


def _images(data: Dataset, item: Finding) -> list[str]:
    """Return a line for each image of a finding; copies of one image are listed together."""
    from layerline.data.checking.doctor import called

    lines, before = [], None
    for k, (split, index) in enumerate(item.images):
        group = item.groups[k] if item.groups else None
        mark = "  " if group is None or group != before else "  = "
        before = group
        source = getattr(data, split).source
        label = display.name(data.classes[source.labels[index]], _LONGEST_NAME)
        where = f"{split}, class {label}" + (f", image {index}" if source.names is not None else "")
        lines.append(f"{mark}{called(data, (split, index))}: {where}")
    return lines
