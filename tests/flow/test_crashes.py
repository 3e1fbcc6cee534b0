"""A bug in an actor, the broadcaster or the web server: survived, said aloud, and not survived for ever."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from attrs import define, field

from agent.actors.broadcaster.status_model import StatusModel
from agent.actors.copier_pool import transfer
from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.actors.watcher.scan_planner import ScanPlanner
from agent.messages.broadcaster import StatusesChanged, StatusEvent
from agent.model.transfer import Status
from agent.runtime import channels, runtime
from agent.runtime.generation import Generation
from tests.flow.running_agents import (
    ClientView,
    contents,
    quick_restarts,
    running,
    running_with_clip,
    write_config,
    write_files,
)

RULES = {
    "watcher": (ScanPlanner, "next"),
    "stability_tracker": (StabilityTracker, "scanned"),
    "dispatcher": (Scheduler, "handle"),
    "storage_monitor": (AvailabilityTracker, "answered"),
    "copier_pool": (transfer, "publish_request"),
}
HOUR_S = 3600.0


@define
class Bug:
    """Raises in place of a rule, the given number of times; after that the rule is as it was."""

    times: float
    falls: int = field(default=0, init=False)

    def put(self, monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
        rule: Callable[..., object] = getattr(place, name)

        def spoilt(*values: object) -> object:
            if self.falls < self.times:
                self.falls += 1
                raise ZeroDivisionError("a bug")
            return rule(*values)

        monkeypatch.setattr(place, name, spoilt)


@pytest.mark.parametrize("actor", RULES)
async def test_an_actor_that_raises_is_reported_and_all_actors_are_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actor: str
) -> None:
    quick_restarts(monkeypatch)
    Bug(times=1).put(monkeypatch, *RULES[actor])
    async with running_with_clip(tmp_path, b"content") as agent:
        view = await agent.until(lambda view: view.status("clip.mxf") is Status.COMPLETED)
        exposition = agent.control.render_metrics().decode()
        assert await agent.stop() == 0
    assert view.restarts() == [f"{actor} failed and was restarted after 0.01 s: ZeroDivisionError: a bug"]
    assert f'transfer_agent_actor_restarts_total{{actor="{actor}"}} 1.0' in exposition
    assert contents(tmp_path / "nas") == {"clip.mxf": b"content"}


async def test_an_actor_that_fails_six_times_in_a_row_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    bug = Bug(times=float("inf"))
    bug.put(monkeypatch, Scheduler, "handle")
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        assert await agent.end() == 1
    assert bug.falls == 6


async def test_a_stop_during_the_wait_for_a_restart_takes_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch, HOUR_S)
    Bug(times=1).put(monkeypatch, Scheduler, "handle")
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(lambda view: bool(view.events))
        assert await agent.stop() == 0


async def test_a_reload_during_the_wait_for_a_restart_restarts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch, HOUR_S)
    Bug(times=1).put(monkeypatch, Scheduler, "handle")
    async with running_with_clip(tmp_path, b"content") as agent:
        await agent.until(lambda view: bool(view.events))
        await agent.control.reload()
        await agent.until_file("clip.mxf", Status.COMPLETED)


async def test_a_generation_that_fails_to_start_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    Bug(times=1).put(monkeypatch, Generation, "start")
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        view = await agent.until(ClientView.is_scanned)
    assert view.restarts() == ["supervisor failed and was restarted after 0.01 s: ZeroDivisionError: a bug"]


def spoil_the_first_news_of_files(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    apply, fallen = StatusModel.apply, trio.Event()

    def spoilt(view: StatusModel, event: StatusEvent) -> None:
        if isinstance(event, StatusesChanged) and not fallen.is_set():
            fallen.set()
            raise ZeroDivisionError("a bug")
        apply(view, event)

    monkeypatch.setattr(StatusModel, "apply", spoilt)
    return fallen


async def test_a_broadcaster_that_raises_loses_its_clients_but_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    spoil_the_first_news_of_files(monkeypatch)
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        async with agent.control.feed() as feed:
            write_files(tmp_path / "source", {"clip.mxf": b"content"})
            async for _ in feed:  # closed by the fall
                pass
        view = await agent.until(lambda view: view.status("clip.mxf") is Status.COMPLETED)
    assert view.restarts() == ["broadcaster failed and was restarted after 0.01 s: ZeroDivisionError: a bug"]


async def test_a_broadcaster_that_fails_while_its_inbox_is_full_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    monkeypatch.setattr(channels, "BROADCASTER_CAPACITY", 0)
    monkeypatch.setattr(runtime, "NOTIFY_TIMEOUT_S", 0.05)
    fallen = spoil_the_first_news_of_files(monkeypatch)
    async with running_with_clip(tmp_path, b"content") as agent:
        await agent.until(lambda view: view.status("clip.mxf") is Status.COMPLETED)
        assert await agent.stop() == 0
    assert fallen.is_set()


async def test_a_broadcaster_that_keeps_failing_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    Bug(times=float("inf")).put(monkeypatch, StatusModel, "apply")
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        assert await agent.end() == 1
