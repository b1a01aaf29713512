"""`layerline fmt`."""

from __future__ import annotations

from pathlib import Path

import click

from layerline.cli.commands import Command
from layerline.cli.option import GroupedOption
from layerline.errors import UserError
from layerline.files import regular
from layerline.numbers import display


@click.command(cls=Command)
@click.argument("net")
@click.option("--write", cls=GroupedOption, group="Options", is_flag=True, help="rewrite the file instead of printing")
@click.option(
    "--check",
    cls=GroupedOption,
    group="Options",
    is_flag=True,
    help="print nothing; exit with 1 if the file would change",
)
def fmt(net: str, write: bool, check: bool) -> int:
    """Format NET, a network file or preset, and print it.

    Formatting names the arguments (Conv 6 kernel=5 padding=2), indents blocks and keeps comments.
    """
    from layerline.files import whole
    from layerline.network import find, notes
    from layerline.network_file import formatted

    if write and check:
        raise click.UsageError("--write and --check cannot be combined")
    file, text = find(net)
    new = formatted(text, file)
    if check:
        changed = _content(file, text) != new
        if changed:
            click.echo(f"{file} is not formatted; run layerline fmt {file} --write", err=True)
        return int(changed)
    for note in notes(text, file):
        click.echo(f"{note}\n", err=True)
    if not write:
        click.echo(new, nl=False)
    elif not Path(net).exists():
        raise UserError(f"{net} is a preset, which cannot be rewritten", f"layerline fmt {net} > {net}.cnn")
    elif _content(file, text) != new:
        whole.write(Path(net), (new.encode(),))
    return 0


def _content(file: str, text: str) -> str:
    """Return the file as it is; `text` has lost its byte order mark, and possibly its line endings."""
    path = Path(file)
    if not path.exists():
        return text
    from layerline.network_file import LARGEST_FILE

    try:
        content = regular.content(path, LARGEST_FILE)
    except OSError as error:
        raise UserError(f"{display.name(file, 200)}: cannot be read: {error.strerror or error}") from error
    return text if content is None else content.decode("utf-8", "replace")
