"""How much earlier does a growing file arrive when it is followed?

A recording goes onto a share that is slower than its source: once with `growing = true`, once copied after
its end. Both run by turns, with the same verification and the same `stable`. The share is the FUSE file
system of the tests, in memory behind one slow link for reads and writes together. It models a NAS at 1 GbE
(110 MB/s each way) and a recorder of 87 MB/s, both divided by four so that the machine is not the limit.
Needs root.
"""

import math
import statistics
from collections.abc import Iterator

import click

from agent.config.units import parse_size
from agent.simulate.ffmpeg import CONTAINERS
from bench.recording import Outcome, Setting, measure
from bench.report import Figures, emit, progress, table
from bench.requirements import require
from bench.rounds import Rounds

AT_ONCE = 3  # recordings by ffmpeg; more would need more processors
MB = 1_000_000
RATE_BYTES_S, LINK_BYTES_S = 22 * MB, 55 * MB
STABLE_S = 3.0


@click.command()
@click.option("--size", default="600MB", show_default=True, help="Size of the long recording.")
@click.option("--rate", default=f"{RATE_BYTES_S}", show_default=True, help="Bytes a second of its recorder.")
@click.option(
    "--link",
    default=f"{LINK_BYTES_S}",
    show_default=True,
    help="Bytes a second of the share, reads and writes together.",
)
@click.option("--rounds", default=3, show_default=True)
@click.option("--stable", default=STABLE_S, show_default=True, help="Seconds, for both.")
@click.option("--ffmpeg/--no-ffmpeg", default=True, show_default=True)
@click.option("--ffmpeg-duration", default="20s", show_default=True)
def main(
    size: str, rate: str, link: str, rounds: int, stable: float, ffmpeg: bool, ffmpeg_duration: str
) -> None:
    """Print the two tables of docs/growing.md."""
    setting = Setting(stable, parse_size(link))
    follow(setting, parse_size(size), parse_size(rate), Rounds(rounds, math.inf))
    if ffmpeg:
        _recordings(setting, ("--rate", "5MB", "--duration", ffmpeg_duration))


def growing(size_bytes: int, rounds: Rounds) -> Figures:
    """Measure a recording of this size, followed and after its end."""
    require("fusermount3")
    emit(f"## growing: a recording of {_mb(size_bytes)}, {_mb(RATE_BYTES_S)}/s\n")
    return follow(Setting(STABLE_S, LINK_BYTES_S), size_bytes, RATE_BYTES_S, rounds)


def follow(setting: Setting, size_bytes: int, rate_bytes_s: int, rounds: Rounds) -> Figures:
    lags_s: dict[bool, list[float]] = {True: [], False: []}
    words = ("--profile", "mxf-op1a", "--size", str(size_bytes), "--rate", str(rate_bytes_s))
    rows = []
    for number in rounds:
        for follows in (True, False):
            [outcome] = measure(setting, follows, [words])
            lags_s[follows].append(outcome.lag_s - setting.stable_s)
            way = "followed" if follows else "after its end"
            rows.append([str(number + 1), way, *_cells(setting, outcome)])
            progress(f"growing, round {number + 1}: {way}: {outcome.lag_s:.2f} s")
    table(("round", "way", "lag", "net of `stable`", "copied while it grew", "copied after its end"), rows)
    followed_s, after_s = (statistics.median(lags_s[follows]) for follows in (True, False))
    share = followed_s / after_s
    emit(f"Median, net of `stable`: {followed_s:.2f} s against {after_s:.2f} s: {share:.2f} of it.\n")
    return {"lag, of that of a copy after its end": share}


def _recordings(setting: Setting, words: tuple[str, ...]) -> None:
    rows = []
    names = list(CONTAINERS)
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        runs = [("--container", f"ffmpeg:{name}", "--name", name, *words) for name in some]
        for name, followed, after in _pairs(measure(setting, True, runs), measure(setting, False, runs)):
            early = [_mb(followed.early_bytes), str(followed.patched_blocks)]
            lags = [f"{followed.lag_s:.2f} s", f"{after.lag_s:.2f} s"]
            rows.append([name, _mb(followed.size_bytes), *early, *lags])
    head = (
        "ffmpeg",
        "size",
        "copied while it grew",
        "blocks rewritten at the end",
        "lag",
        "lag, after its end",
    )
    table(head, rows)


def _pairs(some: list[Outcome], others: list[Outcome]) -> Iterator[tuple[str, Outcome, Outcome]]:
    by_path = {outcome.path: outcome for outcome in others}
    for outcome in some:
        yield outcome.path.partition(".")[0], outcome, by_path[outcome.path]


def _cells(setting: Setting, outcome: Outcome) -> list[str]:
    lags = [f"{lag_s:.2f} s" for lag_s in (outcome.lag_s, outcome.lag_s - setting.stable_s)]
    return [*lags, _mb(outcome.early_bytes), _mb(outcome.late_bytes)]


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / MB:.1f} MB"


if __name__ == "__main__":
    main()
