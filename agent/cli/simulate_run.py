"""What the verb simulate does: a run of the simulator, its journal on standard output, its ends."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from agent.cli.base import EXIT_ERROR, fail, say
from agent.simulate import ffmpeg, journal
from agent.simulate.containers import FORMS
from agent.simulate.options import IncompatibleOptions
from agent.simulate.player import Player
from agent.simulate.profiles import PROFILES
from agent.simulate.runs import Run, in_order
from agent.simulate.settings import BadSetting, described, with_settings
from agent.simulate.steps import Write, WriteStep
from agent.simulate.writer_plan import WriterJob

NOTIONAL_RATE_BYTES_S = 20_000_000  # what an unlimited recording is laid out for
DEFAULT_SIZE_BYTES = 200_000_000
REAL = tuple(ffmpeg.PREFIX + name for name in ffmpeg.CONTAINERS)


def simulate(folder: str, *, quiet: bool, **wishes: Any) -> None:  # noqa: ANN401  click's options
    """To the end of the run; what goes wrong ends the program, with the exit codes of every verb."""
    if not os.path.isdir(folder):
        raise click.UsageError(f"no such folder: {folder}; create it first")
    paced = bool(wishes["rate"])
    try:
        run = _run(**wishes)
        jobs = [] if run.container in REAL else list(run.jobs())
    except (BadSetting, IncompatibleOptions) as error:
        raise click.UsageError(str(error)) from None
    with _stoppable(folder):
        if run.container in REAL:
            _record(folder, run, paced=paced)
        else:
            _play(folder, jobs, paced=paced, quiet=quiet)


def _run(*, manner: str, container: str, settings: tuple[str, ...], **wishes: Any) -> Run:  # noqa: ANN401  click's options
    """What is asked for.

    Raises:
        BadSetting, click.UsageError: it cannot be had; says why.
    """
    if manner not in PROFILES:
        raise click.UsageError(f"unknown manner {manner!r}; --list shows them")
    if container and container not in (*FORMS, *REAL):
        raise click.UsageError(f"unknown container {container!r}; --list shows them")
    name = wishes["name"]
    if os.path.isabs(name) or ".." in name.split("/") or not os.path.basename(name):
        raise click.UsageError(f"--name {name!r} must stay inside FOLDER and end in a name")
    if container in REAL and settings:
        raise click.UsageError("ffmpeg has habits of its own: leave --set out")
    known = PROFILES[manner]
    return Run(
        container=container or known.container,
        habits=with_settings(known.habits, settings),
        name=name,
        size_bytes=_size(**wishes),
        rate_bytes_s=wishes["rate"] or NOTIONAL_RATE_BYTES_S,
        count=wishes["count"],
        every_s=wishes["every"],
        seed=wishes["seed"],
    )


def _size(*, size: int | None, duration: float | None, rate: int, **_others: object) -> int:
    if duration is None:
        return DEFAULT_SIZE_BYTES if size is None else size
    if size is not None:
        raise click.UsageError("give --size or --duration, not both")
    return round(duration * (rate or NOTIONAL_RATE_BYTES_S))


def _play(folder: str, jobs: list[WriterJob], *, paced: bool, quiet: bool) -> None:
    def tell(step: WriteStep) -> None:
        if not (quiet and isinstance(step, Write)):
            _print(journal.line(step, datetime.now(UTC)))

    player = Player(folder, tell, paced)
    player.check_free(job.path for job in jobs)
    player.play(in_order(jobs))
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
    except FileNotFoundError as error:
        fail(f"{error.filename} was taken away before its writer had finished with it", EXIT_ERROR)
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}", EXIT_ERROR)
    except ffmpeg.RecordingFailed as error:
        fail(str(error), EXIT_ERROR)
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(line: journal.Line) -> None:
    click.echo(json.dumps(line))


def show_manners() -> None:
    for manner in PROFILES.values():
        say(f"{manner.name:<20} {manner.models}")
    say("")
    say(f"containers: {' '.join(FORMS)}")
    say(f"by the real ffmpeg, at real time: {' '.join(REAL)}")


def show_settings() -> None:
    for name, default, meaning in described():
        say(f"{name:<15} {default or '-':<14} {meaning}")
