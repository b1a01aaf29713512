"""The door of the command line: what is raised inside becomes a message and an exit code here, and only here."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn

import click

from layerline import __version__
from layerline.cli.commands import Commands
from layerline.cli.terminal import detach, prepare_streams, wipe
from layerline.errors import DivergedError, UserError, spelling
from layerline.numbers import display

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

OK: Final = 0
DIVERGED: Final = 1
MISTAKE: Final = 2
BUG: Final = 70
STOPPED: Final = 130
ENDED: Final = 143

_FULL: Final = (errno.ENOSPC, errno.EIO)
"""What writing to stdout fails with where the disk is full or the terminal is gone."""

_NO_FILES: Final = (errno.EMFILE, errno.ENFILE)
_NO_SUCH_PATH: Final = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR)
"""What the system answers where it may not, or cannot, even say whether a path that somebody gave is there."""
_NO_THREAD: Final = "can't start new thread"
_NO_MEMORY: Final = ("failed to map segment", "annot allocate memory")
"""What is said, beside MemoryError, where a limit on memory is reached."""

_LONGEST_LINE: Final = 1000

_BUG_TEXT: Final = (
    "This is a bug in Layerline, not a mistake of yours. Please report it with the lines above "
    f"(layerline {__version__})."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["--help"], "max_content_width": 80})
@click.version_option(__version__, message="layerline %(version)s")
def layerline() -> None:
    """Train a convolutional image classifier from a text file, one layer a line.

    The first steps: layerline train digits --data digits
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 diverged, 2 a mistake, 70 our bug, 130 and 143 stopped."""
    prepare_streams()
    _take_signals()
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
    """Return the exit code of the command; every error is said on stderr."""
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
        _say(str(error))
        return MISTAKE
    except DivergedError as error:
        _say(str(error))
        return DIVERGED
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        return OK
    except Exception as error:
        return _unforeseen(error)
    return code if isinstance(code, int) else OK


def _unforeseen(error: Exception) -> int:
    """Return the exit code of an error that is no mistake of the user's: a limit of the system, a path that
    it refuses, or a bug of ours."""
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
    """Return what to say where a limit of the system is reached, None where the error is another."""
    if isinstance(error, OSError) and error.errno in _NO_FILES:
        return "too many files are open at once\n  help: raise that limit (ulimit -n): 64 are enough"
    if _NO_THREAD in str(error):
        return "the system starts no more threads\n  help: raise its limit (ulimit -u, ulimit -v), or use --threads 1"
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
        return "there is not enough memory for this\n  help: use a smaller --batch-size, --limit, or a smaller network"
    return None


def _usage(error: click.ClickException) -> str:
    """Return click's error in the words of ours."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    help_line = getattr(error, "help", None)
    match error:
        case click.NoSuchOption():
            params = [] if context is None else context.command.params
            flags = [flag.removeprefix("--") for one in params for flag in one.opts if flag.startswith("--")]
            near = spelling.nearest(error.option_name.lstrip("-"), flags)
            help_line = None if near is None else f"did you mean --{near}?"
            message = f"{error.option_name}: there is no such option"
        case click.MissingParameter(param=click.Argument() as argument):
            message = f"{(argument.name or '').upper()}: missing"
        case click.BadOptionUsage():
            takes = "takes no" if "does not take" in message else "needs a"
            message = f"{error.option_name}: {takes} value"
    if help_line is None and context is not None:
        help_line = f"{context.command_path} --help lists what there is"
    return message + (f"\n  help: {help_line}" if help_line else "")


def _say(message: str) -> None:
    """Write to stderr, nothing in it that a terminal obeys; where that is closed there is nobody to tell."""
    plain = "\n".join(display.name(line, _LONGEST_LINE) for line in message.split("\n"))
    with contextlib.suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            wipe(stream, os.environ)
        click.echo(plain, err=True)


def _take_signals() -> None:
    """Let what asks the process to go end it as an exit would, so that half-written files are removed."""

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
    """Leave at once: a thread may still be in machine code, and must not outlive the interpreter's memory."""
    _say("\nstopped")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def _flushed(code: int) -> int:
    """Return `code` after the output has left, or 2 where it could not; a closed pipe is no mistake."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        detach(sys.stdout)
    except OSError as error:
        return code or _unwritten(error)
    return code


def _unwritten(error: OSError) -> int:
    """Say that stdout takes no more, and return the exit code."""
    detach(sys.stdout)
    _say(f"the output cannot be written: {error.strerror or error}")
    return MISTAKE
