"""Our additions to click's commands: late imports, options in groups, no option twice."""

from __future__ import annotations

import keyword
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, final

import click

from layerline.cli import arguments
from layerline.cli.arguments import CommandLine, MistypedError
from layerline.cli.option import GroupedOption, SwitchOption
from layerline.cli.proposals import Typed
from layerline.errors import UserError, spelling
from layerline.experiment.options import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from layerline.experiment.options import Option

COMMANDS: Final = {
    "train": "Train a network on images.",
    "predict": "Classify images.",
    "evaluate": "Evaluate a model on labeled images.",
    "export": "Export a model to ONNX, C or a web page.",
    "import": "Import a classifier from an ONNX file.",
    "rerun": "Repeat a run; --check verifies that the results are bit-identical.",
    "report": "Write a run's report as one HTML file.",
    "runs": "List runs.",
    "compare": "Compare two runs and test whether the difference is significant.",
    "new": "Create a network file to start from.",
    "describe": "Print a network's layers, parameters and memory.",
    "data": "Download, view and check data sets.",
    "fmt": "Format a network file.",
    "weights": "List, add and remove pretrained weights.",
    "engine": "Inspect, check and measure the engines.",
}
"""The commands with their summaries; each is the function of that name in the module of that name, or with a _ after
both if it is a word of Python."""


class Words(click.Group):
    """A group that suggests the command that was likely meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Accept `help`, `help COMMAND`, `-h`, `version` and `-V` for --help and --version."""
        first = args[0] if args else ""
        if first in ("help", "-h"):
            args = [*args[1:], "--help"]
        elif first in ("version", "-V") and self.name == "layerline":
            args = ["--version"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names. Raises UsageError with the closest one if it is unknown."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            reason = f"{args[0]}: unknown command"
            raise arguments.command(self, ctx.command_path, args) or MistypedError(
                reason, spelling.hint(args[0], known)
            )
        return super().resolve_command(ctx, args)


class Commands(Words):
    """The commands by name, imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which users need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported; None if it is unknown."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(import_module(f"layerline.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing a command."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class Command(click.Command):
    """A command whose options are grouped in --help, and can be specified at most once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Translate the arguments into our words, then parse them with click."""
        ours = CommandLine(self, ctx.command_path, args).in_our_words()
        ctx.meta[_TYPED] = Typed(ctx.command_path, tuple(ours), self)  # click takes words out of the list
        return super().parse_args(ctx, ours)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Errors about data propose it with other options, instead of `layerline data info`."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            ctx.meta[_TYPED].reword(error)
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the names of their groups."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", "Help"), []).append(row)
        for name, rows in groups.items():
            with formatter.section(name):
                formatter.write_dl(rows)


@final
class LongCommand(Command):
    """A command with many options: --help displays the most important ones and examples, --help-all every option."""

    def __init__(self, *arguments: Any, first: Collection[str], examples: Sequence[str], **named: Any) -> None:
        """Keep the names of the options to display first, and the examples as typed."""
        super().__init__(*arguments, **named)
        self._first, self._examples = first, examples
        self.params.append(
            GroupedOption(
                ["--help-all"],
                group="Help",
                is_flag=True,
                is_eager=True,
                expose_value=False,
                help="Show every option and exit.",
                callback=_help_all,
            )
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first options and the examples, or with --help-all every option."""
        if ctx.meta.get(_ALL):
            super().format_options(ctx, formatter)
            return
        found = {parameter.name: parameter for parameter in self.params}
        shown = [found[name] for name in (*self._first, "help_all")]
        rows = [option.get_help_record(ctx) for option in shown]
        with formatter.section("Main options"):
            formatter.write_dl([row for row in rows if row is not None])
        with formatter.section("Examples"):
            for example in self._examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


_TYPED: Final = "layerline.typed"
"""The key in click's context of the command as it was typed."""
_ALL: Final = "layerline.help_all"
"""The key in click's context of whether every option is displayed."""


def typed() -> Typed:
    """Return the command that is running, as it was typed."""
    found: Typed = click.get_current_context().meta[_TYPED]
    return found


def _help_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


def options(
    keys: Iterable[str], group: str, *, hidden: bool = False, default: str | None = None
) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of these keys, with their values as text; None if not specified.

    hidden: omitted from --help. default: displayed instead of the default that they have in a training run.
    """
    chosen = [BY_KEY[key] for key in keys]

    def add(function: Any) -> Any:
        for option in reversed(chosen):
            function = _option(option, group, hidden=hidden, default=default)(function)
        return function

    return add


def _option(option: Option, group: str, *, hidden: bool, default: str | None) -> Callable[[Any], Any]:
    words = {True: "yes", False: "no"} if isinstance(option.default, bool) else {}
    default = default or words.get(option.default, option.default)
    return click.option(
        *(option.flag, *option.also, option.key),
        cls=SwitchOption if option.kind == "switch" else GroupedOption,
        group=group,
        metavar=option.metavar,
        help=option.help + ("" if default is None else f" [{default}]"),
        envvar="LAYERLINE_DATA" if option.key == "data_dir" else None,
        hidden=hidden,
    )


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the table that were specified."""
    return {key: value for key, value in values.items() if key in BY_KEY and value is not None}
