"""The model file: what is in it, that others read it, and that no change goes unseen."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from layerline.data.dataset import Scaling
from layerline.errors import UserError
from layerline.files import tensors
from layerline.runs import model_file

CARD = model_file.Card(
    network_name="small",
    network="# Netz für zwei Klassen\r\nConv 2 3\nFlat\nFC classes\n",
    input_shape=(1, 5, 4),
    classes=("Katze", "猫", "a\x1b[31m\n"),
    scaling=Scaling((1 / 255,), (-0.1307 / 0.3081,)),
    versions={"layerline": "0.1.0", "numpy": "2.0.0"},
)


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "4.weight": rng.normal(size=(3, 12)).astype(np.float32),
        "0.weight": rng.normal(size=(5, 3, 1, 2)).astype(np.float32).transpose(3, 2, 1, 0)[:, :, :, :3],
        "0.bias": np.array([np.nan, np.float32(1e-45)], np.float32),
        "1.num_batches_tracked": np.array(7, np.int64),
        "2.empty": np.zeros((0, 3), np.float32),
    }


def test_safetensors_reads_what_was_saved(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """The safetensors package sees every array, bit for bit, in its dtype and shape, and all metadata."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    digest = model_file.write(tmp_path / "m.safetensors", weights, CARD)
    found = load_file(tmp_path / "m.safetensors")
    assert set(found) == set(weights)
    for name, array in weights.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        metadata = file.metadata()
    assert metadata["sha256"] == digest
    assert (metadata["format"], metadata["format_version"]) == ("layerline", "1")
    assert (metadata["network_name"], metadata["network"]) == (CARD.network_name, CARD.network)
    assert json.loads(metadata["input_shape"]) == [1, 5, 4]
    assert tuple(json.loads(metadata["classes"])) == CARD.classes
    assert json.loads(metadata["scaling"]) == {"scale": [1 / 255], "shift": [-0.1307 / 0.3081]}
    assert json.loads(metadata["versions"]) == CARD.versions


def test_pytorch_loads_it(tmp_path: Path) -> None:
    """A PyTorch network takes the file as its state dict, strictly, and computes the same."""
    import torch
    from safetensors.torch import load_file

    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(12, 3))
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    model_file.write(tmp_path / "m.safetensors", state, CARD)
    other = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(12, 3))
    other.load_state_dict(load_file(tmp_path / "m.safetensors"), strict=True)
    images = torch.randn(4, 1, 5, 4)
    assert torch.equal(network(images), other(images))


