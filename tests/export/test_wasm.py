"""WebAssembly: modules compute the bits of the host's code with vectors of the same width."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import trained_like
import web_models
from web_models import needs_node

from layerline.export.web import templates
from layerline.export.web.module import web_module
from layerline.runs.model_file import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from layerline.export.subject import Subject

SEEDS = tuple(range(24))


def _check(folder: Path, subjects: dict[str, Subject], count: int) -> None:
    """Compare Node with the host for each subject."""
    cases = {name: (subject, trained_like.images_of(subject.network, count, 3)) for name, subject in subjects.items()}
    found, _ = web_models.in_node(folder, cases)
    for name, (subject, images) in cases.items():
        scaled = subject.card.preprocessing.scaled(images)
        expected = trained_like.probabilities(subject, scaled, 4)
        assert found[name].tobytes() == expected.tobytes(), f"{name}:\n{subject.network.text}"


@needs_node
def test_random_networks_have_the_hosts_bits(tmp_path: Path) -> None:
    """Networks of the whole vocabulary compute the same bits in Node as the host does with four lanes."""
    _check(
        tmp_path, {f"n{seed}": trained_like.subject_of(trained_like.random_network(seed), seed) for seed in SEEDS}, 5
    )


@needs_node
@pytest.mark.parametrize("maximum", [16.0, 1.0, 4095.0])
def test_other_scales_of_pixels_have_the_hosts_bits(tmp_path: Path, maximum: float) -> None:
    """A model of images that are not from 0 to 255 takes float32 on their scale."""
    preprocessing = Preprocessing(maximum=maximum)
    network = trained_like.network_of("digits")
    _check(tmp_path, {"digits": trained_like.subject_of(network, 1, preprocessing=preprocessing)}, 9)


@needs_node
@pytest.mark.parametrize("name", ["lenet5", "mobile-small"])
def test_presets_have_the_hosts_bits(tmp_path: Path, name: str) -> None:
    """Presets do, too: benchmarks/web_networks.py compares all of them, and 200 random networks."""
    _check(tmp_path, {name: trained_like.subject_of(trained_like.network_of(name), 1)}, 3)


@needs_node
def test_mistakes_are_named(tmp_path: Path) -> None:
    """Pixels of another size, and files that are not a model, are refused with what is expected."""
    subject = trained_like.subject_of(trained_like.network_of("digits"), 1)
    (tmp_path / "model.js").write_text(templates.text("model.js"))
    (tmp_path / "model.wasm").write_bytes(web_module(subject).content)
    (tmp_path / "mistakes.mjs").write_text(
        """
        import { readFile } from "node:fs/promises";
        import { load } from "./model.js";
        const model = await load(await readFile("model.wasm"));
        const tell = async (work) => { try { await work(); } catch (error) { console.log(String(error)); } };
        await tell(() => model.classify(new Uint8Array(4 * 64)));
        await tell(() => load(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)));
        await tell(() => load(Uint8Array.of(1, 2, 3)));
        await tell(() => load("data:nonsense"));
        console.log(Object.keys(model).join(" "));
        """
    )
    found = web_models.node("mistakes.mjs", cwd=tmp_path).splitlines()
    assert found[0] == "RangeError: 256 values, expected 8×8×1"
    assert found[1] == "TypeError: not a model exported by Layerline"
    assert found[2].startswith("CompileError: ")
    assert found[3].startswith("TypeError: fetch failed")
    types = templates.text("model.d.ts")
    for key in found[4].split():
        assert re.search(rf"^  (readonly {key}:|{key}\()", types, re.MULTILINE), key


@needs_node
def test_results_stay_and_images_do_not_mix(tmp_path: Path) -> None:
    """What `classify` returns is not changed by the next call, and each image is computed anew: memory is shared."""
    subject = trained_like.subject_of(trained_like.network_of("lenet5"), 1)
    images = trained_like.images_of(subject.network, 3, 3)
    images[1] = 0
    repeated = images[[0, 1, 2, 1, 0]]
    found, _ = web_models.in_node(tmp_path, {"lenet5": (subject, repeated)})
    assert found["lenet5"][3].tobytes() == found["lenet5"][1].tobytes()
    assert found["lenet5"][4].tobytes() == found["lenet5"][0].tobytes()
    assert found["lenet5"].tobytes() == trained_like.probabilities(subject, repeated, 4).tobytes()


@needs_node
def test_any_runtime_can_run_a_module(tmp_path: Path) -> None:
    """A module imports nothing; pixels at `pixels`, a call of `run`, probabilities at `probabilities` are enough."""
    subject = trained_like.subject_of(trained_like.network_of("lenet5"), 1)
    image = trained_like.images_of(subject.network, 1, 3)
    image.tofile(tmp_path / "image")
    (tmp_path / "model.wasm").write_bytes(web_module(subject).content)
    (tmp_path / "plain.mjs").write_text(
        """
        import { readFileSync, writeFileSync } from "node:fs";
        const module = new WebAssembly.Module(readFileSync("model.wasm"));
        console.log(JSON.stringify(WebAssembly.Module.imports(module)));
        const { memory, pixels, probabilities, run } = new WebAssembly.Instance(module).exports;
        new Uint8Array(memory.buffer).set(readFileSync("image"), pixels.value);
        run();
        writeFileSync("found", new Float32Array(memory.buffer, probabilities.value, 10));
        """
    )
    assert web_models.node("plain.mjs", cwd=tmp_path) == "[]\n"
    assert (tmp_path / "found").read_bytes() == trained_like.probabilities(subject, image, 4).tobytes()
