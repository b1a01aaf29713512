"""The exported page: self-contained, escaped, small, and true about its model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import read_page
import trained_like

from layerline.data.checking.brightness import Brightness
from layerline.errors import UserError
from layerline.export.export_options import ExportOptions
from layerline.export.formats import format_of
from layerline.export.subject import Origin
from layerline.export.web import web_page
from layerline.runs.model_file import Preprocessing
from layerline.runs.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from read_page import Element

    from layerline.export.subject import Subject

HOSTILE = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "{{ 7 * 7 }}", "\u202egnp", "\"'&amp;")
NETWORK = "Input 1 28 28\nPool 7 7\nFlat\nFC {}\n"


def subject(classes: tuple[str, ...] = ("a", "b", "c"), text: str = NETWORK, **more: object) -> Subject:
    import layerline

    network = layerline.parse(text.format(len(classes)))
    return trained_like.subject_of(network, 1, classes=classes, **more)  # type: ignore[arg-type]


def written(some: Subject) -> bytes:
    return web_page.export(some, ExportOptions()).files[".html"]


def tree_of(content: bytes, folder: Path) -> Element:
    path = folder / "page.html"
    path.write_bytes(content)
    return read_page.read(path)


def test_nothing_is_loaded(tmp_path: Path) -> None:
    """No address at all; a policy that forbids everything but the one script, by its hash, and WebAssembly."""
    content = written(subject())
    assert b"http:" not in content
    assert b"https:" not in content
    assert b"url(" not in content
    tree = tree_of(content, tmp_path)
    (script,) = (each for each in tree.all("script") if each.attributes.get("type") == "module")
    digest = base64.b64encode(hashlib.sha256("".join(map(str, script.children)).encode()).digest()).decode()
    assert tree.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"] == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}' 'wasm-unsafe-eval'; "
        "base-uri 'none'; form-action 'none'"
    )
    for element in tree.all():
        assert not {"src", "srcset", "data", "action"} & set(element.attributes), element.tag
        assert element.attributes.get("href", "#").startswith("#")


def test_names_of_classes_are_text(tmp_path: Path) -> None:
    """Markup, the end of a script and text direction in names do nothing: neither in the page nor in the model."""
    content = written(subject(HOSTILE, origin=Origin(HOSTILE[0], 5, None)))
    tree = tree_of(content, tmp_path)
    assert len(list(tree.all("script"))) == 2
    assert not list(tree.all("img"))
    assert HOSTILE[0] in tree.text
    assert "{{ 7 * 7 }}" in tree.text
    assert "\u202e" not in content.decode()
    model = base64.b64decode(tree.one("script", id="try-model").text)
    card = json.loads(model[model.rindex(b'{"layerline"') :])
    assert card["classes"] == list(HOSTILE)


def test_the_page_is_small() -> None:
    """Without the model, the page has at most 80 kB."""
    content = written(subject())
    model = re.search(rb'id="try-model">([^<]*)<', content)
    assert model is not None
    assert len(content) - len(model[1]) <= 80_000


def test_the_scores_are_those_of_the_run(tmp_path: Path) -> None:
    """Accuracy and macro F1 with their intervals, and the data; without a run or a test, the page says so."""
    result = Result(
        ("a", "b", "c"),
        test_loss=0.5,
        test_accuracy=0.875,
        test_macro_f1=0.75,
        confusion=np.array([[3, 0, 0], [0, 3, 1], [0, 0, 1]]),
        intervals={"test_accuracy": (0.8, 0.9), "test_macro_f1": (0.7, 0.81)},
    )
    text = tree_of(written(subject(origin=Origin("letters", 1234, result))), tmp_path).text
    assert "trained on letters: 1,234 images" in text
    assert "87.50% (95% confidence interval: 80.00% to 90.00%), on 8 test images" in text
    assert "75.00% (95% confidence interval: 70.00% to 81.00%)" in text
    assert (
        "none: there was no test set"
        in tree_of(written(subject(origin=Origin("letters", 1, Result(("a", "b", "c"))))), tmp_path).text
    )
    assert "not known: the model was exported without its run" in tree_of(written(subject()), tmp_path).text


@pytest.mark.parametrize(
    ("text", "middle", "ink"),
    [
        (NETWORK, 0.13, ("light", True)),
        (NETWORK, 0.9, ("dark", False)),
        ("Input 1 8 8\nFlat\nFC {}\n", 0.3, ("light", False)),
        ("Input 3 28 28\nFlat\nFC {}\n", 0.3, None),
        ("Input 1 96 96\nPool 8 8\nFlat\nFC {}\n", 0.3, None),
    ],
)
def test_the_pad_fits_the_training_images(
    text: str, middle: float, ink: tuple[str, bool] | None, tmp_path: Path
) -> None:
    """Small gray images can be drawn, with the ink of the training images; 28×28 are centered like MNIST."""
    channels = int(text.split()[1])
    seen = Brightness((middle,) * channels, (0.3,) * channels, 0.05, 0.0, 1.0)
    tree = tree_of(written(subject(text=text, preprocessing=Preprocessing(seen=seen))), tmp_path)
    pads = [each for each in tree.all("canvas") if each.attributes["id"] == "try-pad"]
    assert bool(pads) == (ink is not None)
    if ink is not None:
        assert pads[0].attributes["data-ink"] == ink[0]
        boxes = [each for each in tree.all("input") if each.attributes["id"] == "try-centered"]
        assert bool(boxes) == ink[1]


def test_images_of_two_channels_have_no_page() -> None:
    """Image files cannot be the input of such a network; its module can be exported."""
    some = subject(text="Input 2 8 8\nFlat\nFC {}\n")
    with pytest.raises(UserError, match="2 channels"):
        written(some)
    assert list(format_of("wasm").export(some, ExportOptions()).files) == [".wasm", ".js", ".d.ts"]


def test_the_same_model_gives_the_same_bytes() -> None:
    """An export does not depend on time, memory or chance."""
    assert written(subject()) == written(subject())
