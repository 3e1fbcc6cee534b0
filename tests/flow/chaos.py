"""The whole agent while everything happens at once: steps drawn from a seed, peace, and the reckoning."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import frozen

from agent.model import names
from tests.flow.agent_forks import Zygote
from tests.flow.chaos_agent import until
from tests.flow.chaos_model import ROUTE, Shown, files_below
from tests.flow.chaos_steps import Step, drawn
from tests.flow.chaos_world import World

PEACE_S = 60.0  # only a seed that fails waits as long
LOOK_S = 0.05
LOOKS = 6
SAMPLE_S = 0.01
RESTING = ("Completed", "Failed", "Held")


@frozen
class Outcome:
    """What a seed went through; `again_bytes` were written although they stood there, or in vain."""

    happened: Counter[str]
    written_bytes: int
    again_bytes: int


def run(seed: int, folder: Path, zygote: Zygote) -> Outcome:
    """One seed from its first step to its reckoning. Raises: AssertionError: with what it takes to replay."""
    lot = random.Random(seed)
    steps = drawn(lot)
    world = World.made(folder, lot, zygote)
    try:
        with _sampled(world):
            for step in steps:
                world.take(step)
            _make_peace(world)
        _reckon(world)
    except BaseException as error:
        error.add_note(_story(seed, steps, world))
        raise
    finally:
        world.close_all()
        world.house.crash()
        until(lambda: not world.house.workers(), PEACE_S, "workers outlive their house")
    return _outcome(world)


@contextmanager
def _sampled(world: World) -> Iterator[None]:
    """Somebody looks at the destination all the time."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            world.look()

    sampler = threading.Thread(target=look)
    sampler.start()
    try:
        yield
    finally:
        over.set()
        sampler.join()


def _make_peace(world: World) -> None:
    """Everything works again and nobody interferes: within a while nothing is left to do, and all is well."""
    world.close_all()
    world.fill_empty()
    world.heal()
    world.mount()
    world.start()
    until(lambda: world.house.order(f"/api/routes/{ROUTE}/resume"), PEACE_S, "the house does not answer")
    _await(world, lambda _: [], looks=1)
    until(lambda: world.house.order("/api/retry"), PEACE_S, "the house does not answer")
    _await(world, lambda shown: world.book.faults(world.nas, shown), looks=LOOKS)


def _await(world: World, faults: Callable[[Mapping[str, Shown]], list[str]], looks: int) -> None:
    """Until nothing moves and nothing is wrong, as often in a row."""
    end_s = time.monotonic() + PEACE_S
    good = 0
    while good < looks:
        shown = world.house.shown()
        wrong = ["no answer"] if shown is None else _moving(world, shown) or faults(shown)
        good = 0 if wrong else good + 1
        assert time.monotonic() < end_s, "\n".join(wrong)
        time.sleep(LOOK_S)


def _moving(world: World, shown: Mapping[str, Shown]) -> list[str]:
    unknown = [
        f"not on the list: {path!r}"
        for path, _ in files_below(world.source)
        if names.file_id(ROUTE, path) not in shown
    ]
    return unknown + [
        f"moving: {file_id} {file}"
        for file_id, file in shown.items()
        if file.status not in RESTING and file.size_bytes
    ]


def _reckon(world: World) -> None:
    """What the house says is over; now the disk speaks."""
    shown = world.house.shown() or {}
    world.house.stop()
    wrong = world.strangers + world.book.faults(world.nas, shown) + world.house.falls()
    with closing(sqlite3.connect(world.folder / "state" / "journal.db")) as journal:
        wrong += [f"still running: {row}" for row in journal.execute("SELECT path, phase FROM transfers")]
        wrong += [text for (text,) in journal.execute("PRAGMA integrity_check") if text != "ok"]
    assert not wrong, "\n".join(wrong)


def _outcome(world: World) -> Outcome:
    ours_bytes = sum(
        path.stat().st_size for name, path in files_below(world.nas) if name not in world.book.foreign
    )
    written_bytes = world.script.written_bytes()
    return Outcome(world.done + world.script.injected(), written_bytes, written_bytes - ours_bytes)


def _story(seed: int, steps: list[Step], world: World) -> str:
    lines = [f"seed {seed}: {world.keys}", *map(str, steps), f"stopped in step {sum(world.done.values())}"]
    return "\n".join([*lines, "the log ends:", world.house.log_end()])
