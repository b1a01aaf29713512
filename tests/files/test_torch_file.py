"""PyTorch's files: both formats are read as PyTorch reads them, and a file of an attacker runs nothing."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from peak import PEAK
from places import ROOT, SOURCES
from torch_files import (
    MACHINE,
    MAGIC,
    PROTOCOL,
    dictionary,
    old_file,
    state,
    storage,
    tensor,
    text,
    tuple_of,
    whole,
    zip_file,
)
from work import Work

from layerline.errors import UserError
from layerline.files import torch_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITERS: dict[str, Callable[..., bytes]] = {"old": old_file, "zip": zip_file}
ARRAYS = {
    "conv.weight": np.arange(24, dtype="<f4").reshape(2, 3, 2, 2),
    "norm.num_batches_tracked": np.array(7, "<i8"),
    "fc.bias": np.array([0.5, -1.0], "<f4"),
}

ONE = np.ones(4, "<f4")
GOOD = tensor(storage("0", 4), (4,))


def saved(value: Any, *, zipped: bool, protocol: int = 2) -> bytes:
    """Return the bytes that PyTorch writes."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return file.getvalue()


def module() -> torch.nn.Module:
    """Return a module with every kind of tensor of the backbones."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 3)
    )


def same(found: dict[str, Any], expected: dict[str, torch.Tensor]) -> None:
    """Compare arrays with tensors: names, order, types and bits."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        theirs = value.detach().float().numpy() if value.is_floating_point() else value.numpy()
        assert found[name].dtype == theirs.dtype
        np.testing.assert_array_equal(found[name], theirs, strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_state_dict_is_what_pytorch_saved(zipped: bool, protocol: int) -> None:
    """Names, order, shapes and bits are those of `state_dict()`, in both formats and every protocol."""
    held = module().state_dict()
    found, taken = torch_file.tensors(saved(held, zipped=zipped, protocol=protocol), "a")
    same(found, held)
    assert taken is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_type_of_float_becomes_float32(zipped: bool, dtype: torch.dtype) -> None:
    """The values are those that PyTorch's `.float()` gives, to the bit, subnormal and infinite ones included."""
    values = torch.cat([torch.linspace(-3, 3, 1001), torch.tensor([0.0, -0.0, 1e-40, 6e-8, 65504.0, torch.inf])])
    held = {"a": values.to(dtype), "b": values[:1000].reshape(10, 100).to(dtype)}
    same(torch_file.tensors(saved(held, zipped=zipped), "a")[0], held)


@pytest.mark.parametrize("zipped", [False, True])
def test_views_of_a_storage_are_read_with_their_strides(zipped: bool) -> None:
    """Transposed, sliced and shared tensors, parameters, and an empty one: each has its own values."""
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    held = {
        "whole": base,
        "turned": base.permute(2, 0, 1),
        "part": base[1:, ::2, 3],
        "parameter": torch.nn.Parameter(base[2]),
        "fixed": torch.nn.Parameter(base[0].clone(), requires_grad=False),
        "one": base[2, 3, 4],
        "none": base[:0],
    }
    same(torch_file.tensors(saved(held, zipped=zipped), "a")[0], held)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_state_dict_inside_a_checkpoint_is_taken(zipped: bool, key: str) -> None:
    """Next to an optimizer's state, numbers and texts, it is found under its usual keys, and the key is named."""
    net = module()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    held = {"epoch": 2**40, "arch": "small", "best": 0.75, "optimizer": optimizer.state_dict(), key: net.state_dict()}
    found, taken = torch_file.tensors(saved(held, zipped=zipped), "a")
    same(found, net.state_dict())
    assert taken == key


@pytest.mark.parametrize("way", WRITERS)
def test_files_written_by_hand_are_what_pytorch_reads(way: str) -> None:
    """The files of these tests are PyTorch's: it reads the same from them."""
    content = WRITERS[way](*state(ARRAYS))
    known = torch.load(io.BytesIO(content), weights_only=True)
    same(torch_file.tensors(content, "a")[0], known)


@pytest.mark.parametrize("way", WRITERS)
def test_parameters_of_early_versions_are_read(way: str) -> None:
    """Before 0.4, a parameter was an object made of a tensor, with a state: as in torchvision's files of 2016."""
    made = b"ctorch.nn.parameter\nParameter\n" + tensor(storage("0", 6), (2, 3), version=1) + b"\x85\x81"
    hooks = b"ccollections\nOrderedDict\n)R"
    content = WRITERS[way](
        dictionary({"w": made + tuple_of(b"\x88", b"\x89", hooks) + b"b"}), {"0": np.arange(6, dtype="<f4")}
    )
    known = torch.load(io.BytesIO(content), weights_only=False)  # written above
    same(torch_file.tensors(content, "a")[0], known)


@pytest.mark.parametrize("way", WRITERS)
def test_dictionaries_of_python_2_are_read(way: str) -> None:
    """Python 2 wrote an OrderedDict as a call with a list of its pairs, and texts as bytes."""
    pairs = b"](](U\x01b" + GOOD + b"e](U\x01a" + tensor(storage("1", 2), (2,)) + b"ee"
    content = WRITERS[way](b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R.", {"0": ONE, "1": ONE[:2]})
    known = torch.load(io.BytesIO(content), weights_only=False)  # written above
    same(torch_file.tensors(content, "a")[0], known)


class Seen:
    """What Python's audit hook reports while it is switched on."""

    on = False
    events: list[str] = []  # noqa: RUF012 - one list for the one hook, which can never be taken out


sys.addaudithook(lambda event, arguments: Seen.events.append(event) if Seen.on else None)  # noqa: ARG005


class Attack:
    """An object whose pickle is a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


VERSION_2 = b"ctorch._utils\n_rebuild_tensor_v2\n"
FLOAT = b"ctorch\nFloatStorage\n"
HOOKS = b"ccollections\nOrderedDict\n)R"


def pickled(value: Any, protocol: int = 2) -> bytes:
    return pickle.dumps(value, protocol)


def pickled_id(*parts: bytes) -> bytes:
    """Return a pickle of an object outside the file."""
    return b"\x80\x02" + tuple_of(*parts) + b"Q."


def rebuilt(*arguments: bytes) -> bytes:
    """Return a pickle of a call that makes a tensor."""
    return dictionary({"w": VERSION_2 + tuple_of(storage("0", 4), b"K\x00", *arguments) + b"R"})


ATTACKS = {
    "os.system": (pickled(Attack(os.system, "touch canary")), "the name posix.system"),
    "os.system, protocol 4": (pickled(Attack(os.system, "touch canary"), 4), "the name posix.system"),
    "eval": (pickled({"a": Attack(eval, "open('canary', 'w')")}, 3), "the name builtins.eval"),
    "eval, protocol 2": (pickled({"a": Attack(eval, "open('canary', 'w')")}), "the name __builtin__.eval"),
    "exec": (pickled(Attack(exec, "open('canary', 'w')"), 4), "the name builtins.exec"),
    "Popen": (pickled(Attack(subprocess.Popen, ["touch", "canary"])), "the name commands.Popen"),
    "getattr": (pickled(Attack(getattr, "x", "upper")), "the name __builtin__.getattr"),
    "after the tensors": (dictionary({"w": GOOD}, b"cos\nsystem\n" + text("ls") + b"\x85R0"), "the name os.system"),
    "as a key": (b"\x80\x02}(cos\nsystem\nK\x01u.", "the name os.system"),
    "INST": (b"\x80\x02(X\x0c\x00\x00\x00touch canaryios\nsystem\n.", "the opcode INST"),
    "OBJ": (b"\x80\x02(ccollections\nOrderedDict\no.", "the opcode OBJ"),
    "NEWOBJ": (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85\x81.", "a call"),
    "NEWOBJ_EX": (b"\x80\x04ctorch.nn.parameter\nParameter\n)}\x92.", "the opcode NEWOBJ_EX"),
    "EXT1": (b"\x80\x02\x82\x01.", "the opcode EXT1"),
    "PERSID": (b"\x80\x02Pos.system\n.", "the opcode PERSID"),
    "persistent module": (pickled_id(text("module"), b"N", text("f"), text("code")), "an object outside"),
    "dotted name": (b"\x80\x04" + text("torch") + text("os.system") + b"\x93.", "the name torch.os.system"),
    "path as a name": (b"\x80\x02c../../x\ny\n.", "the name ../../x.y"),
    "call of a storage type": (b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.", "a call"),
    "call of OrderedDict": (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "a call"),
    "call of a tensor": (dictionary({"w": GOOD + b")R"}), "a call"),
    "call of a number": (b"\x80\x02K\x01)R.", "a call"),
    "state of a storage": (b"\x80\x02" + storage("0", 4) + b"}b.", "state for an object"),
    "state of a class": (b"\x80\x02ctorch.nn.parameter\nParameter\n}b.", "state for an object"),
    "parameter of a dictionary": (b"\x80\x02ctorch.nn.parameter\nParameter\n}\x85\x81.", "a call"),
    "backward hook": (rebuilt(b"K\x04\x85", b"K\x01\x85", b"\x89", b"cos\nsystem\n"), "the name os.system"),
    "metadata of a tensor": (rebuilt(b"K\x04\x85", b"K\x01\x85", b"\x89", HOOKS, b"K\x01"), "a call"),
    "past the storage": (dictionary({"w": tensor(storage("0", 4), (5,))}), "ends at element 4"),
    "offset past the storage": (dictionary({"w": tensor(storage("0", 4), (2,), (1,), 3)}), "ends at element 4"),
    "strides past the storage": (dictionary({"w": tensor(storage("0", 4), (2, 2), (3, 1))}), "ends at element 4"),
    "strides of zero": (dictionary({"w": tensor(storage("0", 4), (10**9,), (0,))}), "at most 4"),
    "negative stride": (dictionary({"w": tensor(storage("0", 4), (4,), (-1,))}), "invalid sizes or strides"),
    "negative offset": (dictionary({"w": tensor(storage("0", 4), (1,), (1,), -1)}), "invalid sizes or strides"),
    "negative size": (dictionary({"w": tensor(storage("0", 4), (-4,), (1,))}), "invalid sizes or strides"),
    "sizes beyond 64 bits": (dictionary({"w": tensor(storage("0", 4), (2**62, 2**62), (1, 1))}), "at most 4"),
    "a size that is a text": (rebuilt(text("a") + b"\x85", b"K\x01\x85", b"\x89", HOOKS), "invalid sizes"),
    "fewer strides than sizes": (dictionary({"w": tensor(storage("0", 4), (2, 2), (1,))}), "invalid sizes or strides"),
    "a thousand dimensions": (dictionary({"w": tensor(storage("0", 4), (1,) * 1000)}), "1000 dimensions"),
    "a billion elements": (dictionary({"w": tensor(storage("0", 10**9), (10**9,))}), "an object outside"),
    "negative storage": (dictionary({"w": tensor(storage("0", -4), (0,))}), "an object outside"),
    "storage in two sizes": (dictionary({"w": GOOD, "v": tensor(storage("0", 3), (3,))}), "in two sizes or types"),
    "no type": (pickled_id(text("storage"), text("x"), text("0"), text("cpu"), whole(4)), "an object outside"),
    "a view": (pickled_id(text("storage"), FLOAT, text("0"), text("cpu"), whole(4), b")"), "an object outside"),
    "many opcodes": (b"\x80\x02]" + b"Na" * 600_000 + b".", "more than 500,000 opcodes"),
    "many tensors": (b"\x80\x02](" + GOOD * 21_000 + b"e.", "more than 20,000 tensors"),
    "many groups": (b"\x80\x02" + b"(" * 1_000_000 + b".", "nested groups"),
    "long text": (b"\x80\x02X\xff\xff\xff\xffabc.", "the end of the file"),
    "long number": (b"\x80\x02\x8a\xff\x01.", "the end of the file"),
    "huge number": (b"\x80\x02\x8b\xff\xff\xff\x7f\x01.", "the opcode 0x8b"),
    "long name": (b"\x80\x02c" + b"a" * 10_000, "a name that does not end"),
    "no stack": (b"\x80\x02R.", "an empty stack"),
    "no memo": (b"\x80\x02h\x07.", "value 7"),
    "two values": (b"\x80\x02NN.", "2 values at the end"),
    "protocol 255": (b"\x80\xff}.", "protocol 255"),
    "not a pickle": (b"hello", "not a pickle"),
}  # fmt: skip


@pytest.mark.parametrize("way", WRITERS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    """Every way to call, import or ask for something is refused by its place and name, after few steps."""
    monkeypatch.chdir(tmp_path)
    attack, found = ATTACKS[name]
    content = WRITERS[way](attack, {"0": ONE})
    with pytest.raises(UserError):  # once before, so that what is imported late is there
        torch_file.tensors(content, "a.pth")
    Seen.events, Seen.on = [], True
    try:
        with Work() as work, pytest.raises(UserError) as caught:
            torch_file.tensors(content, "a.pth")
    finally:
        Seen.on = False
    assert found in caught.value.message
    start = len(MAGIC + PROTOCOL + MACHINE) if way == "old" else 0
    place = caught.value.message.removeprefix("a.pth:" if way == "old" else "a.pth: a/data.pkl:").partition(":")[0]
    assert start <= int(place) < start + len(attack)
    assert "torch.save(model.state_dict()" in (caught.value.help or "")
    assert work.calls < 12_000_000
    assert set(Seen.events) <= {"sys.setprofile", "object.__getattr__", "sys._getframe"}
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_whole_module_is_refused_with_the_line_that_saves_its_weights(zipped: bool) -> None:
    """`torch.save(model)` stores classes, which only running code can restore."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, about the source of a class
        content = saved(module(), zipped=zipped)
    with pytest.raises(UserError, match=r"the name torch\.nn\.modules\.container\.Sequential") as caught:
        torch_file.tensors(content, "a")
    assert "torch.save(model.state_dict(), " in (caught.value.help or "")


OTHER = {
    "a list": (b"\x80\x02](K\x01e.", "found no dictionary"),
    "a number": (b"\x80\x02K\x01.", "found no dictionary"),
    "nothing": (b"\x80\x02}.", "found a dictionary with nothing"),
    "other keys": (b"\x80\x02}(" + text("epoch") + b"K\x01" + text("args") + b"}u.", "a dictionary with epoch, args"),
    "flags": (dictionary({"w": tensor(storage("0", 4, b"BoolStorage"), (4,))}), "w: found a torch.BoolStorage"),
    "itself": (b"\x80\x02}q\x00(" + text("state_dict") + b"h\x00u.", "found a dictionary with state_dict"),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_state_dict_is_refused(name: str) -> None:
    """Another value, or tensors that are no weights: what was found is named."""
    content, found = OTHER[name]
    with pytest.raises(UserError, match=found):
        torch_file.tensors(zip_file(content, {"0": np.ones(4, "<u1")}), "a")


def test_damage_of_the_old_format_is_refused_with_its_place() -> None:
    """Lying numbers of elements, storages that are missing, unused, twice or too many bytes: the storage is named."""
    pickle_, storages = state({"w": ONE})
    keys = [b"\x80\x02](" + b"".join(map(text, names)) + b"e." for names in ([], ["0", "0"], ["1"], ["0", "1"])]
    good = old_file(pickle_, storages)
    raw = struct.pack("<q", 4) + ONE.tobytes()
    cases = {
        "storage 0 is missing": old_file(pickle_, {}, keys=keys[0]),
        "storage 0: listed twice": old_file(pickle_, {"0": ONE, "1": ONE}, keys=keys[1]),
        "storage 1: not used by any tensor": old_file(pickle_, storages, keys=keys[2]),
        "found 5 elements and 16 bytes; expected 4": good.removesuffix(raw) + struct.pack("<q", 5) + ONE.tobytes(),
        "found -4 elements": good.removesuffix(raw) + struct.pack("<q", -4) + ONE.tobytes(),
        "found 4 elements and 15 bytes": good[:-1],
        "found 1 bytes after the end": good + b"x",
        "another byte order": old_file(pickle_, storages, machine=MACHINE.replace(b"\x88", b"\x89")),
        "unknown version of the old format": good.replace(PROTOCOL, b"\x80\x02K\x01."),
        "found no list of storages": old_file(pickle_, storages, keys=b"\x80\x02K\x01."),
    }
    for reason, content in cases.items():
        with pytest.raises(UserError) as caught:
            torch_file.tensors(content, "a")
        assert reason in caught.value.message


def twice(content: bytes) -> bytes:
    """Return an archive with a member twice."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a/data/0", bytes(16))
    return file.getvalue()


def archive_of(members: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_damage_of_the_zip_format_is_refused_with_its_place() -> None:
    """Compressed, duplicate, overlapping or missing members, lying sizes and changed bytes: the member is named."""
    pickle_, storages = state({"w": ONE})
    good = zip_file(pickle_, storages)
    bomb = zip_file(pickle_, {"0": np.zeros(10**6, "<f4")}, method=zipfile.ZIP_DEFLATED)
    entry = good.index(b"PK\x01\x02", good.index(b"PK\x01\x02", good.index(b"PK\x01\x02") + 1) + 1)  # of a/data/0
    lying = bytearray(good)
    lying[entry + 20 : entry + 28] = struct.pack("<LL", 2**31, 2**31)
    moved = bytearray(good)
    moved[entry + 42 : entry + 46] = struct.pack("<L", 3)
    values = good.index(ONE.tobytes())
    big = archive_of({"a/data.pkl": pickle_, "a/byteorder": b"big", "a/data/0": ONE.tobytes()})
    cases = {
        "a/data.pkl: found deflate compression, expected none": bomb,
        "a/data/0 appears twice": twice(good),
        "a/data/0: found": bytes(lying),
        "overlaps": bytes(moved),
        "storage 0 is missing": zip_file(pickle_, {}),
        "a/data/0: found 12 bytes; expected 16": zip_file(pickle_, {"0": ONE[:3]}),
        "a/data/0: found 20 bytes; expected 16": zip_file(pickle_, {"0": np.ones(5, "<f4")}),
        "a/data/0: the data does not match its checksum": good[:values] + b"\x01" + good[values + 1 :],
        "another byte order": big,
        "found 0 members <name>/data.pkl": good.replace(b"data.pkl", b"data.pkx"),
        "found 2 members <name>/data.pkl": archive_of({"a/data.pkl": pickle_, "b/data.pkl": pickle_}),
        "cannot read the table of contents": good[:-30],
    }
    for reason, content in cases.items():
        with pytest.raises(UserError) as caught:
            torch_file.tensors(content, "a.pth")
        assert reason in caught.value.message


def test_a_torchscript_program_is_refused_with_the_line_that_saves_its_weights(tmp_path: Path) -> None:
    """As torch.jit.save writes it: the weights of the same network are then read from what the line saves."""
    path = tmp_path / "program.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions write such files too, but advise against it
        torch.jit.trace(torch.nn.Linear(3, 2), torch.zeros(1, 3)).save(str(path))  # type: ignore[no-untyped-call]
        torch.save(torch.jit.load(path).state_dict(), tmp_path / "weights.pth")  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match="found a TorchScript program; expected a state dict") as caught:
        torch_file.tensors(path.read_bytes(), "program.pt")
    assert caught.value.help is not None
    line = caught.value.help.partition(": ")[2]
    assert line == 'torch.save(torch.jit.load("program.pt").state_dict(), "weights.pth")'
    assert list(torch_file.tensors((tmp_path / "weights.pth").read_bytes(), "w")[0]) == ["weight", "bias"]


def test_many_members_are_refused_before_their_names_are_read() -> None:
    """A table of contents of a million members is refused by its declared size, and one of 30,000 by its count."""
    good = zip_file(*state({"w": ONE}))
    end = bytearray(good[-22:])
    end[12:16] = struct.pack("<L", 50_000_000)
    with pytest.raises(UserError, match=r"a table of contents of 50\.0 MB"):
        torch_file.tensors(good[:-22] + bytes(end), "a")
    with pytest.raises(UserError, match="found 20,200 members; expected at most 20,100"):
        torch_file.tensors(archive_of({f"a/data/{k}": b"" for k in range(20_200)}), "a")


@pytest.mark.parametrize("way", WRITERS)
def test_every_truncation_is_refused(way: str) -> None:
    """A file that ends anywhere is a UserError, and nothing else is raised."""
    content = WRITERS[way](*state(ARRAYS))
    for length in range(len(MAGIC), len(content)):
        with pytest.raises(UserError):
            torch_file.tensors(content[:length], "a")


@pytest.mark.parametrize("way", WRITERS)
def test_every_flip_is_refused_or_read(way: str) -> None:
    """Every third byte changed to some others: a UserError, or tensors within the file; nothing else is raised."""
    content = bytearray(WRITERS[way](*state(ARRAYS)))
    for position in range(len(MAGIC), len(content), 3):
        before = content[position]
        for value in (0, 1, before ^ 0x80, 0x28, 0x2E, 0x52, 0x62, 0x71, 0x8A, 0xFF):
            content[position] = value
            with contextlib.suppress(UserError):
                found, _ = torch_file.tensors(bytes(content), "a")
                assert sum(array.nbytes for array in found.values()) <= 2 * len(content)
        content[position] = before


STEPS = (b"(", b")", b"t", b"}", b"]", b"a", b"e", b"s", b"u", b"R", b"b", b"Q", b"\x81", b"0", b"N", b"\x88", b"K\x04",
         b"q\x00", b"h\x00", b"\x85", b"\x86", HOOKS, GOOD, text("storage"), FLOAT,
         VERSION_2, b"ctorch.nn.parameter\nParameter\n", storage("0", 4), tuple_of(whole(2), whole(2)))  # fmt: skip


def test_random_pickles_raise_nothing_else() -> None:
    """Ten thousand pickles of random steps with a fixed seed: each is refused with a message, or is a state dict."""
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        steps = [STEPS[k] for k in rng.integers(0, len(STEPS), rng.integers(1, 20))]
        content = old_file(b"\x80\x02" + b"".join(steps) + b".", {"0": ONE})
        with contextlib.suppress(UserError):
            torch_file.tensors(content, "a")


HUGE = """
import sys
from torch_files import *
from layerline.errors import UserError
from layerline.files import torch_file
{peak}
ones = np.ones(4, "<f4")
contents = [write(*each) for write in (old_file, zip_file) for each in (
    (dictionary({{"w": tensor(storage("0", 2**29), (2**29,))}}), {{"0": ones}}),
    (dictionary({{str(k): tensor(storage("0", 10**6), (10**6,)) for k in range(600)}}), {{"0": np.ones(10**6, "<f4")}}),
)]
before = peak()
for content in contents:
    try:
        torch_file.tensors(content, "a")
    except UserError as error:
        print(error.message)
print(peak() - before)
"""


def test_sizes_that_lie_take_no_memory() -> None:
    """Two GB of floats in a small file, and 600 tensors of one storage: refused without memory for them."""
    paths = os.pathsep.join((str(SOURCES), str(ROOT / "tests")))
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", HUGE.format(peak=PEAK)],
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    *messages, taken = ran.stdout.splitlines()
    assert len(messages) == 4
    assert sum("600,000,000 values" in message for message in messages) == 2
    assert int(taken) < 50_000_000
