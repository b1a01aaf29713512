"""Read the columns of images and labels of a Parquet file with pyarrow, an extra.

Hugging Face stores an image as a struct of `bytes` and `path`, and describes the columns in the file's metadata, as
JSON under `huggingface`: https://huggingface.co/docs/datasets/image_dataset.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from layerline.data.formats.array_names import meaning
from layerline.data.formats.recognize import shown
from layerline.data.formats.stream import FETCH
from layerline.data.photos.image_file import LARGEST_FILE
from layerline.data.photos.image_format import EXPECTED
from layerline.errors import DataError
from layerline.files import regular
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START: Final = b"PAR1"
_ROWS: Final = 64
"""Rows that are read at once."""
_INSTALL: Final = "pip install 'layerline[parquet]', which installs pyarrow"


@dataclass(frozen=True)
class ParquetColumns:
    """The columns of images and labels."""

    image: str
    label: str
    names: tuple[str, ...]
    """The classes, if labels are numbers and the file names them."""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file. Raises DataError, also for what pyarrow raises while the file is read."""
    place = shown(path)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(f"{place}: reading Parquet files requires pyarrow", _INSTALL) from error
    try:
        with regular.opened(path) as file:
            yield pq.ParquetFile(file)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = display.name(str(error).partition("\n")[0] or type(error).__name__, 150)
        raise DataError(f"{place}: cannot be read: {reason}", FETCH) from error


def columns(path: Path) -> ParquetColumns:
    """Return the columns of images and labels in a file. Raises DataError if they are missing, or two may be meant."""
    with _opened(path) as opened:
        schema = opened.schema_arrow
        features = _features(schema.metadata or {})
        images = [field.name for field in schema if _is_image(field, features.get(field.name))]
        labels = [field.name for field in schema if features.get(field.name, {}).get("_type") == "ClassLabel"]
        if not labels:
            labels = [field.name for field in schema if _is_label(field)]
        paths = None if images else _paths(opened, schema)
    if paths is not None:
        raise DataError(
            f"{shown(path)}: found paths of images in the column {display.name(paths, 30)}, expected the images "
            "themselves",
            f"in Python, load the table: load_data(pandas.read_parquet({str(path)!r})); or save it as CSV, then: "
            "layerline data info FOLDER --labels FILE",
        )
    image, label = (_only(shown(path), what, found) for what, found in (("image", images), ("label", labels)))
    names = features.get(label, {}).get("names")
    right = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return ParquetColumns(image, label, tuple(names or ()) if right else ())


def _paths(opened: Any, schema: Any) -> str | None:
    """Return the first column of text that names image files; None if there is none."""
    import pyarrow.types as kinds

    for field in schema:
        if kinds.is_string(field.type) or kinds.is_large_string(field.type):
            batch = next(opened.iter_batches(batch_size=_ROWS, columns=[field.name], use_threads=False), None)
            cells = [] if batch is None else [cell for cell in batch.column(0).to_pylist() if cell]
            if cells and all(cell.lower().endswith(EXPECTED) for cell in cells):
                return str(field.name)
    return None


def labels(path: Path, column: str) -> list[Any]:
    """Return the values of a column of labels: int, str, None, or a float that is whole. Raises DataError."""
    with _opened(path) as opened:
        found = opened.read(columns=[column], use_threads=False).column(column).to_pylist()
    for row, value in enumerate(found):
        if value is not None and type(value) not in (int, str, bool) and not _is_whole(value):
            found_text = f"{value:g}" if type(value) is float else type(value).__name__
            raise DataError(
                f"{shown(path)}: found {found_text} in row {row} of {column}, expected a class", "use one label per row"
            )
    return list(found)


def _is_whole(value: Any) -> bool:
    """Return whether it is a whole number stored as a float, as pandas does for a column with missing values."""
    return type(value) is float and value.is_integer()


def images(path: Path, column: str) -> Iterator[tuple[bytes, str]]:
    """Yield the encoded bytes and the path of each image; the path may be empty. Raises DataError."""
    place, row = shown(path), 0
    with _opened(path) as opened:
        for batch in opened.iter_batches(batch_size=_ROWS, columns=[column], use_threads=False):
            for value in batch.column(0):
                content, name = _content(value)
                if content is None or len(content) > LARGEST_FILE:
                    found = "no bytes" if content is None else f"{display.size(len(content))}"
                    raise DataError(
                        f"{place}: found {found} in row {row} of {display.name(column)}, expected an encoded image",
                        "the file must contain the images themselves, not only their paths",
                    )
                yield content, name
                row += 1


def _content(value: Any) -> tuple[bytes | None, str]:
    found = value.as_py()
    if isinstance(found, dict):
        path = found.get("path")
        found, name = found.get("bytes"), path if isinstance(path, str) else ""
    else:
        name = ""
    return (found if isinstance(found, bytes) else None), name


def _features(metadata: dict[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """Return Hugging Face's description of the columns; empty without one."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: each for name, each in features.items() if isinstance(each, dict)} if type(features) is dict else {}


def _is_image(field: Any, feature: dict[str, Any] | None) -> bool:
    import pyarrow.types as kinds

    if kinds.is_struct(field.type):
        return bool(field.type.get_field_index("bytes") >= 0)
    binary = kinds.is_binary(field.type) or kinds.is_large_binary(field.type)
    means = meaning(field.name)
    return binary and ((feature or {}).get("_type") == "Image" or (means is not None and means.role == "images"))


def _is_label(field: Any) -> bool:
    import pyarrow.types as kinds

    means = meaning(field.name)
    plain = (
        kinds.is_integer(field.type)
        or kinds.is_floating(field.type)
        or kinds.is_string(field.type)
        or kinds.is_large_string(field.type)
    )
    return plain and means is not None and means.role == "labels" and not means.rest


def _only(place: str, what: str, found: list[str]) -> str:
    preferred = [name for name in found if name in (what, "fine_label")]
    if len(found) == 1 or len(preferred) == 1:
        return found[0] if len(found) == 1 else preferred[0]
    listed = ", ".join(display.name(name) for name in found[:8]) or "none"
    raise DataError(
        f"{place}: found {len(found)} columns of {what}s ({listed}), expected one named {what}",
        f"rename one to {what}, for example with datasets: ds.rename_column",
    )
