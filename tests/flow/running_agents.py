"""A whole house in one process: real folders, journal, workers and page, with durations of milliseconds."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
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
from agent.model.transfer import BLOCK_BYTES, Status
from agent.model.views import Event, Feed, FileView, RouteView, Snapshot
from agent.runtime import supervisor
from agent.runtime.runtime import RestartPolicy, Runtime
from agent.worker.copy.pipeline import WINDOW_BLOCKS
from tests.flow import held_worker

PATIENCE_S = 30.0  # only a test that fails waits as long
POLL_S = 0.01
WINDOW_BYTES = WINDOW_BLOCKS * BLOCK_BYTES
LONG = b"x" * (WINDOW_BYTES + 1)  # what the brake can hold in the middle

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
class Picture:
    """What a visitor knows: a snapshot and the updates since."""

    files: dict[str, FileView] = field(factory=dict)
    routes: dict[str, RouteView] = field(factory=dict)
    events: list[Event] = field(factory=list)

    def take_in(self, news: Feed) -> None:
        if isinstance(news, Snapshot):
            self.files, self.routes, self.events = {file.id: file for file in news.files}, {}, []
        else:
            for file_id in news.removed:
                self.files.pop(file_id, None)  # it may have come and gone between two updates
            self.files |= {file.id: file for file in news.changed}
        self.routes |= {route.name: route for route in news.routes}
        self.events += news.events

    def find(self, path: str) -> FileView | None:
        """The file with this path; of several with one path the latest."""
        found = [file for file in self.files.values() if file.path == path]
        return max(found, key=lambda file: file.discovered_at, default=None)

    def restarts(self) -> list[str]:
        """What has fallen."""
        return [event.text for event in self.events if event.level == "error"]

    def is_scanned(self, route: str = "mxf") -> bool:
        return route in self.routes and self.routes[route].scanned

    def source_error(self, route: str = "mxf") -> str | None:
        return self.routes[route].source_error if route in self.routes else None

    def are(self, status: Status) -> bool:
        """Whether every file has this status."""
        return all(file.current.status is status for file in self.files.values())

    def status(self, path: str) -> Status | None:
        file = self.find(path)
        return file.current.status if file else None


@define
class Running:
    """A house that lives, and how to wait until it shows something."""

    folder: Path
    runtime: Runtime
    ended: trio.Event = field(factory=trio.Event)

    @property
    def control(self) -> Control:
        return self.runtime.control

    async def until(self, is_so: Callable[[Picture], bool]) -> Picture:
        """The first picture of which this is so; comes back whenever its feed is closed."""
        with trio.fail_after(PATIENCE_S):
            while True:
                picture = Picture()
                async with self.control.feed() as feed:
                    async for news in feed:
                        picture.take_in(news)
                        if is_so(picture):
                            return picture

    async def until_file(self, path: str, status: Status) -> FileView:
        picture = await self.until(lambda picture: picture.status(path) is status)
        file = picture.find(path)
        assert file is not None
        return file

    async def file_id(self, path: str) -> str:
        """Of a file that visitors know already."""
        return next(file.id for file in (await self.control.snapshot()).files if file.path == path)

    async def stop(self) -> int:
        """Tell it to stop as a signal would; the exit code."""
        self.runtime.stop()
        return await self.end()

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        with trio.fail_after(PATIENCE_S):
            await self.ended.wait()
        return self.runtime.exit_code


def write_config(folder: Path, more: str = "", **keys: object) -> Path:
    """An agent.toml with one route, `mxf`; its folders `source` and `nas` are made too."""
    for name in ("source", "nas"):
        (folder / name).mkdir(exist_ok=True)
    path = folder / "agent.toml"
    path.write_text(
        '[agent]\nname = "test"\nstate_dir = "state"\n[web]\nbind = "127.0.0.1:0"\n'
        f'[[route]]\nname = "mxf"\n{_toml(QUICK | keys)}\n{more}\n'
    )
    return path


def route(name: str, **keys: object) -> str:
    """The text of another route."""
    return f'[[route]]\nname = "{name}"\n{_toml(QUICK | keys)}\n'


def _toml(keys: Mapping[str, object]) -> str:
    # Texts, numbers, booleans and lists of them read the same in TOML as in JSON.
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())


def config_of(folder: Path) -> Config:
    return load(str(folder / "agent.toml"), {})


def no_log(_: Config) -> None:
    """Lines go where the test's own logging sends them."""


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """The house that the folder's agent.toml describes; stopped when the block is left."""
    config = config_of(folder)
    async with Runtime.open(config, lambda: config_of(folder), no_log) as runtime:
        house = Running(folder, runtime)

        async def live() -> None:
            await supervisor.supervise(runtime, config, once_only=False)
            house.ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            yield house
            await house.stop()


async def run_once(folder: Path) -> int:
    """`run --once`; the exit code."""
    with trio.fail_after(PATIENCE_S):
        return await supervisor.run(config_of(folder), lambda: config_of(folder), no_log, once_only=True)


def quick_restarts(monkeypatch: pytest.MonkeyPatch, delay_s: float = 0.01) -> None:
    """A house that fell is set up again after `delay_s`; the budget counts as ever."""
    fell = RestartPolicy.record_failure

    def quickly(budget: RestartPolicy, now_s: float) -> float | None:
        return None if fell(budget, now_s) is None else delay_s

    monkeypatch.setattr(RestartPolicy, "record_failure", quickly)


def use_worker(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Worker processes run this program from now on."""
    open_process = trio.lowlevel.open_process

    async def open_ours(command: list[str], **options: Any) -> trio.Process:  # noqa: ANN401  as the agent has it
        return await open_process([command[0], program, command[-1]], **options)

    monkeypatch.setattr(trio.lowlevel, "open_process", open_ours)


def on_written(
    monkeypatch: pytest.MonkeyPatch, operation: Callable[..., object], then: Callable[[], None]
) -> None:
    """Call `then` whenever this operation of the journal has become durable."""
    write = JournalClient.write

    async def noted(journal: JournalClient, called: Callable[..., Any], *args: Any, **kwargs: Any) -> object:  # noqa: ANN401  as the client has it
        result = await write(journal, called, *args, **kwargs)
        if called is operation:
            then()
        return result

    monkeypatch.setattr(JournalClient, "write", noted)


@define
class Brake:
    """Holds every copy in the middle: behind the checkpoint of its first window."""

    hold_file: Path
    reached: trio.Event = field(factory=trio.Event)

    def pull(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hold_file.touch()
        monkeypatch.setenv("HOLD_FILE", str(self.hold_file))
        use_worker(monkeypatch, held_worker.__file__)
        on_written(monkeypatch, transfers.checkpoint, self.reached.set)

    def release(self) -> None:
        self.hold_file.unlink()

    async def until_checkpoint(self) -> None:
        """A copy has its first window in the journal and waits."""
        with trio.fail_after(PATIENCE_S):
            await self.reached.wait()


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """What was bound to each log line of this event."""
    found = [record.msg for record in caplog.records]
    return [line for line in found if isinstance(line, dict) and line["event"] == event]


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def eventually(is_so: Callable[[], bool]) -> None:
    """For what no visitor is told."""
    with trio.fail_after(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  what happens outside sets no event
            await trio.sleep(POLL_S)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, by its path."""
    # The monitor's write probe comes and goes as it likes.
    paths = [path for path in folder.rglob("*") if not path.name.startswith(".transfer-agent.")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}
