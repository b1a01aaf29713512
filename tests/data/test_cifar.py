"""CIFAR-10: the two forms, unpacked or in their archive; and a pickle that can run nothing."""

from __future__ import annotations

import contextlib
import pickle
import sys
import tarfile

import numpy as np
import pytest
from cifar_files import (
    CLASSES,
    STEMS,
    batches,
    binary_files,
    dictionary,
    packed,
    pickled,
    python_files,
    special,
    tar_of,
    text,
    within,
    write,
)
from work import Work

from layerline.data import load_data
from layerline.data.formats import pickled as reader
from layerline.errors import DataError


def check(data):
    """Compare a loaded set with what was written."""
    known = batches()
    images = np.concatenate([known[stem][0] for stem in STEMS[:5]])
    np.testing.assert_array_equal(data.train.source.images, images)
    np.testing.assert_array_equal(data.train.source.labels, np.tile(np.arange(20) % 10, 5))
    np.testing.assert_array_equal(data.test.source.images, known["test_batch"][0])
    assert data.classes == CLASSES
    assert not data.train.source.channels_last
    assert data.scaling.scale == (1 / 255,) * 3


@pytest.mark.parametrize(
    ("folder", "files"), [("cifar-10-batches-bin", binary_files), ("cifar-10-batches-py", python_files)]
)
@pytest.mark.parametrize("way", ["folder", "parent", "tar.gz", "tar", "named", "named archive"])
def test_both_forms_are_read_wherever_they_lie(tmp_path, folder, files, way):
    """The binary and the Python batches are the same set: in a folder, in the one above, in a tar, or by name."""
    content = tar_of(within(folder, files()))
    if way in ("folder", "parent"):
        write(tmp_path / folder, files())
        data = load_data(tmp_path / folder if way == "folder" else tmp_path)
    elif way == "named":
        write(tmp_path / "cifar10" / folder, files())
        data = load_data("cifar10", data_dir=tmp_path)
    elif way == "named archive":
        (tmp_path / "cifar-10-something.tar.gz").write_bytes(packed(content))
        data = load_data("cifar10", data_dir=tmp_path)
    else:
        path = tmp_path / "whatever"  # the content says what it is
        path.write_bytes(packed(content) if way == "tar.gz" else content)
        data = load_data(path)
    check(data)
    assert data.name == "cifar10"
    assert any("not the published archive" in note for note in data.notes) == ("tar" in way or "archive" in way)


def test_both_forms_have_one_fingerprint(tmp_path):
    """How the set was packed does not change its fingerprint."""
    write(tmp_path / "a", binary_files())
    write(tmp_path / "b", python_files())
    assert load_data(tmp_path / "a").fingerprint == load_data(tmp_path / "b").fingerprint


def test_names_come_from_the_meta_file(tmp_path):
    """Classes are called what batches.meta.txt says, in its order; without it they have their known names."""
    files = binary_files()
    write(tmp_path, files | {"batches.meta.txt": "\n".join(CLASSES[::-1]).encode() + b"\n\n"})
    assert load_data(tmp_path).classes == CLASSES[::-1]
    (tmp_path / "batches.meta.txt").write_text("\n".join(["caf\u0065\u0301", *CLASSES[1:]]), encoding="utf-8")
    assert load_data(tmp_path).classes == ("caf\u00e9", *CLASSES[1:])  # accents are composed, as in folders
    (tmp_path / "batches.meta.txt").unlink()
    assert load_data(tmp_path).classes == CLASSES


def test_only_what_is_expected_is_read_from_an_archive(tmp_path, monkeypatch):
    """Names that lead elsewhere, links, devices and other files in an archive change nothing; nothing is written."""
    monkeypatch.chdir(tmp_path)
    extra = (
        special("../x", tarfile.REGTYPE),
        special("/x", tarfile.REGTYPE),
        special("cifar-10-batches-bin/data_batch_1.bin", tarfile.SYMTYPE, "/etc/passwd"),
        special("cifar-10-batches-bin/data_batch_2.bin", tarfile.LNKTYPE, "../x"),
        special("cifar-10-batches-bin/test_batch.bin", tarfile.CHRTYPE),
        special("cifar-10-batches-bin", tarfile.DIRTYPE),
    )
    files = {"readme.html": b"<html>", **within("cifar-10-batches-bin", binary_files()), "../../y": b"y"}
    (tmp_path / "c.tar.gz").write_bytes(packed(tar_of(files, *extra)))
    check(load_data("c.tar.gz"))
    assert [path.name for path in tmp_path.rglob("*")] == ["c.tar.gz"]


