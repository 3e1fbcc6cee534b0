"""A whole agent in the test's process: real folders, journal, workers and web server, short durations."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from agent.config.load import load
from agent.config.sections import Config
from agent.control.service import Control
from agent.journal import transfers
from agent.journal.client import JournalClient
from agent.model.transfer import Status
from agent.model.verification import BLOCK_BYTES
from agent.model.views import Event, Feed, FileView, RouteView, Snapshot
from agent.runtime import supervisor
from agent.runtime.runtime import RestartPolicy, Runtime
from agent.worker.copy.pipeline import WINDOW_BLOCKS
from tests.flow import held_worker

TIMEOUT_S = 30.0  # only a failing test waits this long
POLL_S = 0.01
WINDOW_BYTES = WINDOW_BLOCKS * BLOCK_BYTES
LONG = b"x" * (WINDOW_BYTES + 1)  # the shortest file that CopyHold can hold in the middle

QUICK = {
    "source": "source",
    "destination": "nas",
    "stable": "50ms",
    "scan": "50ms",
    "probe": "50ms",
    "retry_delay": "50ms",
    "low_space": 0,
}


@define
class ClientView:
    """What a client of the feed knows: a snapshot and the updates since."""

    files: dict[str, FileView] = field(factory=dict)
    routes: dict[str, RouteView] = field(factory=dict)
    events: list[Event] = field(factory=list)

    def apply(self, message: Feed) -> None:
        if isinstance(message, Snapshot):
            self.files, self.routes, self.events = {file.id: file for file in message.files}, {}, []
        else:
            for file_id in message.removed:
                self.files.pop(file_id, None)  # it may have come and gone between two updates
            self.files |= {file.id: file for file in message.changed}
        self.routes |= {route.name: route for route in message.routes}
        self.events += message.events

    def find(self, path: str) -> FileView | None:
        """The file with this path; if several have it, the latest."""
        found = [file for file in self.files.values() if file.path == path]
        return max(found, key=lambda file: file.discovered_at, default=None)

    def restarts(self) -> list[str]:
        """The texts of all error events: a failed actor reports its restart in one."""
        return [event.text for event in self.events if event.level == "error"]

    def is_scanned(self, route: str = "mxf") -> bool:
        return route in self.routes and self.routes[route].scanned

    def source_error(self, route: str = "mxf") -> str | None:
        return self.routes[route].source_error if route in self.routes else None

    def all_have(self, status: Status) -> bool:
        return all(file.current.status is status for file in self.files.values())

    def status(self, path: str) -> Status | None:
        file = self.find(path)
        return file.current.status if file else None


@define
class RunningAgent:
    """An agent that runs, and ways to wait for what its clients see."""

    folder: Path
    runtime: Runtime
    ended: trio.Event = field(factory=trio.Event)

    @property
    def control(self) -> Control:
        return self.runtime.control

    async def until(self, holds: Callable[[ClientView], bool]) -> ClientView:
        """The first view for which this holds; reconnects whenever the feed is closed."""
        with trio.fail_after(TIMEOUT_S):
            while True:
                view = ClientView()
                async with self.control.feed() as feed:
                    async for message in feed:
                        view.apply(message)
                        if holds(view):
                            return view

    async def until_file(self, path: str, status: Status) -> FileView:
        view = await self.until(lambda view: view.status(path) is status)
        file = view.find(path)
        assert file is not None
        return file

    async def file_id(self, path: str) -> str:
        """The id of a file that is on the list already."""
        return next(file.id for file in (await self.control.snapshot()).files if file.path == path)

    async def stop(self) -> int:
        """Stop it as a signal would. Returns the exit code."""
        self.runtime.stop()
        return await self.end()

    async def end(self) -> int:
        """Wait until it has ended. Returns the exit code."""
        with trio.fail_after(TIMEOUT_S):
            await self.ended.wait()
        return self.runtime.exit_code


def write_config(folder: Path, more: str = "", **keys: object) -> Path:
    """Write an agent.toml with one route, `mxf`, and create its folders `source` and `nas`."""
    for name in ("source", "nas"):
        (folder / name).mkdir(exist_ok=True)
    path = folder / "agent.toml"
    path.write_text(
        '[agent]\nname = "test"\nstate_dir = "state"\n[web]\nbind = "127.0.0.1:0"\n'
        f'[[route]]\nname = "mxf"\n{_toml(QUICK | keys)}\n{more}\n'
    )
    return path


def route(name: str, **keys: object) -> str:
    """The text of a further route."""
    return f'[[route]]\nname = "{name}"\n{_toml(QUICK | keys)}\n'


def _toml(keys: Mapping[str, object]) -> str:
    # Strings, numbers, booleans and lists of them look the same in TOML and JSON.
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())


def config_of(folder: Path) -> Config:
    return load(str(folder / "agent.toml"), {})


def no_log(_: Config) -> None:
    """Keep the logging that pytest has set up."""


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[RunningAgent]:
    """Run the agent that the folder's agent.toml describes, from when its journal is open; then stop it."""
    config = config_of(folder)
    runtime = Runtime.create(lambda: config_of(folder), no_log)
    agent = RunningAgent(folder, runtime)

    async def supervise() -> None:
        await supervisor.supervise(runtime, config, once_only=False)
        agent.ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise)
        with trio.fail_after(TIMEOUT_S):
            while not hasattr(runtime, "journal"):  # noqa: ASYNC110  only tests wait for it
                await trio.sleep(0.01)
        yield agent
        await agent.stop()