def test_the_digest_is_what_the_document_says(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """SHA-256 of the whole file with the digest's 64 digits, bytes 35 to 98 from 0, replaced by zeros."""
    digest = model_file.write(tmp_path / "m.safetensors", weights, CARD)
    data = (tmp_path / "m.safetensors").read_bytes()
    blank, times = re.subn(rb'"sha256":"[0-9a-f]{64}"', b'"sha256":"' + b"0" * 64 + b'"', data)
    assert times == 1
    assert hashlib.sha256(blank).hexdigest() == digest
    assert data[35:99] == digest.encode()


def test_reads_back(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """The arrays come back in the order they were saved in, bit for bit, with the metadata."""
    model_file.write(tmp_path / "m.safetensors", weights, CARD)
    held = tensors.read(tmp_path / "m.safetensors")
    found, metadata = held.arrays, held.metadata
    assert list(found) == list(weights)
    for name, array in weights.items():
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert metadata["network"] == CARD.network


def test_equal_models_give_equal_files(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Nothing but the model decides the bytes, not even the order in which versions are given."""
    turned = model_file.Card(**{**vars(CARD), "versions": dict(reversed(CARD.versions.items()))})
    assert model_file.write(tmp_path / "a", weights, CARD) == model_file.write(tmp_path / "b", weights, turned)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_no_changed_byte_goes_unseen(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Each byte changed by one bit, each length cut to, and bytes appended: all are refused."""
    path = tmp_path / "m.safetensors"
    model_file.write(path, weights, CARD)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    wrong = [whole[:k] for k in range(len(whole))] + [whole + b"\0", whole + whole]
    wrong += [whole[:k] + bytes([whole[k] ^ (1 << int(rng.integers(8)))]) + whole[k + 1 :] for k in range(len(whole))]
    for data in wrong:
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"not a file written by Layerline|another program|is empty|SHA-256"):
            tensors.read(path)


def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, weights: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full when the file is flushed, the old file stays, no other is left, and the error says so."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        model_file.write(path, weights, CARD)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_no_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.weight: float64"):
        model_file.write(tmp_path / "m", {"0.weight": np.zeros(3)}, CARD)
    assert not list(tmp_path.iterdir())


NETWORK = "Conv 2 3\nFlat\nFC 2\n"


@pytest.fixture
def good() -> tuple[dict[str, np.ndarray], model_file.Card]:
    """Return the weights of a network, and its card."""
    from layerline.network import initial_weights, parse

    network = parse(NETWORK, name="n", input_shape=(1, 5, 4), classes=2)
    return initial_weights(network, 0), dataclasses.replace(CARD, network=NETWORK, classes=("a", "b"))


def test_a_model_is_read_back(tmp_path: Path, good: tuple[dict[str, np.ndarray], model_file.Card]) -> None:
    """`read` gives the network, the card and the weights that were saved."""
    weights, card = good
    card = dataclasses.replace(card, preprocessing=model_file.Preprocessing("pad", 16.0))
    digest = model_file.write(tmp_path / "m.safetensors", weights, card)
    held = model_file.read(tmp_path / "m.safetensors")
    assert held.digest == digest
    assert (held.card, held.network.text) == (card, NETWORK)
    assert list(held.weights) == list(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(held.weights[name], array)


def _with(card: model_file.Card, **metadata: str) -> dict[str, str]:
    return {**model_file.metadata_of(card), **metadata}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "layerline checkpoint"}, "contains a layerline checkpoint, not a model"),
        (
            {"format_version": "2", "versions": '{"layerline": "3.1.0"}'},
            "written by layerline 3.1.0 in format version 2",
        ),
        ({"classes": '["a", "a"]'}, "classes must be distinct names"),
        ({"classes": '["a", "b", "c"]'}, "its network cannot be built"),
        ({"classes": json.dumps(["a", "b" * 1_000_000])}, "a name or the network text is too long"),
        ({"input_shape": "[1, 5]"}, "input_shape must be three positive integers"),
        ({"input_shape": "[1, 5, 5]"}, r"FC|2.weight is float32 \(2, 12\), its network needs"),
        ({"scaling": '{"scale": [NaN], "shift": [0]}'}, "a number in it is not a finite float32"),
        ({"scaling": '{"scale": [1, 1], "shift": [0, 0]}'}, "scaling must have 1 channels"),
        ({"scaling": '{"scale": [1' + "0" * 400 + '], "shift": [0]}'}, "a number in it is not a finite float32"),
        ({"scaling": '{"scale": [true], "shift": [0]}'}, "a number in it is not a finite float32"),
        ({"scaling": "[1, 0]"}, r"\[1, 0\] is not an object"),
        ({"scaling": '{"scale": 1, "shift": 0}'}, "not valid for a model"),
        ({"classes": '{"a": 0, "b": 1}'}, "is not a list"),
        ({"classes": '[["a"], "b"]'}, "classes must be distinct names"),
        ({"classes": "[" * 100_000}, "not valid for a model"),
        ({"input_shape": "5"}, "5 is not a list"),
        ({"input_shape": "[1, 5.0, 4]"}, "input_shape must be three positive integers"),
        ({"input_shape": "[1, 1000000000000, 1000000000000]"}, "its network"),
        ({"network": "ReLU\n" * 300_000}, "a name or the network text is too long"),
        ({"network": "Repeat 1000000\nConv 2 3\nEnd\n"}, "its network cannot be built"),
        ({"versions": "7"}, "7 is not an object"),
        ({"versions": "[]", "format_version": "2"}, "written by layerline unknown in format version 2"),
        ({"preprocessing": '{"fit": ["crop"], "maximum": 255}'}, "preprocessing must have a valid fit and maximum"),
        ({"preprocessing": '{"fit": "crop", "maximum": "255"}'}, "a number in it is not a finite float32"),
        ({"preprocessing": '{"fit": "crop"}'}, "its metadata has no maximum"),
        ({"preprocessing": '{"fit": "squeeze", "maximum": 255}'}, "preprocessing must have a valid fit and maximum"),
        ({"network": "Conv 2 3\nBad\n"}, "its network cannot be built"),
    ],
)
def test_metadata_that_is_not_a_model_s_is_refused(
    change: dict[str, str], message: str, tmp_path: Path, good: tuple[dict[str, np.ndarray], model_file.Card]
) -> None:
    """A file whose digest fits, and whose metadata no model has: refused, with what it is."""
    weights, card = good
    tensors.write(tmp_path / "m", weights, _with(card, **change))
    with pytest.raises(tensors.FileError, match=message):
        model_file.read(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.bias": np.zeros(2, np.int64)}, r"0.bias is int64 \(2,\), its network needs float32"),
        ({"0.bias": np.zeros(3, np.float32)}, r"0.bias is float32 \(3,\), its network needs"),
        ({"9.bias": np.zeros(2, np.float32)}, "9.bias is unknown"),
        ({"0.bias": np.array([np.nan, np.inf], np.float32)}, "0.bias has 2 NaN or infinite values"),
        ({"0.bias": None}, "0.bias is missing"),
    ],
)
def test_weights_that_are_not_the_network_s_are_refused(
    change: dict[str, np.ndarray | None],
    message: str,
    tmp_path: Path,
    good: tuple[dict[str, np.ndarray], model_file.Card],
) -> None:
    """Another type or shape, one too many, one too few, one that is not finite: refused, with its name."""
    weights, card = good
    changed = {name: array for name, array in {**weights, **change}.items() if array is not None}
    tensors.write(tmp_path / "m", changed, _with(card))
    with pytest.raises(tensors.FileError, match=message):
        model_file.read(tmp_path / "m")
    if "NaN" in message:
        assert np.isnan(model_file.read(tmp_path / "m", not_finite=True).weights["0.bias"][0])