def test_a_python_batch_means_what_pickle_says():
    """Our reader gives what Python's pickle gives, for the bytes that the tests take for a batch."""
    content = pickled(*batches()["data_batch_1"])
    known, found = pickle.loads(content, encoding="bytes"), reader.load(content, "a")  # noqa: S301 - written above
    assert set(found) == {key.decode() for key in known}
    assert found["labels"] == known[b"labels"]
    assert [bytes(name) for name in found["filenames"]] == known[b"filenames"]
    assert bytes(found["data"].content) == known[b"data"].tobytes()
    assert found["data"].shape == known[b"data"].shape


class Seen:
    """What Python's audit hook reports while it is switched on."""

    on = False
    events: list[str] = []  # noqa: RUF012 - one list for the one hook, which can never be taken out


sys.addaudithook(lambda event, arguments: Seen.events.append(event) if Seen.on else None)  # noqa: ARG005

GADGETS = {
    "REDUCE": b"\x80\x02cos\nsystem\n(S'touch canary'\ntR.",
    "GLOBAL": b"\x80\x02cposix\nsystem\nU\x0ctouch canary\x85R.",
    "nested": b"\x80\x02cnumpy.f2py\ncrackfortran.os.system\nU\x02ls\x85R.",
    "eval": b"\x80\x02c__builtin__\neval\nU\x03 1 \x85R.",
    "STACK_GLOBAL": b"\x80\x02U\x02osU\x06system\x93U\x0ctouch canary\x85R.",
    "INST": b"\x80\x02(U\x0ctouch canaryios\nsystem\n.",
    "OBJ": b"\x80\x02(cnumpy\ndtype\nU\x02u1o.",
    "NEWOBJ": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "NEWOBJ_EX": b"\x80\x02cnumpy\nndarray\n)}\x92.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"\x80\x02Pos.system\n.",
    "BINPERSID": b"\x80\x02U\x01aQ.",
    "BUILD on a dictionary": b"\x80\x02}}(U\x08__class__K\x01ub.",
    "BUILD on a name": b"\x80\x02cnumpy\nndarray\n}U\x01aK\x01sb.",
    "BUILD with slots": b"\x80\x02cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R}}\x86b.",
    "call of ndarray": b"\x80\x02cnumpy\nndarray\nK\x01\x85\x85R.",
    "call of a number": b"\x80\x02K\x01)R.",
    "protocol 0": b"cos\nsystem\n(S'touch canary'\ntR.",
    "protocol 3": pickle.dumps({"data": eval}, protocol=3),
    "name of protocol 4": pickle.dumps({"data": eval}, protocol=4),
    "call of protocol 4": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch canary\x85R.",
    "name from the memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.",
    "name of a number": b"\x80\x04K\x01\x8c\x06system\x93.",
    "other encoding": b"\x80\x02c_codecs\nencode\nX\x02\x00\x00\x00abX\x06\x00\x00\x00rot_13\x86R.",
    "encode of a list": b"\x80\x02c_codecs\nencode\n]X\x06\x00\x00\x00latin1\x86R.",
    "decode": b"\x80\x02c_codecs\ndecode\nX\x02\x00\x00\x00abX\x06\x00\x00\x00latin1\x86R.",
    "letter beyond a byte": b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R.",
    "buffer of a number": b"\x80\x05cnumpy.core.numeric\n_frombuffer\n(K\x01K\x01)U\x01CtR.",
    "long bytes": b"\x80\x04\x8e" + b"\xff" * 8 + b"a.",
    "long bytearray": b"\x80\x05\x96" + b"\xff" * 7 + b"\x7fa.",
    "readonly buffer": b"\x80\x05\x97\x98.",
    "set": b"\x80\x04\x8f.",
    "protocol 255": b"\x80\xff}.",
    "marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
    "steps": b"\x80\x02" + b"N0" * 500_000 + b".",
    "pushes": b"\x80\x02" + b"N" * 1_000_000 + b".",
    "laughs": b"\x80\x02]q\x00"
    + b"".join(b"]q" + bytes([k]) + b"(" + (b"h" + bytes([k - 1])) * 10 + b"e" for k in range(1, 90))
    + b".",
    "cut": pickled(*batches(2)["test_batch"])[:-2000],
    "long text": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "negative text": b"\x80\x02T\xff\xff\xff\xffabc.",
    "no stack": b"\x80\x02R.",
    "no mark": b"\x80\x02]e.",
    "no memo": b"\x80\x02h\x07.",
    "two values": b"\x80\x02NN.",
    "more behind": b"\x80\x02}.}",
    "long name": b"\x80\x02c" + b"a" * 10_000,
    "odd items": b"\x80\x02}(U\x01au.",
    "key no text": b"\x80\x02}(NNu.",
    "itself": b"\x80\x02]q\x00(h\x00e.",
    "empty": b"",
    "text": b"hello, this is no pickle",
    "not a dictionary": b"\x80\x02].",
}


