"""The cost of page clients: copies while 0, 1, 50 and 200 clients watch."""

import statistics

from attrs import define, field

from bench.disk_pair import DiskPair
from bench.process_usage import until
from bench.report import Figures, emit, percentile, progress, ratios, spread, table
from bench.rounds import Rounds
from bench.service import all_gone, move_in, running, watched_by
from bench.transfer_agent import moving_s
from bench.workload import Workload

CLIENT_COUNTS = (0, 1, 50, 200)


@define
class Observed:
    """Figures for one number of clients: bytes a second, ages of updates, closed connections."""

    rates_bytes_s: list[float] = field(factory=list)
    lags_s: list[float] = field(factory=list)
    closed: int = 0

    def share(self, others: "Observed") -> list[float]:
        return ratios(self.rates_bytes_s, others.rates_bytes_s)


def pages(workload: Workload, rounds: Rounds) -> Figures:
    """Measure throughput and the age of updates for each number of clients."""
    observed = {count: Observed() for count in CLIENT_COUNTS}
    with DiskPair.of(workload.disk_bytes) as disks:
        workload.write(disks.originals)
        for number in rounds:
            for count, seen in observed.items():
                _once(disks, workload, count, seen)
                progress(
                    f"pages, round {number + 1}: {count} clients: {seen.rates_bytes_s[-1] / 1e6:.1f} MB/s"
                )
    alone, largest = observed[0], observed[CLIENT_COUNTS[-1]]
    turns = len(alone.rates_bytes_s)
    emit(f"## pages: {workload.count} files, {workload.total_bytes / 1e6:,.0f} MB, rounds: {turns}\n")
    head = ("clients", "copied", "of that without clients", "updates, median age", "p99", "closed")
    table(head, [_row(count, seen, alone) for count, seen in observed.items()])
    emit("Of 50 and of 200 clients one never reads. The clients run on the same machine.\n")
    return {
        f"copied with {CLIENT_COUNTS[-1]} clients, of that without": statistics.median(largest.share(alone)),
        f"updates with {CLIENT_COUNTS[-1]} clients, p99 of their age": percentile(largest.lags_s, 0.99),
    }


def _once(disks: DiskPair, workload: Workload, count: int, seen: Observed) -> None:
    disks.prepare()
    with running(disks, workers=2) as agent, watched_by(agent.url, count) as figures:
        move_in(disks)
        until(lambda: all_gone(disks), every_s=0.5)
    seen.rates_bytes_s.append(workload.total_bytes / moving_s(agent))
    seen.lags_s += figures["lags_s"]
    seen.closed += figures["closed"]


def _row(count: int, seen: Observed, alone: Observed) -> list[str]:
    rate = statistics.median(seen.rates_bytes_s)
    ages = [f"{percentile(seen.lags_s, share):.2f} s" if seen.lags_s else "" for share in (0.5, 0.99)]
    return [str(count), f"{rate / 1e6:.1f} MB/s", spread(seen.share(alone), ""), *ages, str(seen.closed)]
