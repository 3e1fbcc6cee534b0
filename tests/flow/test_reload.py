"""A new configuration takes effect while the agent lives, or is refused while the old one goes on."""

import signal
from pathlib import Path

import pytest

from agent.config.sections import Config
from agent.control.errors import InvalidConfig
from agent.model.transfer import Status
from agent.model.views import Snapshot
from tests.flow.running_agents import (
    LONG,
    WINDOW_BYTES,
    ClientView,
    CopyHold,
    contents,
    log_lines,
    route,
    running,
    running_with_clip,
    write_config,
    write_files,
)


async def test_a_new_route_works_after_a_reload_and_the_feed_of_a_client_goes_on(tmp_path: Path) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source2", {"clip.wav": b"content"})
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        async with agent.control.feed() as feed:
            view = ClientView()
            view.apply(before := await feed.receive())
            write_config(tmp_path, route("wav", source="source2"))
            await agent.control.reload()
            while view.status("clip.wav") is not Status.COMPLETED:
                view.apply(news := await feed.receive())
                assert isinstance(news, Snapshot) or news.seq == before.seq + 1
                before = news
    assert set(view.routes) == {"mxf", "wav"}
    assert contents(tmp_path / "nas") == {"clip.wav": b"content"}


async def test_a_bad_configuration_is_refused_with_reasons_and_the_old_one_goes_on(
    tmp_path: Path,
) -> None:
    path = write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        path.write_text(path.read_text() + 'stabel = "1s"\n')
        with pytest.raises(InvalidConfig, match="stabel"):
            await agent.control.reload()
        agent.control.ask_for_reload()
        view = await agent.until(lambda view: bool(view.events))
        write_files(tmp_path / "source", {"clip.mxf": b"content"})
        await agent.until_file("clip.mxf", Status.COMPLETED)
    [event] = view.events
    assert event.level == "warning"
    assert event.text.startswith("new configuration rejected: ")
    assert "stabel" in event.text


async def test_a_log_file_that_cannot_be_opened_refuses_the_configuration_as_well(tmp_path: Path) -> None:
    write_config(tmp_path)

    def no_such_disk(_: Config) -> None:
        raise OSError("no such disk")

    async with running(tmp_path) as agent:
        agent.runtime.set_up_log = no_such_disk
        await agent.control.reload()
        view = await agent.until(lambda view: bool(view.events))
    assert [event.text for event in view.events] == ["new configuration rejected: no such disk"]


async def test_a_hang_up_signal_reloads(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        write_config(tmp_path, stable="70ms")
        signal.raise_signal(signal.SIGHUP)
        await agent.until(lambda view: view.routes["mxf"].rules["stable_s"] == 0.07)


async def test_a_running_copy_goes_on_from_its_checkpoint_under_the_new_configuration(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_with_clip(tmp_path, LONG) as agent:
        await copy_hold.until_checkpoint()
        write_config(tmp_path, max_attempts=1)
        await agent.control.reload()
        await agent.until(lambda view: view.routes["mxf"].rules["max_attempts"] == 1)
        copy_hold.release()
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    [copied] = log_lines(caplog, "copied")
    assert (copied["resumed_bytes"], copied["read_bytes"]) == (WINDOW_BYTES, 1)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}
