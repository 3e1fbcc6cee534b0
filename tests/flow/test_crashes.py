"""A bug in an actor, the broadcaster or the web server: survived, said aloud, and not survived for ever."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from attrs import define, field

from agent.actors.broadcaster.status_model import StatusModel
from agent.actors.copier_pool import task
from agent.actors.dispatcher.scheduler import Scheduler
from agent.actors.stability_tracker.tracker import StabilityTracker
from agent.actors.storage_monitor.availability import AvailabilityTracker
from agent.actors.watcher.scan_planner import ScanPlanner
from agent.messages.broadcaster import StatusesChanged, StatusEvent
from agent.model.transfer import Status
from agent.runtime import generation, supervisor
from agent.runtime.generation import Generation
from tests.flow.running_agents import Picture, contents, fill, quick_restarts, running, write_config

RULES = {
    "watcher": (ScanPlanner, "next"),
    "stability_tracker": (StabilityTracker, "scanned"),
    "dispatcher": (Scheduler, "handle"),
    "storage_monitor": (AvailabilityTracker, "answered"),
    "copier_pool": (task, "resume_action"),
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
async def test_an_actor_that_raises_is_said_and_the_house_set_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actor: str
) -> None:
    quick_restarts(monkeypatch)
    Bug(times=1).put(monkeypatch, *RULES[actor])
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as house:
        picture = await house.until(lambda seen: seen.status("clip.mxf") is Status.COMPLETED)
        exposition = house.control.render_metrics().decode()
        assert await house.stop() == 0
    assert picture.restarts() == [f"{actor} failed and was restarted after 0.01 s: ZeroDivisionError: a bug"]
    assert f'transfer_agent_actor_restarts_total{{actor="{actor}"}} 1.0' in exposition
    assert contents(tmp_path / "nas") == {"clip.mxf": b"content"}


async def test_what_falls_six_times_in_a_row_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    bug = Bug(times=float("inf"))
    bug.put(monkeypatch, Scheduler, "handle")
    write_config(tmp_path)
    async with running(tmp_path) as house:
        assert await house.end() == 1
    assert bug.falls == 6


async def test_a_stop_while_the_house_waits_to_be_set_up_again_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch, HOUR_S)
    Bug(times=1).put(monkeypatch, Scheduler, "handle")
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(lambda seen: bool(seen.events))
        assert await house.stop() == 0


async def test_a_reload_while_the_house_waits_to_be_set_up_again_sets_it_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch, HOUR_S)
    Bug(times=1).put(monkeypatch, Scheduler, "handle")
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as house:
        await house.until(lambda seen: bool(seen.events))
        await house.control.reload()
        await house.until_file("clip.mxf", Status.COMPLETED)


async def test_a_journal_that_cannot_be_read_at_the_start_of_a_generation_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    Bug(times=1).put(monkeypatch, Generation, "start")
    write_config(tmp_path)
    async with running(tmp_path) as house:
        picture = await house.until(Picture.is_scanned)
    assert picture.restarts() == [
        "supervisor failed and was restarted after 0.01 s: ZeroDivisionError: a bug"
    ]


def spoil_the_first_news_of_files(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    apply, fallen = StatusModel.apply, trio.Event()

    def spoilt(view: StatusModel, fact: StatusEvent) -> None:
        if isinstance(fact, StatusesChanged) and not fallen.is_set():
            fallen.set()
            raise ZeroDivisionError("a bug")
        apply(view, fact)

    monkeypatch.setattr(StatusModel, "apply", spoilt)
    return fallen


async def test_a_broadcaster_that_raises_loses_its_visitors_but_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    spoil_the_first_news_of_files(monkeypatch)
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        async with house.control.feed() as feed:
            fill(tmp_path / "source", {"clip.mxf": b"content"})
            async for _ in feed:  # closed by the fall
                pass
        picture = await house.until(lambda seen: seen.status("clip.mxf") is Status.COMPLETED)
    assert picture.restarts() == [
        "broadcaster failed and was restarted after 0.01 s: ZeroDivisionError: a bug"
    ]


async def test_a_broadcaster_that_falls_while_its_inbox_is_full_is_set_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    monkeypatch.setattr(generation, "BROADCASTER_CAPACITY", 0)
    monkeypatch.setattr(supervisor, "NOTIFY_TIMEOUT_S", 0.05)
    fallen = spoil_the_first_news_of_files(monkeypatch)
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": b"content"})
    async with running(tmp_path) as house:
        await house.until(lambda seen: seen.status("clip.mxf") is Status.COMPLETED)
        assert await house.stop() == 0
    assert fallen.is_set()


async def test_a_broadcaster_that_keeps_falling_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    Bug(times=float("inf")).put(monkeypatch, StatusModel, "apply")
    write_config(tmp_path)
    async with running(tmp_path) as house:
        assert await house.end() == 1
