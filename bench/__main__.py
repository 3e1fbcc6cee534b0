"""Runs all measurements, or the named ones: `make bench BENCH="s3 10000x64KiB --rounds 5"`."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import click

from bench.goals import print_verdicts, verdicts
from bench.plan import AS_PLANNED, Measurement, chosen, plan
from bench.report import emit, machine, progress
from bench.requirements import CannotMeasure, program, require


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--rounds", default=AS_PLANNED, show_default=True, help="Rounds at most; the subjects run by turns."
)
@click.option("--small", is_flag=True, help="A fiftieth of everything, to check that it works.")
@click.option(
    "--list", "only_list", is_flag=True, help="List names, groups and minutes, and measure nothing."
)
def main(names: tuple[str, ...], rounds: int, small: bool, only_list: bool) -> None:
    """Print Markdown tables for the measurements and groups with these NAMES; without names for all."""
    try:
        wanted = chosen(plan(small=small), names)
    except KeyError as unknown:
        raise click.BadParameter(f"{unknown}: try --list", param_hint="NAMES") from None
    if only_list:
        progress("\n".join(f"{each.group:8} {each.name:16} {each.minutes:4g} min" for each in wanted))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # runs the cleanup of mounts and processes
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when started in the background
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the agent starts as it does for users
    try:
        require("mkfs.ext4", "losetup", "mount")
    except CannotMeasure as error:
        progress(f"cannot measure: {error}")
        sys.exit(1)
    machine(*_versions())
    if small:
        emit("A fiftieth of everything: this shows that it works, not how fast.\n")
    measured = [_measured(each, rounds, small=small) for each in wanted]
    sys.exit(not all(measured))


def _versions() -> Iterator[tuple[str, str]]:
    """The commands that print the versions; a measurement reports a missing program itself."""
    for name, word in (("rsync", "--version"), ("rclone", "version"), ("aws", "--version")):
        with suppress(CannotMeasure):
            yield program(name), word


def _measured(measurement: Measurement, rounds: int, *, small: bool) -> bool:
    """Run one measurement; False if it cannot be measured here, so that the others still run."""
    progress(f"{measurement.name} ...")
    began_s = time.monotonic()
    try:
        figures = measurement.run(measurement.rounds(rounds))
    except CannotMeasure as error:
        emit(f"## {measurement.name}: cannot be measured here\n\n{error}\n")
        return False
    found = verdicts(measurement.name, figures)  # a small run needs its figures, too
    if not small:
        print_verdicts(found)
    progress(f"{measurement.name}: {(time.monotonic() - began_s) / 60:.1f} min")
    return True


if __name__ == "__main__":
    main()