@asynccontextmanager
async def running_with_clip(folder: Path, content: bytes, **keys: Any) -> AsyncIterator[RunningAgent]:  # noqa: ANN401  as in TOML
    """Configure an agent with these keys of the route, and run it with one file, clip.mxf, in its source."""
    write_config(folder, **keys)
    write_files(folder / "source", {"clip.mxf": content})
    async with running(folder) as agent:
        yield agent


async def run_once(folder: Path) -> int:
    """`run --once`. Returns the exit code."""
    with trio.fail_after(TIMEOUT_S):
        return await supervisor.run(config_of(folder), lambda: config_of(folder), no_log, once_only=True)


def quick_restarts(monkeypatch: pytest.MonkeyPatch, delay_s: float = 0.01) -> None:
    """Restart a failed agent after `delay_s`; the number of restarts is limited as always."""
    record_failure = RestartPolicy.record_failure

    def record_with_short_delay(policy: RestartPolicy, now_s: float) -> float | None:
        return None if record_failure(policy, now_s) is None else delay_s

    monkeypatch.setattr(RestartPolicy, "record_failure", record_with_short_delay)


def use_worker(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Make worker processes run this module from now on."""
    open_process = trio.lowlevel.open_process

    async def open_ours(command: list[str], **options: Any) -> trio.Process:  # noqa: ANN401  as the agent has it
        return await open_process([*command[:-2], program, command[-1]], **options)

    monkeypatch.setattr(trio.lowlevel, "open_process", open_ours)


def on_written(
    monkeypatch: pytest.MonkeyPatch, operation: Callable[..., object], then: Callable[[], None]
) -> None:
    """Call `then` whenever this operation of the journal was committed."""
    write = JournalClient.write

    async def noted(journal: JournalClient, called: Callable[..., Any], *args: Any, **more: Any) -> object:  # noqa: ANN401
        result = await write(journal, called, *args, **more)
        if called is operation:
            then()
        return result

    monkeypatch.setattr(JournalClient, "write", noted)


@define
class CopyHold:
    """Holds every copy in the middle: after the checkpoint of its first window, until `release`."""

    hold_file: Path
    reached: trio.Event = field(factory=trio.Event)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hold_file.touch()
        monkeypatch.setenv("HOLD_FILE", str(self.hold_file))
        use_worker(monkeypatch, held_worker.__name__)
        on_written(monkeypatch, transfers.checkpoint, self.reached.set)

    def release(self) -> None:
        self.hold_file.unlink()

    async def until_checkpoint(self) -> None:
        """Wait until a copy has its first window in the journal and is held."""
        with trio.fail_after(TIMEOUT_S):
            await self.reached.wait()


def log_lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """The log lines with this event, each as the dictionary that was logged."""
    found = [record.msg for record in caplog.records]
    return [line for line in found if isinstance(line, dict) and line["event"] == event]


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for a condition that the feed does not report."""
    with trio.fail_after(TIMEOUT_S):
        while not holds():  # noqa: ASYNC110  an outside change sets no event
            await trio.sleep(POLL_S)


def contents(folder: Path) -> dict[str, bytes]:
    """The content of every file below the folder, by its relative path."""
    found = {}
    for path in folder.rglob("*"):
        # The storage monitor writes and removes its probe file at any time.
        if path.is_file() and not path.name.startswith(".transfer-agent."):
            with suppress(FileNotFoundError):  # removed in between
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found
