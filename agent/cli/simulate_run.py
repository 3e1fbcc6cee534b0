"""The verb simulate: performs a run of the simulator and prints its step log on standard output."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from agent.cli.base import EXIT_ERROR, exit_with, print_line
from agent.simulate import ffmpeg, step_log
from agent.simulate.containers import CONTAINERS
from agent.simulate.options import IncompatibleOptions
from agent.simulate.player import Player
from agent.simulate.profiles import PROFILES
from agent.simulate.runs import Run, in_order
from agent.simulate.settings import BadSetting, described, with_settings
from agent.simulate.steps import Write, WriteStep
from agent.simulate.writer_plan import SimulatedFile

NOTIONAL_RATE_BYTES_S = 20_000_000  # the layout rate of an unlimited recording
DEFAULT_SIZE_BYTES = 200_000_000
FFMPEG_CONTAINERS = tuple(ffmpeg.PREFIX + name for name in ffmpeg.CONTAINERS)


def simulate(folder: str, *, quiet: bool, **values: Any) -> None:  # noqa: ANN401  click's options
    """Perform the whole run; an error ends the program with the exit code that every verb uses."""
    if not os.path.isdir(folder):
        raise click.UsageError(f"no such folder: {folder}; create it first")
    paced = bool(values["rate"])
    try:
        run = _run(**values)
        files = [] if run.container in FFMPEG_CONTAINERS else list(run.files())
    except (BadSetting, IncompatibleOptions) as error:
        raise click.UsageError(str(error)) from None
    with _reporting_errors(folder):
        if run.container in FFMPEG_CONTAINERS:
            _record(folder, run, paced=paced)
        else:
            _play(folder, files, paced=paced, quiet=quiet)


def _run(*, profile: str, container: str, settings: tuple[str, ...], **values: Any) -> Run:  # noqa: ANN401  click's options
    """The run that the options describe.

    Raises:
        BadSetting, click.UsageError: the options cannot be met; the text says why.
    """
    if profile not in PROFILES:
        raise click.UsageError(f"unknown profile {profile!r}; --list shows them")
    if container and container not in (*CONTAINERS, *FFMPEG_CONTAINERS):
        raise click.UsageError(f"unknown container {container!r}; --list shows them")
    name = values["name"]
    if os.path.isabs(name) or ".." in name.split("/") or not os.path.basename(name):
        raise click.UsageError(f"--name {name!r} must stay inside FOLDER and end in a name")
    if container in FFMPEG_CONTAINERS and settings:
        raise click.UsageError("ffmpeg has options of its own: leave --set out")
    known = PROFILES[profile]
    return Run(
        container=container or known.container,
        options=with_settings(known.options, settings),
        name=name,
        size_bytes=_size(**values),
        rate_bytes_s=values["rate"] or NOTIONAL_RATE_BYTES_S,
        count=values["count"],
        every_s=values["every"],
        seed=values["seed"],
    )


def _size(*, size: int | None, duration: float | None, rate: int, **_others: object) -> int:
    if duration is None:
        return DEFAULT_SIZE_BYTES if size is None else size
    if size is not None:
        raise click.UsageError("give --size or --duration, not both")
    return round(duration * (rate or NOTIONAL_RATE_BYTES_S))


def _play(folder: str, files: list[SimulatedFile], *, paced: bool, quiet: bool) -> None:
    def report(step: WriteStep) -> None:
        if not (quiet and isinstance(step, Write)):
            _print(step_log.line(step, datetime.now(UTC)))

    player = Player(folder, report, paced)
    player.check_free(file.path for file in files)
    player.play(in_order(files))
    for path, content in player.expected_contents().items():
        _print(step_log.result(path, content, datetime.now(UTC)))


def _record(folder: str, run: Run, *, paced: bool) -> None:
    container = run.container.removeprefix(ffmpeg.PREFIX)
    recordings = [
        ffmpeg.PlannedRecording(
            f"{run.stem(number)}.{ffmpeg.CONTAINERS[container].suffix}",
            (number - 1) * run.every_s,
            run.size_bytes / run.rate_bytes_s,
        )
        for number in range(1, run.count + 1)
    ]
    ffmpeg.FfmpegRecorder(folder, container, run.rate_bytes_s, _print, paced).record(recordings)


@contextmanager
def _reporting_errors(folder: str) -> Iterator[None]:
    """Ctrl-C, TERM and files that cannot be written end the program with exit code 1 and the reason."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        _print({"time": step_log.stamp(datetime.now(UTC)), "op": "interrupted"})
        exit_with(f"interrupted: files in {folder} are unfinished", EXIT_ERROR)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)  # the output was closed
    except FileExistsError as error:
        exit_with(f"{error.filename} exists, and is left alone: choose another --name", EXIT_ERROR)
    except FileNotFoundError as error:
        exit_with(f"{error.filename} was moved or deleted before its writer had finished", EXIT_ERROR)
    except OSError as error:
        exit_with(f"cannot write {error.filename}: {error.strerror}", EXIT_ERROR)
    except ffmpeg.RecordingFailed as error:
        exit_with(str(error), EXIT_ERROR)
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(line: step_log.Line) -> None:
    click.echo(json.dumps(line))


def show_profiles() -> None:
    for profile in PROFILES.values():
        print_line(f"{profile.name:<20} {profile.models}")
    print_line("")
    print_line(f"containers: {' '.join(CONTAINERS)}")
    print_line(f"by the real ffmpeg, at real time: {' '.join(FFMPEG_CONTAINERS)}")


def show_settings() -> None:
    for name, default, meaning in described():
        print_line(f"{name:<15} {default or '-':<14} {meaning}")