@pytest.mark.parametrize("name", GADGETS)
def test_a_gadget_is_refused_and_runs_nothing(tmp_path, monkeypatch, name):
    """Every way a pickle has to call, import or ask for something is refused after few steps, with the place."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, python_files(2) | {"data_batch_1": GADGETS[name]})
    with pytest.raises(DataError):  # once before, so that what is imported late is there
        load_data(tmp_path)
    Seen.events, Seen.on = [], True
    try:
        with Work() as work, pytest.raises(DataError) as caught:
            load_data(".")
    finally:
        Seen.on = False
    assert work.calls < 1_000_000
    assert str(caught.value).startswith("data_batch_1:")
    assert set(Seen.events) <= {
        *("open", "os.scandir", "os.listdir", "object.__getattr__", "sys._getframe"),
        "sys.setprofile",  # of Work
    }
    assert Seen.events.count("open") == 2  # of one file: the system's call, and the reader around it
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", [name for name in GADGETS if name not in ("itself", "laughs", "not a dictionary")])
def test_a_gadget_is_refused_by_the_reader_of_pickles(name):
    """Each is refused by the reader itself, not only because its value is no batch."""
    with pytest.raises(DataError, match=r"^a:\d+: found"):
        reader.load(GADGETS[name], "a")


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_damaged_pickle_is_refused_or_read_but_never_anything_else(position):
    """One byte changed near the front: a message or a value, and no other exception."""
    content = bytearray(pickled(*batches(2)["test_batch"]))
    for value in (0, 40, 82, 98, 99, 128, 255):
        content[position] = value
        with contextlib.suppress(DataError):
            reader.load(bytes(content), "a")


def test_ten_thousand_images_are_within_the_steps_that_are_allowed():
    """A batch as large as the published ones is read."""
    labels = np.zeros(10_000, np.uint8)
    content = pickled(np.zeros((10_000, 3, 32, 32), np.uint8), labels)
    found = reader.load(content, "a")
    assert found["data"].shape == (10_000, 3072)
    assert found["labels"] == [0] * 10_000


def test_many_members_are_refused_in_time(tmp_path):
    """An archive of a million empty members is refused before most are read, wherever the batches are."""
    header = tar_of({"a": b""})[:512]
    batch = tar_of({"data_batch_1.bin": binary_files()["data_batch_1.bin"]})[:-1024]
    batch = batch[: 512 + -(-20 * 3073 // 512) * 512]
    for content in (batch + header * 1_000_000, header * 1_000_000):
        path = tmp_path / "a.tar.gz"
        path.write_bytes(packed(content))
        with Work() as work, pytest.raises(DataError, match="more than"):
            load_data(path)
        assert work.calls < 2_000_000


def test_a_text_stays_a_text():
    """A key that Python has a meaning for is kept as any other: a pickle's texts never become attributes."""
    assert list(reader.load(dictionary({b"__class__": text(b"x")}), "a")) == ["__class__"]
