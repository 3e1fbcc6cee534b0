"""Whatever happens to the web server, transfers go on."""

from pathlib import Path

import pytest
import trio
from attrs import define, field
from quart_trio import QuartTrio

from agent.model.transfer import Status
from agent.runtime import supervisor
from tests.flow.running_agents import LONG, Brake, fill, quick_restarts, running, write_config
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


async def test_a_web_server_that_falls_is_set_up_again_on_its_address_and_a_copy_does_not_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brake: Brake
) -> None:
    quick_restarts(monkeypatch)
    server = FallingServer()
    server.put(monkeypatch)
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await brake.until_checkpoint()
        server.bug.set()
        picture = await house.until(lambda seen: bool(seen.restarts()))
        assert picture.status("clip.mxf") is Status.COPYING
        brake.release()
        await house.until_file("clip.mxf", Status.COMPLETED)
        exposition = house.control.render_metrics().decode()
    assert picture.restarts() == ["web failed and was restarted after 0.01 s: ZeroDivisionError: a bug"]
    assert 'transfer_agent_actor_restarts_total{actor="web"} 1.0' in exposition
    first, second = server.binds
    assert first == "127.0.0.1:0"
    assert second.startswith("127.0.0.1:")
    assert second != first


async def test_a_web_server_that_keeps_falling_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_restarts(monkeypatch)
    server = FallingServer(falls=6)
    server.bug.set()
    server.put(monkeypatch)
    write_config(tmp_path)
    async with running(tmp_path) as house:
        assert await house.end() == 1
    assert len(server.binds) == 6
