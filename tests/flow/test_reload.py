"""A new configuration takes effect while the house lives, or is refused while the old one goes on."""

import logging
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
    Brake,
    Picture,
    contents,
    fill,
    lines,
    route,
    running,
    write_config,
)


async def test_a_new_route_works_after_a_reload_and_the_feed_of_a_visitor_goes_on(tmp_path: Path) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source2", {"clip.wav": b"content"})
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        async with house.control.feed() as feed:
            picture = Picture()
            picture.take_in(before := await feed.receive())
            write_config(tmp_path, route("wav", source="source2"))
            await house.control.reload()
            while picture.status("clip.wav") is not Status.COMPLETED:
                picture.take_in(news := await feed.receive())
                assert isinstance(news, Snapshot) or news.seq == before.seq + 1
                before = news
    assert set(picture.routes) == {"mxf", "wav"}
    assert contents(tmp_path / "nas") == {"clip.wav": b"content"}


async def test_a_bad_configuration_is_refused_with_reasons_and_the_old_one_goes_on(
    tmp_path: Path,
) -> None:
    path = write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        path.write_text(path.read_text() + 'stabel = "1s"\n')
        with pytest.raises(InvalidConfig, match="stabel"):
            await house.control.reload()
        house.control.ask_for_reload()
        picture = await house.until(lambda seen: bool(seen.events))
        fill(tmp_path / "source", {"clip.mxf": b"content"})
        await house.until_file("clip.mxf", Status.COMPLETED)
    [event] = picture.events
    assert event.level == "warning"
    assert event.text.startswith("new configuration rejected: ")
    assert "stabel" in event.text


async def test_a_log_file_that_cannot_be_opened_refuses_the_configuration_as_well(tmp_path: Path) -> None:
    write_config(tmp_path)

    def no_such_disk(_: Config) -> None:
        raise OSError("no such disk")

    async with running(tmp_path) as house:
        house.runtime.set_up_log = no_such_disk
        await house.control.reload()
        picture = await house.until(lambda seen: bool(seen.events))
    assert [event.text for event in picture.events] == ["new configuration rejected: no such disk"]


async def test_a_hang_up_signal_reloads(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        write_config(tmp_path, stable="70ms")
        signal.raise_signal(signal.SIGHUP)
        await house.until(lambda seen: seen.routes["mxf"].rules["stable_s"] == 0.07)


async def test_a_running_copy_goes_on_from_its_checkpoint_under_the_new_configuration(
    tmp_path: Path, brake: Brake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await brake.until_checkpoint()
        write_config(tmp_path, max_attempts=1)
        await house.control.reload()
        await house.until(lambda seen: seen.routes["mxf"].rules["max_attempts"] == 1)
        brake.release()
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    [copied] = lines(caplog, "copied")
    assert (copied["resumed_bytes"], copied["read_bytes"]) == (WINDOW_BYTES, 1)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}
