"""A zip of images: the same data set as its folder, whoever made it; read as a stream, nothing unpacked to disk."""

from __future__ import annotations

import io
import os
import stat
import zipfile

import numpy as np
import pytest
from cifar_files import tar_of
from data_files import npy_bytes, zip_of_files
from image_files import jpeg, picture, png, tree

from layerline.data import load_data
from layerline.data.formats.zipped import open_zip


def several(*names: str) -> dict[str, bytes]:
    return {f"{name}/{k:02}.png": png(picture(k)) for name in names or ("cat", "dog") for k in range(8)}


def made(files: dict[str, bytes], system: int, encoding: str, flag: int = 0) -> bytes:
    """Return a zip whose names are stored in an encoding, as the programs of a system do."""
    content = zip_of_files({f"{k:08}.x": files[name] for k, name in enumerate(files)})
    for k, name in enumerate(files):
        stored = name.encode(encoding)
        for magic, lengths, names in ((b"PK\3\4", 26, 30), (b"PK\1\2", 28, 46)):
            at = content.index(f"{k:08}.x".encode(), content.index(b"PK\1\2") if magic == b"PK\1\2" else 0)
            start = at - names
            assert content[start : start + 4] == magic
            header = bytearray(content[start:at])
            header[lengths : lengths + 2] = len(stored).to_bytes(2, "little")
            if magic == b"PK\1\2":
                header[5] = system
            flags = 8 if magic == b"PK\1\2" else 6
            header[flags : flags + 2] = flag.to_bytes(2, "little")
            content = content[:start] + bytes(header) + stored + content[at + 10 :]
    return moved(content)


def moved(content: bytes) -> bytes:
    """Return a zip whose table of contents says where its members are now."""
    changed = bytearray(content)
    first = content.index(b"PK\1\2")
    at, local = first, 0
    while content[at : at + 4] == b"PK\1\2":
        changed[at + 42 : at + 46] = local.to_bytes(4, "little")
        local = content.find(b"PK\3\4", local + 4)
        at += 46 + int.from_bytes(content[at + 28 : at + 30], "little")
    changed[at + 12 : at + 16] = (at - first).to_bytes(4, "little")
    changed[at + 16 : at + 20] = first.to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.smoke
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_the_same_data_set_as_its_folder(tmp_path, method):
    """Packed or not, in any order, with a folder around it or not: one fingerprint, the tar's and the folder's."""
    files = several()
    tree(tmp_path / "a", files)
    (tmp_path / "a.tar").write_bytes(tar_of(files))
    (tmp_path / "b.zip").write_bytes(zip_of_files(dict(reversed(files.items())), method))
    (tmp_path / "c.zip").write_bytes(zip_of_files({f"my/photos/{name}": files[name] for name in files}, method))
    before = sorted(tmp_path.rglob("*"))
    loaded = [load_data(tmp_path / name) for name in ("a", "a.tar", "b.zip", "c.zip")]
    assert len({data.fingerprint for data in loaded}) == 1
    assert [data.name for data in loaded] == ["a", "a", "b", "c"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("system", "encoding", "flag", "noted"),
    [
        (0, "utf-8", 0x800, False),
        (0, "cp437", 0, True),
        (0, "cp850", 0, True),
        (3, "utf-8", 0, False),
        (3, "utf-8", 0x800, False),
    ],
)
def test_umlauts_are_read_from_the_zips_of_every_system(tmp_path, system, encoding, flag, noted):
    """Explorer's names, marked as UTF-8 or in a code page of DOS; Finder's, in UTF-8 without a mark."""
    files = several("Käse", "Hüte", "Öl")
    (tmp_path / "set.zip").write_bytes(made(files, system, encoding, flag))
    data = load_data(tmp_path / "set.zip")
    assert data.classes == ("Hüte", "Käse", "Öl")
    notes = [note for note in data.notes if "code page 437" in note]
    assert (
        notes
        == [f"names in {tmp_path}/set.zip that are not Unicode are read as code page 437 (24), such as Käse/00.png"]
        * noted
    )


@pytest.mark.parametrize("system", [0, 3])
def test_backslashes_of_a_windows_program_part_folders(tmp_path, system):
    """Old .NET wrote them, and Python's zipfile on Unix if asked to; a file with `/` between changes nothing."""
    files = {f"set\\{name}".replace("/", "\\"): content for name, content in several().items()}
    (tmp_path / "set.zip").write_bytes(made({**files, "set/readme.txt": b"x"}, system, "ascii"))
    assert load_data(tmp_path / "set.zip").classes == ("cat", "dog")
    splits = {f"{split}\\{name[4:]}": content for split in ("train", "test") for name, content in files.items()}
    (tmp_path / "set.zip").write_bytes(made(splits, system, "ascii"))
    data = load_data(tmp_path / "set.zip")
    assert (data.classes, len(data.test.labels)) == (("cat", "dog"), len(files))


