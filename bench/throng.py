"""Very many small files, by the program as a service: none lost, memory bounded, the page alive."""

from http import HTTPStatus
from typing import Any

from attrs import define, field

from bench.ground import Ground
from bench.ours import moving_s
from bench.processes import family, peak_bytes, resident_bytes, until
from bench.report import Figures, load, note, percentile, say, table
from bench.rounds import Rounds
from bench.service import all_gone, move_in, running, visited
from bench.works import Work, digests
from tests.system.pulse import Answer, pulse

LEVELS = ("read_back", "hash")
EVERY_S = 0.5


@define
class Seen:
    """`workers_bytes`: the most they had together. `news`: what the visitor says."""

    took_s: float
    program_bytes: int
    workers_bytes: int
    answers: list[Answer] = field(factory=list)
    news: dict[str, Any] = field(factory=dict)


def throng(work: Work, rounds: Rounds) -> Figures:
    """Print what became of them: a round for each level of verification.

    Raises:
        AssertionError: a file is lost, altered, or still there.
    """
    with Ground.of(work.disk_bytes) as ground:
        work.write(ground.masters)
        expected = digests(ground.masters)
        seen = {verify: _once(ground, verify, expected) for _, verify in zip(rounds, LEVELS, strict=False)}
    say(f"## {work.name}: {work.count:,} files, {work.total_bytes / 1e6:,.0f} MB, once each\n")
    columns = [_column(work, each) for each in seen.values()]
    table(("what", *seen), [[name, *(column[name] for column in columns)] for name in columns[0]])
    say(f"One visitor reads along. Load at its end {load()}.\n")
    return {}


def _once(ground: Ground, verify: str, expected: dict[str, str]) -> Seen:
    ground.set_up()
    workers_bytes = 0

    def is_over() -> bool:
        nonlocal workers_bytes
        workers_bytes = max(workers_bytes, sum(map(resident_bytes, family(agent.pid)[1:])))
        return all_gone(ground)

    with running(ground, verify=verify, workers=2) as agent:
        with visited(agent.url, 1) as news, pulse(agent) as answers:
            move_in(ground)
            until(is_over, every_s=EVERY_S)
        program_bytes = peak_bytes(agent.pid)
    ground.far.forget()
    assert digests(ground.destination) == expected, f"{verify}: something is missing or altered"
    seen = Seen(moving_s(agent), program_bytes, workers_bytes, answers, news)
    note(f"{verify}: {seen.took_s:.1f} s")
    return seen


def _column(work: Work, seen: Seen) -> dict[str, str]:
    others = sum(answer.status != HTTPStatus.OK for answer in seen.answers)
    return {
        "files a second": f"{work.count / seen.took_s:.0f}",
        "arrived, each compared with what was sent": f"{work.count:,}",
        "peak resident memory of the program": f"{seen.program_bytes / 1e6:.0f} MB",
        "of its workers together": f"{seen.workers_bytes / 1e6:.0f} MB",
        "page: longest pause between news of arrivals": f"{seen.news['longest_pause_s']:.2f} s",
        "page: p99 of their age": f"{percentile(seen.news['lags_s'], 0.99):.2f} s",
        "page: sent away": str(seen.news["closed"]),
        "`/livez`: answers, others than 200": f"{len(seen.answers)}, {others}",
        "`/livez`: longest wait": f"{max(answer.took_s for answer in seen.answers):.2f} s",
    }
