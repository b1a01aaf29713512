"""The entry point of the command line: here, and only here, exceptions become messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Final, NoReturn

import click

from layerline import __version__
from layerline.cli.color import Color, colored, colors_on
from layerline.cli.commands import Commands
from layerline.cli.several import check_alone, process_name
from layerline.cli.terminal import detach, prepare_streams, wipe
from layerline.errors import CodeCacheWarning, DivergedError, UserError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import TextIO

OK: Final = 0
DIVERGED: Final = 1
MISTAKE: Final = 2
BUG: Final = 70
STOPPED: Final = 130
ENDED: Final = 143

_FULL: Final = (errno.ENOSPC, errno.EIO)
"""Errors of writing to stdout if the disk is full or the terminal is gone."""

_NO_FILES: Final = (errno.EMFILE, errno.ENFILE)
_NO_SUCH_PATH: Final = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR)
"""Errors if the system cannot, or is not allowed to, find out whether a path exists."""
_NO_THREAD: Final = "can't start new thread"
_NO_MEMORY: Final = ("failed to map segment", "annot allocate memory")
"""Messages, besides those of MemoryError, if a memory limit is reached."""

_EXTRA: Final = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)
"""Click's message about arguments too many."""
_HELP: Final = "\n  help: "
"""Before the last line of a message."""
_LONGEST_LINE: Final = 1000

_BUG_TEXT: Final = (
    "This is a bug in Layerline, not a mistake of yours. Please report it with the lines above "
    f"(layerline {__version__})."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, message="layerline %(version)s")
@click.pass_context
def layerline(context: click.Context) -> None:
    """Train a convolutional image classifier from a text file with one layer per line.

    To get started: layerline train digits --data digits
    """
    if context.invoked_subcommand not in (None, "train"):
        check_alone(f"layerline {context.invoked_subcommand}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 diverged, 2 user error, 70 our bug, 130 and 143 stopped."""
    prepare_streams()
    _take_signals()
    _show_warnings()
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        _stop_now(STOPPED)
    except SystemExit as error:
        if error.code != ENDED:
            raise
        _stop_now(ENDED)
    return _flushed(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command and return its exit code; every error is reported on stderr."""
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        with layerline.make_context("layerline", words) as context:  # click's own main exits with 1 on a closed pipe
            code = layerline.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return OK
    except click.ClickException as error:
        _say(_usage(error))
        return MISTAKE
    except UserError as error:
        _say(error.with_flags)
        return MISTAKE
    except DivergedError as error:  # on all ranks at the same step
        if process_name() in ("", "rank 0: "):
            _say(error.with_flags)
        return DIVERGED
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        return OK
    except Exception as error:
        return _unforeseen(error)
    return code if isinstance(code, int) else OK


def _unforeseen(error: Exception) -> int:
    """Report any other error and return its exit code: a system limit, a path that the system refuses, or our bug."""
    limit = _limit(error)
    if limit is not None:
        _say(limit)
        return MISTAKE
    if isinstance(error, OSError) and error.errno in _NO_SUCH_PATH and error.filename is not None:
        _say(f"{display.name(os.fsdecode(error.filename), 200)}: cannot be read: {error.strerror}")
        return MISTAKE
    if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
        return _unwritten(error)
    import traceback

    _say("".join(traceback.format_exception(error)) + "\n" + _BUG_TEXT)
    return BUG


def _limit(error: Exception) -> str | None:
    """Return the message if a system limit was reached, None for any other error."""
    if isinstance(error, OSError) and error.errno in _NO_FILES:
        return "too many open files\n  help: raise the limit (ulimit -n); 64 is enough"
    if _NO_THREAD in str(error):
        return (
            "the system cannot start more threads\n  help: raise the limit (ulimit -u, ulimit -v), or use --threads 1"
        )
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
        return "not enough memory\n  help: use a smaller --batch-size or --limit, or a smaller network"
    return None


def _usage(error: click.ClickException) -> str:
    """Return click's error in our format."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    help_line = getattr(error, "help", None)
    match error:
        case click.NoSuchOption():
            params = [] if context is None else context.command.params
            flags = [flag.removeprefix("--") for one in params for flag in one.opts if flag.startswith("--")]
            near = spelling.nearest(error.option_name.lstrip("-"), flags)
            help_line = None if near is None else f"did you mean --{near}?"
            message = f"{error.option_name}: unknown option"
        case click.MissingParameter(param=click.Argument() as argument):
            message = f"{(argument.name or '').upper()}: missing"
        case click.UsageError() if extra := _EXTRA.fullmatch(message):
            message = f"{extra[1]}: unexpected argument{'s' * (' ' in extra[1])}"
        case click.BadOptionUsage():
            takes = "does not take a" if "does not take" in message else "needs a"
            message = f"{error.option_name} {takes} value"
    if help_line is None and context is not None:
        help_line = f"see {context.command_path} --help"
    return message + (f"\n  help: {help_line}" if help_line else "")


def _say(message: str) -> None:
    """Write to stderr, without control characters; if stderr is closed, the message is dropped."""
    message = process_name() + message
    plain = "\n".join(display.name(line, _LONGEST_LINE) for line in message.split("\n"))
    with contextlib.suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            wipe(stream, os.environ)
        if colors_on(sys.stderr, os.environ):
            head, mark, line = plain.rpartition(_HELP)
            plain = head + (mark and colored(mark, Color.HELP)) + line
        click.echo(plain, err=True)


def _show_warnings() -> None:
    """Print warnings about cached machine code like errors; others look as Python prints them."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, CodeCacheWarning):
            _say(f"warning: {message}")
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def _take_signals() -> None:
    """Make SIGTERM and SIGHUP end the process like an exit, so that half-written files are removed."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise SystemExit(ENDED)

    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, leave)


def _stop_now(code: int) -> NoReturn:
    """Exit at once: a thread may still run machine code, and must not outlive the interpreter's memory."""
    _say("\nstopped")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def _flushed(code: int) -> int:
    """Flush stdout and return `code`, or 2 if that fails; a closed pipe is not an error."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        detach(sys.stdout)
    except OSError as error:
        return code or _unwritten(error)
    return code


def _unwritten(error: OSError) -> int:
    """Report that stdout cannot be written, and return the exit code."""
    detach(sys.stdout)
    _say(f"the output cannot be written: {error.strerror or error}")
    return MISTAKE
