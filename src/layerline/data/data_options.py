"""The keyword options of `load_data`, for type checkers and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from layerline.data.splitting import Share


class ModelDataOptions(TypedDict, total=False):
    """The options of `Model.load_data`, which determines size, fit and colors itself; see `load_data`."""

    data_dir: str | os.PathLike[str] | None
    classes: str | Sequence[str | int] | None
    test: Share | Any
    validation: Share | Any
    limit: int | None
    normalize: Literal["max", "standard"] | None
    seed: int
    labels: str | os.PathLike[str] | None
    file_column: str | None
    label_column: str | None
    label_by: str | None
    group_by: str | None
    exclude: str | None
    skip_bad: float | None
    cache: str | os.PathLike[str] | Literal[False] | None
    progress: Callable[[int, int | None], None] | None
