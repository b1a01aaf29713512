"""A tar archive: CIFAR-10's batches where they are in it, else image files in folders."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from layerline.data.formats import cifar
from layerline.data.formats.stream import open_stream
from layerline.data.formats.tar import Tar
from layerline.data.photos import image_folder
from layerline.data.photos.decoding import File
from layerline.data.photos.kept_images import KeptImages, stamp

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from layerline.data.formats.tar import Member
    from layerline.data.part import SourceArrays
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.layout_refusal import Folders


def read(path: Path, asked: ImageOptions, progress: Progress | None) -> SourceArrays:
    """Return what is in an archive, read once from front to end. Raises DataError."""
    keeper = None
    if asked.cache is not None:
        file = File((), "", path, stamp(path.stat()))
        keeper = KeptImages(asked.cache, ["archive", *asked.key], [file], archive=True)
        parts = image_folder.tar_that_was_kept(path, asked, keeper)
        if parts is not None:
            return parts
    try:
        return _read(path, asked, keeper, progress)
    except image_folder.RunsInsideError as error:  # seen only when its images had been read
        return _read(path, asked, keeper, progress, error.runs)


def _read(
    path: Path,
    asked: ImageOptions,
    keeper: KeptImages | None,
    progress: Progress | None,
    runs: Collection[Folders] = (),
) -> SourceArrays:
    with open_stream(path) as stream, Tar(stream) as tar:
        members = iter(tar)
        passed: list[Member] = []  # none of these is read, whatever comes behind them
        for member in members:
            batch = member.kind == "file" and cifar.form_of(member.name)
            if batch or image_folder.is_candidate(member) or len(passed) > image_folder.MOST_LEFT:
                break
            passed.append(member)
        else:
            return image_folder.read_tar(path, tar, passed, asked, keeper, progress, runs)
        whole = itertools.chain(passed, [member], members)
        if batch:
            return cifar.read_tar(path, tar, whole)
        return image_folder.read_tar(path, tar, whole, asked, keeper, progress, runs)
