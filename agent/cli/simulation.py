"""The verb simulate: writes files the way recorders, encoders, FTP and SMB writers do."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from attrs import evolve

from agent.cli.base import EXIT_ERROR, fail, say
from agent.config.units import parse_duration, parse_size
from agent.simulate import ffmpeg, journal
from agent.simulate.forms import FORMS
from agent.simulate.habits import Unfitting
from agent.simulate.manners import MANNERS
from agent.simulate.player import Player
from agent.simulate.settings import BadSetting, described, with_settings
from agent.simulate.steps import Step, Write
from agent.simulate.takes import Run

NOTIONAL_RATE_BYTES_S = 20_000_000  # what an unlimited recording is laid out for
UNLIMITED = ("0", "unlimited")
REAL = tuple(ffmpeg.PREFIX + name for name in ffmpeg.CONTAINERS)


class _Unit(click.ParamType[float]):
    """A size or a duration, as in the configuration."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  as click's
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def _rate(text: str) -> int:
    return 0 if text in UNLIMITED else parse_size(text)


@click.command()
@click.argument("folder", required=False)
@click.option("--manner", default="mxf-op1a", show_default=True, help="How to write; see --list.")
@click.option("--container", default="", help="What to write, instead of the manner's own; see --list.")
@click.option("--size", type=_Unit("size", parse_size), help="Of each file.  [default: 200MB]")
@click.option(
    "--duration", type=_Unit("duration", parse_duration), help="Of each recording, instead of --size."
)
@click.option(
    "--rate",
    type=_Unit("rate", _rate),
    default="20MB",
    show_default=True,
    help='Bytes a second of each file; "unlimited" (or 0) waits for nothing.',
)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many files.")
@click.option(
    "--every",
    type=_Unit("duration", parse_duration),
    default="0s",
    help="Time between two beginnings.  [default: all at once]",
)
@click.option("--seed", default=1, show_default=True, help="The same seed writes the same bytes.")
@click.option(
    "--name",
    default="clip",
    show_default=True,
    help="Of the files, without suffix; folders may stand before it.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a habit; see --list-settings."
)
@click.option("--quiet", is_flag=True, help="Leave the writes out of the journal.")
@click.option("--list", "list_manners", is_flag=True, help="Show the manners and the containers.")
@click.option("--list-settings", is_flag=True, help="Show the settings.")
def simulate(
    folder: str | None,
    *,
    list_manners: bool,
    list_settings: bool,
    quiet: bool,
    **wishes: Any,  # noqa: ANN401  click's options
) -> None:
    """Write files into FOLDER the way recorders, encoders, FTP and SMB writers do.

    What was done is printed as JSON lines, at the end the size and SHA-256 of each file. Existing files are
    never written to. Ctrl-C stops at once and leaves the files as they are.
    """
    if list_manners or list_settings:
        for line in _manners() if list_manners else _settings():
            say(line)
        return
    if folder is None:
        raise click.UsageError("name the FOLDER to write into, or use --list")
    if not os.path.isdir(folder):
        raise click.UsageError(f"no such folder: {folder}; create it first")
    run = _run(**wishes)
    with _stoppable(folder):
        if run.container in REAL:
            _record(folder, run, paced=bool(wishes["rate"]))
        else:
            _play(folder, run, paced=bool(wishes["rate"]), quiet=quiet)


def _run(*, manner: str, container: str, settings: tuple[str, ...], **wishes: Any) -> Run:  # noqa: ANN401  click's options
    """What is asked for; a wish that cannot be met ends the program with exit code 2."""
    if manner not in MANNERS:
        raise click.UsageError(f"unknown manner {manner!r}; --list shows them")
    if container and container not in (*FORMS, *REAL):
        raise click.UsageError(f"unknown container {container!r}; --list shows them")
    name = wishes["name"]
    if os.path.isabs(name) or ".." in name.split("/") or not os.path.basename(name):
        raise click.UsageError(f"--name {name!r} must stay inside FOLDER and end in a name")
    try:
        run = Run.of(manner, name=name, count=wishes["count"], every_s=wishes["every"], seed=wishes["seed"])
        run = evolve(
            run,
            container=container or run.container,
            habits=with_settings(run.habits, settings),
            rate_bytes_s=wishes["rate"] or NOTIONAL_RATE_BYTES_S,
            size_bytes=_size(**wishes),
        )
        if run.container not in REAL:
            run.steps()
        elif settings:
            raise click.UsageError("ffmpeg has habits of its own: leave --set out")
    except (BadSetting, Unfitting) as error:
        raise click.UsageError(str(error)) from None
    return run


def _size(*, size: int | None, duration: float | None, rate: int, **_others: object) -> int:
    if duration is None:
        return 200_000_000 if size is None else size
    if size is not None:
        raise click.UsageError("give --size or --duration, not both")
    return round(duration * (rate or NOTIONAL_RATE_BYTES_S))


def _play(folder: str, run: Run, *, paced: bool, quiet: bool) -> None:
    def tell(step: Step) -> None:
        if not (quiet and isinstance(step, Write)):
            _print(journal.line(step, datetime.now(UTC)))

    player = Player(folder, tell, paced)
    player.check_free(job.path for job in run.jobs())
    player.play(run.steps())
    for path, content in player.standing().items():
        _print(journal.result(path, content, datetime.now(UTC)))


def _record(folder: str, run: Run, *, paced: bool) -> None:
    container = run.container.removeprefix(ffmpeg.PREFIX)
    takes = [
        ffmpeg.Take(
            f"{run.stem(number)}.{ffmpeg.CONTAINERS[container].suffix}",
            (number - 1) * run.every_s,
            run.size_bytes / run.rate_bytes_s,
        )
        for number in range(1, run.count + 1)
    ]
    ffmpeg.Recorders(folder, container, run.rate_bytes_s, _print, paced).record(takes)


@contextmanager
def _stoppable(folder: str) -> Iterator[None]:
    """TERM is as Ctrl-C; both end with exit code 1 and say so, and so do files that cannot be written."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        _print({"time": journal.stamp(datetime.now(UTC)), "op": "interrupted"})
        fail(f"interrupted: files in {folder} are unfinished", EXIT_ERROR)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)  # nobody reads the journal any more
    except FileExistsError as error:
        fail(f"{error.filename} exists, and is left alone: choose another --name", EXIT_ERROR)
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}", EXIT_ERROR)
    except ffmpeg.Failed as error:
        fail(str(error), EXIT_ERROR)
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(line: journal.Line) -> None:
    click.echo(json.dumps(line))


def _manners() -> Iterator[str]:
    for manner in MANNERS.values():
        yield f"{manner.name:<20} {manner.models}"
    yield ""
    yield f"containers: {' '.join(FORMS)}"
    yield f"by the real ffmpeg, at real time: {' '.join(REAL)}"


def _settings() -> Iterator[str]:
    for name, default, meaning in described():
        yield f"{name:<15} {default or '-':<14} {meaning}"
