"""All measurements, or those that are named: `make bench BENCH="s3 10000x64KiB --rounds 5"`."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import click

from bench.goals import pronounce, verdicts
from bench.needs import CannotMeasure, needed, program
from bench.plan import AS_PLANNED, Measurement, chosen, plan
from bench.report import machine, note, say


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--rounds", default=AS_PLANNED, show_default=True, help="Subjects run by turns, so often at most."
)
@click.option("--small", is_flag=True, help="A fiftieth of everything: to see whether it works.")
@click.option(
    "--list", "only_list", is_flag=True, help="Name them, their groups and minutes; measure nothing."
)
def main(names: tuple[str, ...], rounds: int, small: bool, only_list: bool) -> None:
    """Print tables, as Markdown, for measurements and groups with these NAMES; without any for all."""
    try:
        wanted = chosen(plan(small=small), names)
    except KeyError as unknown:
        raise click.BadParameter(f"{unknown}: try --list", param_hint="NAMES") from None
    if only_list:
        note("\n".join(f"{each.group:8} {each.name:16} {each.minutes:4g} min" for each in wanted))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # neither mounts nor processes stay behind
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, too
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # our program starts as it does for everybody
    try:
        needed("mkfs.ext4", "losetup", "mount")
    except CannotMeasure as obstacle:
        note(f"cannot measure: {obstacle}")
        sys.exit(1)
    machine(*_versions())
    if small:
        say("A fiftieth of everything: whether it works, not how fast.\n")
    done = [_is_done(each, rounds, small=small) for each in wanted]
    sys.exit(not all(done))


def _versions() -> Iterator[tuple[str, str]]:
    """The commands that say them; what is missing is told where it is needed."""
    for name, word in (("rsync", "--version"), ("rclone", "version"), ("aws", "--version")):
        with suppress(CannotMeasure):
            yield program(name), word


def _is_done(measurement: Measurement, rounds: int, *, small: bool) -> bool:
    """One that cannot be measured here does not keep the others from it."""
    note(f"{measurement.name} ...")
    began_s = time.monotonic()
    try:
        figures = measurement.run(measurement.rounds(rounds))
    except CannotMeasure as obstacle:
        say(f"## {measurement.name}: cannot be measured here\n\n{obstacle}\n")
        return False
    found = verdicts(measurement.name, figures)  # a small one has to bring its figures, too
    if not small:
        pronounce(found)
    note(f"{measurement.name}: {(time.monotonic() - began_s) / 60:.1f} min")
    return True


if __name__ == "__main__":
    main()
