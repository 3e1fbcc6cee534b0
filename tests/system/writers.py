"""Writers at work on an agent's source: the simulator's profiles in a thread, and what must come of them."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from agent.simulate.player import Player
from agent.simulate.profiles import Profile
from agent.simulate.runs import Run, in_order
from agent.simulate.steps import Write, WriteStep
from agent.simulate.writer_plan import SimulatedFile
from tests.system.agents import TIMEOUT_S, Agent

SIZE_BYTES = 20_000_000
RATE_BYTES_S = 4_000_000
GATE_BYTES = 15_000_000
GATE_S = 2.0
GROWING: dict[str, Any] = {
    "growing": True,
    "growing_min_size": 1,
    "stable": "2500ms",
    "scan": "200ms",
    "workers": 8,
    "stall_timeout": "60s",
}
# The profiles' own pauses are those of the field, too long to be waited for here.
QUICK: dict[str, dict[str, Any]] = {
    "stall": {"pause_s": 3.0},
    "slow-start": {"start_delay_s": 1.5},
    "head-first": {"start_delay_s": 1.5},
    "ftp-resume": {"pause_s": 1.0},
    "hold-open": {"hold_s": 4.0},
    "touch-later": {"touch_after_s": 0.5},
    "mmap": {"live_patch_s": 1.0},
    "patch-every": {"patch_every_bytes": 4_000_000},
}


def quick(profile: Profile, **details: Any) -> Run:  # noqa: ANN401  whatever a run has
    """A short recording in this profile, with the periods and pauses that belong to its length."""
    options = evolve(profile.options, **{"period_s": 1.0, **QUICK.get(profile.name, {})})
    words = {"name": profile.name, "size_bytes": SIZE_BYTES, "rate_bytes_s": RATE_BYTES_S, "seed": 7}
    return Run(profile.container, options, **{**words, **details})


@define(eq=False)
class Writers:
    """Several runs at once, in a thread, in a time that stands still while they wait for their follower.

    `is_followed`: asked before a file grows beyond `GATE_BYTES`, so that the slowest machine copies while it
    grows, and not only when it has ended. `seen`: the files that exist; `crashed`: those never closed.
    """

    folder: Path
    jobs: list[SimulatedFile]
    is_followed: Callable[[str], bool]
    seen: set[str] = field(factory=set, init=False)
    crashed: set[str] = field(factory=set, init=False)
    _player: Player = field(init=False)
    _thread: threading.Thread = field(init=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _error: BaseException | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._player = Player(str(self.folder), lambda step: self.seen.add(step.path), paced=False)
        self._thread = threading.Thread(target=self._play)

    @classmethod
    @contextmanager
    def at_work(
        cls, folder: Path, runs: Iterable[Run], is_followed: Callable[[str], bool] = lambda _: True
    ) -> Iterator["Writers"]:
        """The thread has ended when the block is left."""
        writers = cls(folder, [job for run in runs for job in run.files()], is_followed)
        writers._thread.start()
        try:
            yield writers
        finally:
            writers._stop.set()
            writers._thread.join()

    def finish(self) -> dict[str, str]:
        """Wait for the last of them; the SHA-256 of what must arrive, by path."""
        self._thread.join(2 * TIMEOUT_S)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        standing = self._player.expected_contents()
        return {path: content.sha256() for path, content in standing.items() if path not in self.crashed}

    def _play(self) -> None:
        try:
            self._player.play(self._in_time())
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            self._error = error

    def _in_time(self) -> Iterator[WriteStep]:
        begin_s = time.monotonic()
        for step in in_order(self.jobs):
            if isinstance(step, Write) and step.offset >= GATE_BYTES:
                begin_s += self._wait_for_follower(step.path)
            if self._stop.wait(max(0.0, begin_s + step.at_s - time.monotonic())):
                return
            if getattr(step, "crashed", False):
                self.crashed.add(step.path)
            yield step

    def _wait_for_follower(self, path: str) -> float:
        """Not for ever: what grows on may be seen to grow. How long it took."""
        began_s = time.monotonic()
        while time.monotonic() < began_s + GATE_S and not self.is_followed(path):
            if self._stop.wait(0.02):
                break
        return time.monotonic() - began_s


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wait_for_all(agent: Agent, expected: dict[str, str]) -> None:
    """Until each has arrived and left the source; at no moment it stands at neither place."""
    missing = dict(expected)

    def all_have_arrived() -> bool:
        gone = [path for path in missing if not (agent.source / path).exists()]
        arrived = {event["file"]: Path(event["to"]) for event in agent.events("delivered")} if gone else {}
        for path in gone:
            to = arrived.get(path)
            assert to is not None or any(agent.nas.glob(f"{Path(path).stem}*")), f"{path} is nowhere"
            if to is not None and sha256(to) == missing[path]:
                del missing[path]
        return not missing

    try:
        agent.wait_until(all_have_arrived)
    except AssertionError as error:
        raise AssertionError(f"never arrived: {sorted(missing)}") from error


def has_arrived_in_part(agent: Agent, path: str) -> bool:
    """Whether its partial holds anything yet."""
    return any(partial.stat().st_size for partial in agent.nas.glob(f".{path}.*.partial"))


def copied(agent: Agent, path: str) -> dict[str, Any]:
    """What its last copy was told to have done; empty: it found everything in place."""
    events = [event for event in agent.events("copied") if event["file"] == path]
    return events[-1] if events else {}
