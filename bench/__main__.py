"""All measurements, or those that are named: `make bench BENCH="lag 10000x64KiB --rounds 5"`."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import click

from bench.ground import CannotMeasure, needed
from bench.lag import lag
from bench.moving import move
from bench.pages import pages
from bench.peers import program
from bench.report import machine, note
from bench.waiting import waiting
from bench.works import MIB, WORKS, Work

SMALL = 0.02
Measurement = Callable[[], None]


def measurements(rounds: int, scale: float) -> dict[str, Measurement]:
    """By name, in the order in which they run."""
    found: dict[str, Measurement] = {work.name: partial(move, work.scaled(scale), rounds) for work in WORKS}
    found["lag"] = partial(lag, max(3, int(30 * scale)))
    found["pages"] = partial(pages, Work("pages", 2000, MIB).scaled(scale), rounds)
    for count in (10_000, 100_000, 1_000_000):
        found[f"waiting-{count}"] = partial(waiting, int(count * scale), rounds)
    return found


@click.command()
@click.argument("names", nargs=-1)
@click.option("--rounds", default=3, show_default=True, help="Subjects run by turns, so often.")
@click.option("--small", is_flag=True, help="A fiftieth of everything: to see whether it works.")
@click.option("--list", "only_list", is_flag=True, help="Name them, and measure nothing.")
def main(names: tuple[str, ...], rounds: int, small: bool, only_list: bool) -> None:
    """Print the machine and tables for each measurement, as Markdown; without NAMES all of them."""
    known = measurements(rounds, SMALL if small else 1.0)
    if unknown := set(names) - known.keys():
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: try --list", param_hint="NAMES")
    if only_list:
        note("\n".join(known))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # neither mounts nor processes stay behind
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, too
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # our program starts as it does for everybody
    try:
        needed("mkfs.ext4", "losetup", "mount")
        machine((program("rsync"), "--version"), (program("rclone"), "version"))
        for name in names or known:
            note(f"{name} ...")
            known[name]()
    except CannotMeasure as obstacle:
        note(f"cannot measure: {obstacle}")
        sys.exit(1)


if __name__ == "__main__":
    main()
