"""``streamsr desk`` and ``streamsr watch``: a queue of files, in a page and from a folder."""

import asyncio
import contextlib
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamsr import interrupt
from streamsr.cli.errors import tellable
from streamsr.cli.options import engine_options, engine_taken, scale_option, upscale_option
from streamsr.cli.parameters import Seconds
from streamsr.cli.upscale import options_of, upscale
from streamsr.errors import SinkError, one_line, reason_of
from streamsr.jobs.options import FileOptions

if TYPE_CHECKING:
    from streamsr.desk.runner import Runner
    from streamsr.desk.watch import Watcher

WATCH_STATE = ".streamsr-watch"
"""In the folder of the outputs: what of the watched one is done."""

NOT_WATCHED = {
    "dry_run": "--dry-run",
    "cluster": "--cluster",
    "metrics": "--metrics",
    "stats_json": "--stats-json",
    "keep_partial": "--keep-partial",
    "print_pipeline": "--print-pipeline",
}
"""Options of ``upscale`` that make no sense for files that come one by one."""

WAKES_S = 3600.0


@click.command()
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Offer what is in this folder; may be repeated. What leads out of it is refused.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Put finished files here.  [default: streamsr in your folder of videos]",
)
@click.option(
    "--watch",
    "watched",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Queue what appears in this folder; may be repeated.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8010, show_default=True)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the queue and dropped files here.  [default: the user's state folder]",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in your browser.")
def desk(
    roots: tuple[Path, ...],
    output: Path | None,
    watched: tuple[Path, ...],
    port: int,
    state: Path | None,
    opens: bool,
) -> None:
    """Upscale files in a web page on this machine: drop them, compare, queue, play.

    Open the address that is printed; it is a key. Ctrl-C ends the program; the queue goes on when
    it is started again.
    """
    with interrupt.stops_here(), contextlib.ExitStack() as stack:
        needed("the desk", "uvicorn", "starlette", "websockets")
        import platformdirs

        from streamsr.desk.api import Api, Folders
        from streamsr.desk.app import desk_app
        from streamsr.desk.places import Places
        from streamsr.desk.runner import Runner
        from streamsr.desk.store import Store
        from streamsr.desk.watch import check_apart, into
        from streamsr.web.server import Server

        output = made(output or Path(platformdirs.user_videos_dir()) / "streamsr")
        state = state or platformdirs.user_state_path("streamsr") / "desk"
        store = stack.enter_context(Store(state.absolute()))
        shown = Places([*roots, *watched])
        inputs = Places([*roots, *watched, store.dropped])
        runner = Runner(store, allowed=lambda job: inputs.check(job.source), said=_say)
        watchers = []
        for folder in watched:
            check_apart(folder, output)
            watchers.append(_watcher(folder, runner, output=into(output)))
        folders = Folders(inputs, shown.roots, Places([output]), output)
        token = store.token()
        app = desk_app(
            Api(runner, store, folders, sent),
            token=token,
            works=[runner.run, *(watcher.run for watcher in watchers)],
        )
        server = stack.enter_context(Server(app, host="127.0.0.1", port=port, token=token))
        print(f"open {server.url}", file=sys.stderr, flush=True)
        if opens:
            webbrowser.open(server.url)
        while True:
            time.sleep(WAKES_S)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": True})
@click.argument("folder", type=click.Path(path_type=Path), metavar="IN")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="A folder.",
)
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF UPSCALE]...")
def watch(folder: Path, output: Path, more: tuple[str, ...]) -> None:
    """Upscale what appears in the folder IN and has stopped growing into the folder OUT, once.

    Takes the options of upscale. Each file is done with --resume; what failed is tried again when
    the file changes. OUT keeps what is done: start it again, and it goes on.
    """
    with interrupt.stops_here(), contextlib.ExitStack() as stack:
        checked(more)
        from streamsr.desk.runner import Runner
        from streamsr.desk.store import Store
        from streamsr.desk.watch import check_apart, into

        check_apart(folder, output)
        output = made(output)
        store = stack.enter_context(Store(output / WATCH_STATE))
        runner = Runner(store, said=_say)
        watcher = _watcher(folder, runner, output=into(output), options=more)
        print(one_line(f"watching {folder}; Ctrl-C stops"), file=sys.stderr, flush=True)
        asyncio.run(_together(runner, watcher))


@click.command(hidden=True)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--at", "at_s", type=Seconds(), default=0.0)
@scale_option
@upscale_option("--to")
@engine_options
def look(path: Path, at_s: float, stats_json: Path | None, **asked: Any) -> None:  # click's values
    """Write one picture of a film before and after, for the desk."""
    del stats_json
    from streamsr.desk.look import look

    options = FileOptions(choice=engine_taken(asked), **asked)
    look(path, at_s, options, sys.stdout.buffer)


async def _together(runner: "Runner", watcher: "Watcher") -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        group.create_task(watcher.run())


def _watcher(folder: Path, runner: "Runner", **how: Any) -> "Watcher":  # Watcher's
    needed("watching a folder", "watchfiles")
    from streamsr.desk.watch import Watcher

    return Watcher(folder, runner, said=_say, **how)


def _say(line: str) -> None:
    print(tellable(one_line(line)), file=sys.stderr, flush=True)


def checked(words: Sequence[str]) -> None:
    """Raise UsageError for words that ``upscale`` would refuse, or that do not go with a queue."""
    options_of(words)
    with upscale.make_context("upscale", ["-o", "OUT", *words, "--", "IN"]) as context:
        for name, word in NOT_WATCHED.items():
            if context.params.get(name):
                raise click.UsageError(f"{word} does not go with a queue")


def sent(words: Sequence[str]) -> None:
    """`checked`, for words that do not come from the command line: raises ValueError with the
    command's line."""
    try:
        checked(words)
    except click.UsageError as error:
        raise ValueError(f"Error: {error.format_message()}") from error


def made(folder: Path) -> Path:
    """A folder, made if there is none, as an absolute path. Raises SinkError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve(strict=True)
    except (OSError, ValueError) as error:
        raise SinkError(f"{folder}: {reason_of(error)}") from error


def needed(what: str, *modules: str) -> None:
    """Raise SinkError where the extra that has these modules is not installed."""
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise SinkError(f"{what} needs {module}: pip install 'streamsr[web]'")