FOREIGN = {
    "pickle": (pickle.dumps({"a": 1}), "a pickle, which can run arbitrary code"),
    "old pickle": (b"\x80\x02}q\x00.", "a pickle, which can run arbitrary code"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(200), "an HDF5 file"),
    "zip with a pickle": (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(200), "a PyTorch file"),
    "keras": (b"PK\x03\x04" + bytes(26) + b"model.weights.h5" + bytes(200), "a Keras file"),
    "onnx": (b"\x08\x09\x12\x07pytorch" + bytes(200), "an ONNX file"),
    "html": (b"<!DOCTYPE html><html>" + bytes(200), "an HTML or XML page"),
    "empty": (b"", "is empty"),
    "other safetensors": (b"\x40" + bytes(7) + b'{"a":{"dtype"' + bytes(200), "written or changed by another program"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_recognized_and_refused(kind: str, tmp_path: Path) -> None:
    """By their first bytes; nothing of them is read, and no other way is tried."""
    content, message = FOREIGN[kind]
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(tensors.FileError, match=message):
        model_file.read(tmp_path / "model.safetensors")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A device, which has no end, and a pipe nobody writes to are refused at once; so is a name that is not there."""
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(tensors.FileError, match=r"cannot be read: it is a (device|pipe), not a file"):
            tensors.read(path)
    with pytest.raises(tensors.FileError, match="cannot be read: No such file"):
        tensors.read(tmp_path / "absent")


def test_of_a_foreign_file_only_the_ends_are_read(tmp_path: Path) -> None:
    """A zip of 2 TB is told by its first bytes and by the list of files at its end."""
    path = tmp_path / "huge.pt"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.seek(2 * 10**12)
        file.write(b"archive/data.pkl" + bytes(1000))
    with pytest.raises(tensors.FileError, match="a PyTorch file"):
        tensors.read(path)


def test_names_from_a_file_are_fit_for_a_message(tmp_path: Path) -> None:
    """A tensor's name that is long, and of control characters, is cut and escaped where it is told."""
    path = tmp_path / "m"
    tensors.write(path, {"\x1b[31m" + "x" * 10_000: np.zeros(2, np.float32)}, {})
    content = path.read_bytes().replace(b'"F32"', b'"F16"')
    path.write_bytes(tensors.signed(content))
    with pytest.raises(tensors.FileError, match=r"found dtype F16, expected one of F32") as caught:
        tensors.read(path)
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 300 + len(str(path))


HEADERS = {
    "a gap": lambda e: e["b"].update(data_offsets=[16, 24]),
    "an overlap": lambda e: e["b"].update(data_offsets=[4, 12]),
    "backwards": lambda e: e["a"].update(data_offsets=[8, 0]),
    "another size": lambda e: e["a"].update(shape=[3]),
    "a product that wraps": lambda e: e["a"].update(shape=[2**32, 2**32]),
    "an unknown type": lambda e: e["a"].update(dtype="BF16"),
    "a negative size": lambda e: e["a"].update(shape=[-2]),
    "bytes of nobody": lambda e: e.pop("b"),
    "no bytes at another's place": lambda e: e["b"].update(shape=[0], data_offsets=[0, 0]),
    "a type that is a list": lambda e: e["a"].update(dtype=["F32"]),
    "a shape that is a number": lambda e: e["a"].update(shape=2),
    "offsets that are text": lambda e: e["a"].update(data_offsets="0, 8"),
    "no entry": lambda e: e.update(a=None),
}


@pytest.mark.parametrize("kind", [*HEADERS, "a name twice"])
def test_headers_that_lie_are_refused(kind: str, tmp_path: Path) -> None:
    """Tensors that do not lie one behind the other, as large as their shape, under names of their own: refused."""
    path = tmp_path / "m"
    tensors.write(path, {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}, {})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length].decode()
    if kind == "a name twice":
        text = text.replace('"b":', '"a":')
    else:
        entries = json.loads(text)
        HEADERS[kind](entries)
        text = json.dumps(entries, separators=(",", ":"))
    changed = len(text).to_bytes(8, "little") + text.encode() + content[8 + length :]
    path.write_bytes(tensors.signed(changed))
    with pytest.raises(tensors.FileError, match=r"tensor|duplicate|belong to no tensor"):
        tensors.read(path)