def test_a_backslash_among_slashes_is_part_of_a_name(tmp_path):
    """On Unix a file may have one in its name."""
    files = several()
    files["cat/a\\b.png"] = files.pop("cat/00.png")
    (tmp_path / "set.zip").write_bytes(made(files, 3, "ascii"))
    assert "cat/a\\b.png" in load_data(tmp_path / "set.zip", test="none", validation="none").train.source.names


def test_what_finder_adds_and_odd_members_are_counted(tmp_path, monkeypatch):
    """__MACOSX, links, and names that lead elsewhere are not read, and nothing is written; a folder of a system that
    has its own entry, as a zip of an unpacked zip has, is no class."""
    monkeypatch.chdir(tmp_path)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in several().items():
            archive.writestr(name, content)
        for folder in ("__MACOSX/", "__MACOSX/cat/", ".ipynb_checkpoints/", "cat/"):
            archive.writestr(folder, b"")
        for name in ("__MACOSX/cat/._00.png", "../cat/up.png", "/cat/root.png"):
            archive.writestr(name, png(picture()))
        link = zipfile.ZipInfo("cat/link.png")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    (tmp_path / "set.zip").write_bytes(file.getvalue())
    data = load_data("set.zip")
    assert len(data.train.source.labels) == 16
    assert sorted(data.notes) == [
        "ignored in set.zip: files outside the archive's folder (2), such as ../cat/up.png",
        "ignored in set.zip: hidden or system files (1), such as __MACOSX/cat/._00.png",
        "ignored in set.zip: links and devices (1), such as cat/link.png",
    ]
    assert [path.name for path in tmp_path.rglob("*")] == ["set.zip"]


def test_a_zip_is_what_zipfile_says(tmp_path):
    """Members, in the order of their content, and their content, as Python's reader has them; twice."""
    rng = np.random.default_rng(0)
    files = {f"d{k % 7}/{'n' * k}{k}": rng.bytes(k * 997 % 3000) for k in range(100)} | {"empty/": b""}
    content = zip_of_files(files)
    (tmp_path / "a.zip").write_bytes(content)
    wanted = [(name.rstrip("/"), "folder" if name.endswith("/") else "file", files[name]) for name in files]
    with open_zip(tmp_path / "a.zip") as opened:
        for _ in range(2):
            assert [(m.name, m.kind, opened.read(m)) for m in opened] == wanted


def test_arrays_are_told_from_images_by_their_content(tmp_path):
    """An .npz that is called .zip is read as arrays; a zip of images beside which lies an array is one of images."""
    arrays = {"x.npy": npy_bytes(np.zeros((20, 4, 4), np.uint8)), "y.npy": npy_bytes(np.arange(20) % 2)}
    (tmp_path / "arrays.zip").write_bytes(zip_of_files(arrays))
    assert load_data(tmp_path / "arrays.zip").train.source.images.shape[1:] == (1, 4, 4)
    (tmp_path / "images.zip").write_bytes(zip_of_files(several() | {"features.npy": arrays["x.npy"]}))
    data = load_data(tmp_path / "images.zip")
    assert data.classes == ("cat", "dog")
    assert "files outside any class folder (1), such as features.npy" in data.notes[0]


def test_a_large_zip_is_read_twice_and_never_held(tmp_path, monkeypatch):
    """Where the images are more than may be held, the headers come first; the data set is the same."""
    files = {f"{name}/{k}.jpg": jpeg(picture(k, (70 + k, 80))) for name in ("cat", "dog") for k in range(8)}
    (tmp_path / "set.zip").write_bytes(zip_of_files(files))
    whole = load_data(tmp_path / "set.zip")
    monkeypatch.setattr("layerline.data.photos.image_folder._MAX_HELD", 1000)
    assert load_data(tmp_path / "set.zip").fingerprint == whole.fingerprint


def test_a_zip_is_found_again_in_the_cache(tmp_path, monkeypatch):
    """Also the note about its names; a changed archive is read again."""
    monkeypatch.setattr("layerline.data.photos.image_stack.MAX_IN_MEMORY", 100)
    (tmp_path / "set.zip").write_bytes(made(several("Käse", "dog"), 0, "cp437"))
    os.utime(tmp_path / "set.zip", (1e9, 1e9))
    first = load_data(tmp_path / "set.zip", cache=tmp_path / "cache")
    monkeypatch.setattr("layerline.data.photos.image_file.decode", lambda *_: pytest.fail("decoded again"))
    again = load_data(tmp_path / "set.zip", cache=tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert again.notes == first.notes
