"""All measurements, or those that are named: `make bench`, `make bench BENCH="10000x64KiB --rounds 5"`."""

import sys

import click

from bench import moving
from bench.ground import CannotMeasure
from bench.report import machine, note
from bench.works import WORKS


@click.command()
@click.argument("names", nargs=-1)
@click.option("--rounds", default=3, show_default=True, help="Each subject runs so often, in turn.")
@click.option("--small", default=1.0, show_default=True, help="Only so large a part of each work, say 0.05.")
@click.option("--list", "only_list", is_flag=True, help="Name them, and measure nothing.")
def main(names: tuple[str, ...], rounds: int, small: float, only_list: bool) -> None:
    """Print the machine and a table for each measurement, as Markdown."""
    known = {work.name: work for work in WORKS}
    if only_list:
        note("\n".join(known))
        return
    machine(("rsync", "--version"))
    try:
        for name in names or known:
            moving.move(known[name].scaled(small), rounds)
    except CannotMeasure as obstacle:
        note(str(obstacle))
        sys.exit(1)


if __name__ == "__main__":
    main()
