"""One chaos run: random steps from a seed, then a quiet time in which the agent finishes, then the checks."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import frozen

from agent.actors.dispatcher.room import FIRST_TRUST_S
from agent.model import names
from tests.flow.agent_forks import AgentForks
from tests.flow.chaos_agent import until
from tests.flow.chaos_environment import ChaosEnvironment
from tests.flow.chaos_model import ROUTE, ListedFile, files_below
from tests.flow.chaos_steps import ChaosStep, drawn

SETTLE_TIMEOUT_S = 60.0 + 3 * FIRST_TRUST_S  # without faults; storage that was full is tried again late
CHECK_EVERY_S = 0.05
CHECKS_IN_A_ROW = 6
SAMPLE_S = 0.01
ENDED = ("Completed", "Failed", "Held")


@frozen
class SeedResult:
    """How often each step and fault happened. `again_bytes`: copied twice or not delivered."""

    happened: Counter[str]
    written_bytes: int
    again_bytes: int


def run(seed: int, folder: Path, forks: AgentForks) -> SeedResult:
    """Run one seed.

    Raises:
        AssertionError: a promise was broken; a note says how to replay the seed.
    """
    rng = random.Random(seed)
    steps = drawn(rng)
    env = ChaosEnvironment.made(folder, rng, forks)
    try:
        with _sampling(env):
            for step in steps:
                env.perform(step)
            _let_it_finish(env)
        _check_result(env)
    except BaseException as error:
        error.add_note(_replay_note(seed, steps, env))
        raise
    finally:
        env.close_all()
        env.agent.crash()
        until(lambda: not env.agent.workers(), SETTLE_TIMEOUT_S, "workers outlive their agent")
    return _result(env)


@contextmanager
def _sampling(env: ChaosEnvironment) -> Iterator[None]:
    """Check the destination every few milliseconds during the block."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            env.check_destination()

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield
    finally:
        over.set()
        sampler.join()


def _let_it_finish(env: ChaosEnvironment) -> None:
    """End all faults and wait until the agent has nothing left to do and every promise holds."""
    env.close_all()
    env.fill_empty()
    env.heal()
    env.mount()
    env.start()
    until(
        lambda: env.agent.command(f"/api/routes/{ROUTE}/resume"),
        SETTLE_TIMEOUT_S,
        "the agent does not answer",
    )
    _wait_until_correct(env, lambda _: [], times=1)
    until(lambda: env.agent.command("/api/retry"), SETTLE_TIMEOUT_S, "the agent does not answer")
    _wait_until_correct(env, lambda listed: env.expected.violations(env.nas, listed), times=CHECKS_IN_A_ROW)


def _wait_until_correct(
    env: ChaosEnvironment, violations: Callable[[Mapping[str, ListedFile]], list[str]], times: int
) -> None:
    """Wait until every file has ended and nothing is wrong, in so many checks in a row."""
    end_s = time.monotonic() + SETTLE_TIMEOUT_S
    good = 0
    while good < times:
        listed = env.agent.listed()
        wrong = ["no answer"] if listed is None else _not_ended(env, listed) or violations(listed)
        good = 0 if wrong else good + 1
        assert time.monotonic() < end_s, "\n".join(wrong)
        time.sleep(CHECK_EVERY_S)


def _not_ended(env: ChaosEnvironment, listed: Mapping[str, ListedFile]) -> list[str]:
    unknown = [
        f"not on the list: {path!r}"
        for path, _ in files_below(env.source)
        if names.file_id(ROUTE, path) not in listed
    ]
    return unknown + [
        f"not ended: {file_id} {file}"
        for file_id, file in listed.items()
        if file.status not in ENDED and file.size_bytes
    ]


def _check_result(env: ChaosEnvironment) -> None:
    """After a stop: check folders, log and journal."""
    listed = env.agent.listed() or {}
    env.agent.stop()
    wrong = env.unexpected + env.expected.violations(env.nas, listed) + env.agent.actor_failures()
    with closing(sqlite3.connect(env.folder / "state" / "journal.db")) as journal:
        wrong += [f"still running: {row}" for row in journal.execute("SELECT path, phase FROM transfers")]
        wrong += [text for (text,) in journal.execute("PRAGMA integrity_check") if text != "ok"]
    assert not wrong, "\n".join(wrong)


def _result(env: ChaosEnvironment) -> SeedResult:
    ours_bytes = sum(
        path.stat().st_size for name, path in files_below(env.nas) if name not in env.expected.foreign
    )
    written_bytes = env.faults.written_bytes()
    return SeedResult(env.done + env.faults.injected(), written_bytes, written_bytes - ours_bytes)


def _replay_note(seed: int, steps: list[ChaosStep], env: ChaosEnvironment) -> str:
    lines = [f"seed {seed}: {env.keys}", *map(str, steps), f"stopped in step {sum(env.done.values())}"]
    return "\n".join([*lines, "the log ends:", env.agent.log_end()])
