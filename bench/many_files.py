"""Very many small files with the agent as a service: none is lost, memory stays bounded, the page answers."""

from http import HTTPStatus
from typing import Any

from attrs import define, field

from bench.disk_pair import DiskPair
from bench.process_usage import peak_bytes, process_tree, resident_bytes, until
from bench.report import Figures, emit, load, percentile, progress, table
from bench.rounds import Rounds
from bench.service import all_gone, move_in, running, watched_by
from bench.transfer_agent import moving_s
from bench.workload import Workload, digests
from tests.system.pulse import Answer, pulse

LEVELS = ("read_back", "hash")
EVERY_S = 0.5


@define
class Result:
    """`workers_bytes`: peak of all workers together. `updates`: the figures of the page client."""

    took_s: float
    program_bytes: int
    workers_bytes: int
    answers: list[Answer] = field(factory=list)
    updates: dict[str, Any] = field(factory=dict)


def many_files(workload: Workload, rounds: Rounds) -> Figures:
    """Measure one round for each level of verification.

    Raises:
        AssertionError: a file is lost, altered, or still in the source.
    """
    with DiskPair.of(workload.disk_bytes) as disks:
        workload.write(disks.originals)
        expected = digests(disks.originals)
        results = {verify: _once(disks, verify, expected) for _, verify in zip(rounds, LEVELS, strict=False)}
    emit(f"## {workload.name}: {workload.count:,} files, {workload.total_bytes / 1e6:,.0f} MB, once each\n")
    columns = [_column(workload, each) for each in results.values()]
    table(("what", *results), [[name, *(column[name] for column in columns)] for name in columns[0]])
    emit(f"One page client watches. Load at its end {load()}.\n")
    return {}


def _once(disks: DiskPair, verify: str, expected: dict[str, str]) -> Result:
    disks.prepare()
    workers_bytes = 0

    def is_over() -> bool:
        nonlocal workers_bytes
        workers_bytes = max(workers_bytes, sum(map(resident_bytes, process_tree(agent.pid)[1:])))
        return all_gone(disks)

    with running(disks, verify=verify, workers=2) as agent:
        with watched_by(agent.url, 1) as updates, pulse(agent) as answers:
            move_in(disks)
            until(is_over, every_s=EVERY_S)
        program_bytes = peak_bytes(agent.pid)
    disks.far.drop_cache()
    assert digests(disks.destination) == expected, f"{verify}: a file is missing or altered"
    result = Result(moving_s(agent), program_bytes, workers_bytes, answers, updates)
    progress(f"{verify}: {result.took_s:.1f} s")
    return result


def _column(workload: Workload, result: Result) -> dict[str, str]:
    others = sum(answer.status != HTTPStatus.OK for answer in result.answers)
    return {
        "files a second": f"{workload.count / result.took_s:.0f}",
        "arrived, each compared with what was sent": f"{workload.count:,}",
        "peak resident memory of the program": f"{result.program_bytes / 1e6:.0f} MB",
        "of its workers together": f"{result.workers_bytes / 1e6:.0f} MB",
        "page: longest pause between updates about deliveries": f"{result.updates['longest_pause_s']:.2f} s",
        "page: p99 of their age": f"{percentile(result.updates['lags_s'], 0.99):.2f} s",
        "page: closed connections": str(result.updates["closed"]),
        "`/livez`: answers, others than 200": f"{len(result.answers)}, {others}",
        "`/livez`: longest wait": f"{max(answer.took_s for answer in result.answers):.2f} s",
    }
