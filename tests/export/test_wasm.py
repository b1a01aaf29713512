"""WebAssembly: modules compute the bits of the host's code with vectors of the same width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trained_like
import web_models
from web_models import needs_node

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
