"""The command line: parse, call the api, print.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

import errno
import logging
import sys
from typing import Annotated

import typer

from selfvos import __version__
from selfvos.cli import (
    catalogue,
    datasets,
    experiment,
    export,
    fleet,
    follow,
    inspect,
    learn,
    matches,
    measure,
    slurm,
    web,
)
from selfvos.cli.console import err, out, print_what_the_console_can
from selfvos.errors import SelfvosError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Learn video object segmentation from unlabelled video, then follow every object from one mask.\n\n"
    "Example: `selfvos demo`; of one's own: `selfvos track dance.mp4 --mask dance.png --out result`",
)
_debug = False
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit: 0 done, 1 a bug, 2 wrong usage, 3 bad data, 4 out of a resource.

    What a signal stopped ends with 128 and its number: 130 for Ctrl-C, 143 for SIGTERM.
    """
    print_what_the_console_can()
    try:
        status = app(standalone_mode=False)
        if status == _INTERRUPTED:  # typer turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except SelfvosError as error:
        _fail(error, error.exit_status)
    except KeyboardInterrupt as error:
        _fail(error, _INTERRUPTED, "stopped; what was finished before is kept")
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        _fail(error, 4 if full else 1, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            # Click's own complaints about arguments.
            error.show()  # pyright: ignore[reportAttributeAccessIssue]
            sys.exit(error.exit_code)  # pyright: ignore[reportAttributeAccessIssue]
        _fail(error, 1, f"{type(error).__name__}: {error} (a bug; --debug shows where)")


@app.callback()
def start(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more on the way.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Set up what all commands share."""
    global _debug
    _debug = debug
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr
    )
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit


def _fail(error: BaseException, status: int, message: str | None = None) -> None:
    if _debug:
        raise error
    text = " ".join((message or str(error)).split())
    err.print(f"[bold red]selfvos:[/] {_plain(text)}", highlight=False, soft_wrap=True)
    sys.exit(status)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


_COMMANDS = (
    *(
        follow.demo,
        follow.track,
        web.web,
        export.export,
        learn.train,
        learn.adapt,
        learn.replay,
        learn.cluster,
        learn.convert,
        learn.push,
        learn.join,
    ),
    slurm.slurm,
    *(measure.evaluate, measure.score, experiment.compare, experiment.ablate, inspect.info, inspect.doctor),
    matches.matches,
    *(fleet.batch, fleet.verify),
)
for _command in _COMMANDS:
    app.command()(_command)
app.command("import")(export.import_)
app.command("list")(catalogue.list_)
app.add_typer(datasets.data, name="data")
