"""How much earlier does a growing file arrive when it is followed?

A recording goes onto a share that is slower than its source, once with `growing = true` and once copied
when it has ended, by turns in the same run, with the same verification and the same `stable`. The share is
the FUSE file system of the tests, in memory behind one slow line for reads and writes together: a NAS at 1
GbE (110 MB/s each way) and a recorder of 87 MB/s, both divided by four so that this machine is not what
limits. Needs root.
"""

import statistics
import sys
from collections.abc import Iterator

import click

from agent.config.units import parse_size
from agent.simulate.ffmpeg import CONTAINERS
from bench.recording import Outcome, Setting, measure

AT_ONCE = 3  # recordings by ffmpeg: the encoder needs the processors
MB = 1_000_000


@click.command()
@click.option("--size", default="600MB", show_default=True, help="Of the long recording.")
@click.option("--rate", default="22MB", show_default=True, help="Of its recorder, a second.")
@click.option("--link", default="55MB", show_default=True, help="Reads and writes of the share, a second.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--stable", default=3.0, show_default=True, help="Seconds, for both ways.")
@click.option("--ffmpeg/--no-ffmpeg", default=True, show_default=True)
@click.option("--ffmpeg-duration", default="20s", show_default=True)
def main(
    size: str, rate: str, link: str, rounds: int, stable: float, ffmpeg: bool, ffmpeg_duration: str
) -> None:
    """Print two tables, as they stand in docs/growing.md."""
    setting = Setting(stable, parse_size(link))
    _long(setting, ("--manner", "mxf-op1a", "--size", size, "--rate", rate), rounds)
    if ffmpeg:
        _recordings(setting, ("--rate", "5MB", "--duration", ffmpeg_duration))


def _long(setting: Setting, words: tuple[str, ...], rounds: int) -> None:
    lags_s: dict[bool, list[float]] = {True: [], False: []}
    _say("| round | way | lag | net of `stable` | copied while it grew | copied after its end |")
    _say("|---|---|---|---|---|---|")
    for number in range(1, rounds + 1):
        for growing in (True, False):
            [outcome] = measure(setting, growing, [words])
            lags_s[growing].append(outcome.lag_s)
            way = "followed" if growing else "after its end"
            _say(f"| {number} | {way} | {_cells(setting, outcome)} |")
    net_s = {growing: statistics.median(lags) - setting.stable_s for growing, lags in lags_s.items()}
    share = net_s[True] / net_s[False]
    _say(f"\nMedian, net of `stable`: {net_s[True]:.2f} s against {net_s[False]:.2f} s: {share:.2f} of it.\n")


def _recordings(setting: Setting, words: tuple[str, ...]) -> None:
    _say("| ffmpeg | size | copied while it grew | blocks rewritten at the end | lag | lag, after its end |")
    _say("|---|---|---|---|---|---|")
    names = list(CONTAINERS)
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        runs = [("--container", f"ffmpeg:{name}", "--name", name, *words) for name in some]
        for name, followed, after in _pairs(measure(setting, True, runs), measure(setting, False, runs)):
            _say(
                f"| {name} | {_mb(followed.size_bytes)} | {_mb(followed.early_bytes)}"
                f" | {followed.patched_blocks} | {followed.lag_s:.2f} s | {after.lag_s:.2f} s |"
            )


def _pairs(some: list[Outcome], others: list[Outcome]) -> Iterator[tuple[str, Outcome, Outcome]]:
    by_path = {outcome.path: outcome for outcome in others}
    for outcome in some:
        yield outcome.path.partition(".")[0], outcome, by_path[outcome.path]


def _cells(setting: Setting, outcome: Outcome) -> str:
    net_s = outcome.lag_s - setting.stable_s
    return f"{outcome.lag_s:.2f} s | {net_s:.2f} s | {_mb(outcome.early_bytes)} | {_mb(outcome.late_bytes)}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / MB:.1f} MB"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
