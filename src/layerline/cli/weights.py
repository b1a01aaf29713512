"""`layerline weights`: pretrained weights of other libraries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layerline.cli.commands import Command, Words
from layerline.cli.option import GroupedOption
from layerline.cli.terminal import Terminal
from layerline.errors import UserError
from layerline.files.user_folder import shown
from layerline.numbers import display

if TYPE_CHECKING:
    from layerline.network.pretrained import Backbone


@click.group(cls=Words)
def weights() -> None:
    """List, add and remove pretrained weights."""


@weights.command("list", cls=Command)
def list_() -> None:
    """List the networks with pretrained weights."""
    from layerline.cli.columns import folded, table
    from layerline.network.pretrained import BACKBONES, find, how_to_get, weights_folder

    rows, lines = [], []
    for backbone in BACKBONES.values():
        state, text = "none", f"Not on this machine: {how_to_get(backbone.name)}."
        try:
            found = find(backbone.name)
            if found is not None:
                state = "installed" if weights_folder.place_of(backbone.name) is None else "added"
                text = f"{found.origin}. License: {found.license}. Source: SHA-256 {found.digest}."
        except UserError as error:
            repair = "" if error.help is None else f" Help: {error.help}."
            state, text = "refused", f"Refused: {error.message}.{repair}"
        rows.append((*_row(backbone), state))
        lines.append(folded(f"{backbone.name}: {backbone.title}. {text}"))
    for line in table(("name", "images", "features", "weights"), rows, left=(0, 1, 3)):
        click.echo(line)
    click.echo()
    for line in lines:
        click.echo(line)
    click.echo()
    folder = weights_folder.folder()
    where = "no folder, because this user has no home" if folder is None else shown(folder)
    click.echo(folded(f"folder of the weights that you add: {where}"))


def _row(backbone: Backbone) -> tuple[str, ...]:
    return backbone.name, f"{display.picture(backbone.size, backbone.size)} RGB", display.count(backbone.features)


@weights.command(cls=Command)
@click.argument("file")
@click.option(
    *("--as", "name"),
    cls=GroupedOption,
    group="Weights",
    metavar="NAME",
    help="network that the weights are for [the one that they fit]",
)
def add(file: str, name: str | None) -> None:
    """Add the pretrained weights in FILE.

    FILE is a state dict of a network in layerline weights list: .pth or .pt as torch.save writes it, or .safetensors,
    from torchvision or timm for example. It is read as data, and no code in it runs. Each tensor must have the shape
    that the network needs, and the features of a test image are computed; then the weights are copied into a folder in
    your home.
    """
    from layerline.cli.columns import folded
    from layerline.engines import pattern
    from layerline.network.pretrained import adding, weights_folder

    candidate = adding.candidate(Path(file), name)
    known = candidate.backbone
    if (there := weights_folder.place_of(known.name)) is not None:
        raise UserError(
            f"{shown(there)} already has weights for {known.name}",
            f"to replace them, first run layerline weights remove {known.name}",
        )
    path = weights_folder.write(candidate, pattern.sample(candidate, display.name(file, 200)))
    terminal = Terminal(sys.stdout, os.environ)
    terminal.say(folded(f"{known.name} ({known.title}): {candidate.origin}. License: {candidate.license}."))
    for note in candidate.notes:
        terminal.say(folded(f"note: {note}"))
    terminal.say(folded(f"SHA-256 of {display.name(candidate.source)}: {candidate.digest}"))
    terminal.say(folded(f"{display.counted(len(candidate.weights), 'tensor')} stored in {shown(path)}"))


@weights.command(cls=Command)
@click.argument("name")
def remove(name: str) -> None:
    """Remove the weights that were added for NAME."""
    from layerline.network.pretrained import backbone, installed, weights_folder

    known = backbone(name)
    path = weights_folder.remove(known.name)
    if path is None:
        package = installed.PACKAGES.get(known.name)
        here = package is not None and installed.place_of(known) is not None
        raise UserError(
            f"{known.name}: you have added no weights for it",
            f"pip uninstall {package.name}" if package is not None and here else "layerline weights list shows them",
        )
    click.echo(f"removed {shown(path)}")
