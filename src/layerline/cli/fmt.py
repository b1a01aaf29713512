"""`layerline fmt`."""

from __future__ import annotations

from pathlib import Path

import click

from layerline.cli.commands import Command, GroupedOption
from layerline.errors import UserError
from layerline.files import regular
from layerline.numbers import display


@click.command(cls=Command)
@click.argument("net")
@click.option(
    "--write", cls=GroupedOption, group="Options", is_flag=True, help="write the file anew, instead of printing"
)
@click.option(
    "--check", cls=GroupedOption, group="Options", is_flag=True, help="print nothing; exit 1 where it would change"
)
def fmt(net: str, write: bool, check: bool) -> int:
    """Print NET, a network file or preset, in its readable form.

    The readable form names the arguments (Conv 6 kernel=5 padding=2), indents blocks and keeps comments.
    """
    from layerline.files import whole
    from layerline.network import find, notes
    from layerline.network_file import formatted

    if write and check:
        raise click.UsageError("--write and --check: choose one")
    file, text = find(net)
    readable = formatted(text, file)
    if check:
        changed = _content(file, text) != readable
        if changed:
            click.echo(f"{file}: is not in its readable form; layerline fmt {file} --write changes it", err=True)
        return int(changed)
    for note in notes(text, file):
        click.echo(f"{note}\n", err=True)
    if not write:
        click.echo(readable, nl=False)
    elif not Path(net).exists():
        raise UserError(f"{net}: is a preset, and presets are not written", f"layerline fmt {net} > {net}.cnn")
    elif _content(file, text) != readable:
        whole.write(Path(net), (readable.encode(),))
    return 0


def _content(file: str, text: str) -> str:
    """Return the file as it is, where `text` has lost its byte order mark and may have lost its line ends."""
    path = Path(file)
    if not path.exists():
        return text
    from layerline.network_file import LARGEST_FILE

    try:
        content = regular.content(path, LARGEST_FILE)
    except OSError as error:
        raise UserError(f"{display.name(file, 200)}: cannot be read: {error.strerror or error}") from error
    return text if content is None else content.decode("utf-8", "replace")
