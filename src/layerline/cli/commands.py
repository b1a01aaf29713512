"""What our commands do that click's do not: late imports, options in groups, no option twice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from layerline.cli import arguments
from layerline.cli.arguments import CommandLine, MistypedError
from layerline.errors import spelling
from layerline.experiment.options import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerline.experiment.options import Option

COMMANDS: Final = {
    "train": "Train a network on images.",
    "predict": "Say what images show.",
    "evaluate": "Test a model on images whose classes are known.",
    "rerun": "Train a run again, and check that the same bits come out.",
    "report": "Write the report of a run as one HTML file.",
    "runs": "List the runs that are there.",
    "compare": "Say which of two runs is better, and whether that can be chance.",
    "new": "Write a network file to begin with.",
    "describe": "Print the table of a network's layers.",
    "data": "Fetch data sets, look at them, and check them.",
    "fmt": "Print or write a network file in its readable form.",
    "engine": "Look into the compiled engine.",
}
"""Each is the function of its name in the module of its name, with what the list of commands says of it."""


class Words(click.Group):
    """A group that says which command was likely meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `help`, `help COMMAND`, `-h`, `version` and `-V` as the options that they are elsewhere."""
        first = args[0] if args else ""
        if first in ("help", "-h"):
            args = [*args[1:], "--help"]
        elif first in ("version", "-V") and self.name == "layerline":
            args = ["--version"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names. Raises UsageError with the nearest one."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            reason = f"{args[0]}: there is no such command"
            raise arguments.command(self, ctx.command_path, args) or MistypedError(
                reason, spelling.hint(args[0], known)
            )
        return super().resolve_command(ctx, args)


class Commands(Words):
    """The commands by name, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of a user's work."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported; None where there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"layerline.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing a command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class GroupedOption(click.Option):
    """An option that knows its group in --help."""

    def __init__(self, *declarations: Any, group: str, **named: Any) -> None:
        """Keep the group."""
        super().__init__(*declarations, **named)
        self.group = group


class Command(click.Command):
    """A command whose options come in groups, and at most once each."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the arguments into our words, then do as click does."""
        return super().parse_args(ctx, CommandLine(self, ctx.command_path, args).in_our_words())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the name of their group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", "Help"), []).append(row)
        for name, rows in groups.items():
            with formatter.section(name):
                formatter.write_dl(rows)


def options(keys: Iterable[str], group: str, *, hidden: bool = False) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of these keys, their values as text; what is not given is None.

    hidden: --help does not list them.
    """
    chosen = [BY_KEY[key] for key in keys]

    def add(function: Any) -> Any:
        for option in reversed(chosen):
            function = _option(option, group, hidden=hidden)(function)
        return function

    return add


def _option(option: Option, group: str, *, hidden: bool) -> Callable[[Any], Any]:
    default = "" if option.default is None else f" [{option.default}]"
    return click.option(
        *(option.flag, *option.also, option.key),
        cls=GroupedOption,
        group=group,
        metavar=option.metavar,
        help=option.help + default,
        envvar="LAYERLINE_DATA" if option.key == "data_dir" else None,
        hidden=hidden,
    )


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the table that were given."""
    return {key: value for key, value in values.items() if key in BY_KEY and value is not None}
