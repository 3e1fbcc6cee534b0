"""Whatever happens to the web server, transfers go on."""

from pathlib import Path

import pytest
import trio
from attrs import define, field
from quart_trio import QuartTrio

from agent.model.transfer import Status
from agent.runtime import supervisor
from tests.flow.running_agents import (
    LONG,
    CopyHold,
    quick_restarts,
    running,
    running_with_clip,
    write_config,
)
from web.server import serve


@define
class FallingServer:
    """The real web server, ended by a bug whenever `fall` is called, or right after its start."""

    falls: int = 1
    bug: trio.Event = field(factory=trio.Event, init=False)
    binds: list[str] = field(factory=list, init=False)

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervisor, "serve", self._serve)

    async def _serve(
        self, site: QuartTrio, bind: str, *, stop: trio.Event, task_status: trio.TaskStatus[str]
    ) -> None:
        self.binds.append(bind)
        if len(self.binds) > self.falls:
            await serve(site, bind, stop=stop, task_status=task_status)
            return
        async with trio.open_nursery() as nursery:
            task_status.started(await nursery.start(_serve_for_ever, site, bind))
            await self.bug.wait()
            raise ZeroDivisionError("a bug")


async def _serve_for_ever(site: QuartTrio, bind: str, *, task_status: trio.TaskStatus[str]) -> None:
    await serve(site, bind, stop=trio.Event(), task_status=task_status)


async def test_a_web_server_that_fails_restarts_on_its_address_and_copies_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy_hold: CopyHold
) -> None:
    quick_restarts(monkeypatch)
    server = FallingServer()
    server.put(monkeypatch)
    async with running_with_clip(tmp_path, LONG) as agent:
        await copy_hold.until_checkpoint()
        server.bug.set()
        view = await agent.until(lambda view: bool(view.restarts()))
        assert view.status("clip.mxf") is Status.COPYING
        copy_hold.release()
        await agent.until_file("clip.mxf", Status.COMPLETED)
        exposition = agent.control.render_metrics().decode()
    assert view.restarts() == ["web failed and was restarted after 0.01 s: ZeroDivisionError: a bug"]
    assert 'transfer_agent_actor_restarts_total{actor="web"} 1.0' in exposition
    first, second = server.binds
    assert first == "127.0.0.1:0"
    assert second.startswith("127.0.0.1:")
    assert second != first


async def test_a_web_server_that_keeps_failing_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    server = FallingServer(falls=6)
    server.bug.set()
    server.put(monkeypatch)
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        assert await agent.end() == 1
    assert len(server.binds) == 6
