"""A tar or zip archive: image files in folders; a tar may also be one of CIFAR-10 or CIFAR-100."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from layerline.data.formats import cifar, cifar100, recognize
from layerline.data.formats.stream import open_stream
from layerline.data.formats.tar import Tar
from layerline.data.formats.zipped import open_zip
from layerline.data.photos import image_folder
from layerline.data.photos.decoding import File
from layerline.data.photos.kept_images import CachedImages, stamp

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from layerline.data.formats.members import Member
    from layerline.data.part import SourceArrays
    from layerline.data.photos.decoding import Progress
    from layerline.data.photos.image_options import ImageOptions
    from layerline.data.photos.layout_refusal import Folders


def read(path: Path, options: ImageOptions, progress: Progress | None) -> SourceArrays:
    """Return the data set in a tar or zip archive, from the cache if possible. Raises DataError."""
    cached = None
    if options.cache is not None:
        file = File((), "", path, stamp(path.stat()))
        cached = CachedImages(options.cache, ["archive", *options.key], [file], archive=True)
        parts = image_folder.read_cached_archive(path, options, cached)
        if parts is not None:
            return parts
    try:
        return _read(path, options, cached, progress)
    except image_folder.RunsInsideError as error:  # noticed only after its images were read
        return _read(path, options, cached, progress, error.runs)


def _read(
    path: Path,
    options: ImageOptions,
    cached: CachedImages | None,
    progress: Progress | None,
    runs: Collection[Folders] = (),
) -> SourceArrays:
    with open_stream(path) as stream:
        start = stream.take(len(recognize.ZIP[0]))
    if start in recognize.ZIP:
        with open_zip(path) as zipped:
            return image_folder.read_archive(path, zipped, zipped, options, cached, progress, runs)
    with open_stream(path) as stream, Tar(stream) as tar:
        members = iter(tar)
        passed: list[Member] = []  # none of these is read, whatever follows them
        for member in members:
            batch = member.kind == "file" and (cifar.variant_of(member.name) or cifar100.variant_of(member.name))
            if batch or image_folder.is_candidate(member) or len(passed) > image_folder.MAX_IGNORED:
                break
            passed.append(member)
        else:
            return image_folder.read_archive(path, tar, passed, options, cached, progress, runs)
        whole = itertools.chain(passed, [member], members)
        if isinstance(batch, cifar100.Cifar100Variant):
            return cifar100.read_tar(tar, whole)
        if batch:
            return cifar.read_tar(path, tar, whole)
        return image_folder.read_archive(path, tar, whole, options, cached, progress, runs)
