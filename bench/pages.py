"""What visitors of the page cost: copies with none, one, 50 and 200 of them watching."""

import statistics

from attrs import define, field

from bench.ground import Ground
from bench.ours import moving_s
from bench.processes import until
from bench.report import Figures, note, percentile, ratios, say, spread, table
from bench.rounds import Rounds
from bench.service import all_gone, move_in, running, visited
from bench.works import Work

CROWDS = (0, 1, 50, 200)


@define
class Crowd:
    """What was seen with so many visitors: bytes a second, ages of news, how often one was sent away."""

    rates_bytes_s: list[float] = field(factory=list)
    lags_s: list[float] = field(factory=list)
    closed: int = 0

    def share(self, others: "Crowd") -> list[float]:
        return ratios(self.rates_bytes_s, others.rates_bytes_s)


def pages(work: Work, rounds: Rounds) -> Figures:
    """Print throughput and the age of news for each crowd."""
    crowds = {count: Crowd() for count in CROWDS}
    with Ground.of(work.disk_bytes) as ground:
        work.write(ground.masters)
        for number in rounds:
            for count, crowd in crowds.items():
                _once(ground, work, count, crowd)
                note(f"pages, round {number + 1}: {count} visitors: {crowd.rates_bytes_s[-1] / 1e6:.1f} MB/s")
    alone, largest = crowds[0], crowds[CROWDS[-1]]
    turns = len(alone.rates_bytes_s)
    say(f"## pages: {work.count} files, {work.total_bytes / 1e6:,.0f} MB, rounds: {turns}\n")
    head = ("visitors", "copied", "of that without visitors", "news, median age", "p99", "sent away")
    table(head, [_row(count, crowd, alone) for count, crowd in crowds.items()])
    say("Of 50 and of 200 visitors one never reads. Visitors run on the same machine.\n")
    return {
        f"copied with {CROWDS[-1]} visitors, of that without": statistics.median(largest.share(alone)),
        f"news with {CROWDS[-1]} visitors, p99 of their age": percentile(largest.lags_s, 0.99),
    }


def _once(ground: Ground, work: Work, count: int, crowd: Crowd) -> None:
    ground.set_up()
    with running(ground, workers=2) as agent, visited(agent.url, count) as seen:
        move_in(ground)
        until(lambda: all_gone(ground), every_s=0.5)
    crowd.rates_bytes_s.append(work.total_bytes / moving_s(agent))
    crowd.lags_s += seen["lags_s"]
    crowd.closed += seen["closed"]


def _row(count: int, crowd: Crowd, alone: Crowd) -> list[str]:
    rate = statistics.median(crowd.rates_bytes_s)
    ages = [f"{percentile(crowd.lags_s, share):.2f} s" if crowd.lags_s else "" for share in (0.5, 0.99)]
    return [str(count), f"{rate / 1e6:.1f} MB/s", spread(crowd.share(alone), ""), *ages, str(crowd.closed)]
