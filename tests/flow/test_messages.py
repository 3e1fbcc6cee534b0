"""How many messages between actors one small file takes, from first sight to done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.messages.broadcaster import StatusChanged
from agent.messages.channels import GetSnapshot, Subscribe
from agent.messages.dispatcher import Gone
from agent.messages.stability_tracker import FilesRemoved, ScanResult
from agent.messages.watcher import WatchEvent
from agent.model.transfer import Status
from tests.flow.running_agents import (
    PATIENCE_S,
    POLL_S,
    Picture,
    Running,
    eventually,
    fill,
    running,
    write_config,
)

MAX_MESSAGES = 14
MAX_TYPES = 12
UNWANTED = "unwanted.tmp"


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every message that one actor sends to another, once for each receiver."""
    messages: list[object] = []
    waiting: list[tuple[object, object]] = []
    send, send_nowait = trio.MemorySendChannel.send, trio.MemorySendChannel.send_nowait

    def note(message: object) -> None:
        is_client = isinstance(message, Subscribe | GetSnapshot)
        if type(message).__module__.startswith("agent.messages.") and not is_client:
            messages.append(message)

    async def noted_send(channel: trio.MemorySendChannel[Any], message: object) -> None:
        note(message)
        waiting.append((channel, message))
        try:
            await send(channel, message)
        finally:
            waiting.remove((channel, message))

    def noted_send_nowait(channel: trio.MemorySendChannel[Any], message: object) -> None:
        send_nowait(channel, message)
        if (channel, message) not in waiting:  # `send` begins with `send_nowait`
            note(message)

    with monkeypatch.context() as patched:
        patched.setattr(trio.MemorySendChannel, "send", noted_send)
        patched.setattr(trio.MemorySendChannel, "send_nowait", noted_send_nowait)
        yield messages


def is_end(message: object) -> bool:
    """Whether the page or the tracker learns with it that the file is done."""
    is_completed = isinstance(message, StatusChanged) and message.status is Status.COMPLETED
    return is_completed or isinstance(message, FilesRemoved)


def finds_nothing(message: object) -> bool:
    """Whether an examination says that the file is not there."""
    return isinstance(message, ScanResult) and "clip.mxf" in (message.examined or ()) and not message.entries


def names_of(messages: list[object]) -> list[str]:
    """The types of the messages about the file, up to the last one that says that it is done."""
    done = max(number for number, message in enumerate(messages, 1) if is_end(message))
    first = next(number for number, message in enumerate(messages) if "clip.mxf" in str(message))
    return [type(message).__name__ for message in messages[first:done] if UNWANTED not in str(message)]


async def deliver_one(house: Running) -> None:
    fill(house.folder / "source", {"clip.mxf": b"content"})
    await house.until_file("clip.mxf", Status.COMPLETED)


async def until_events_come(house: Running, messages: list[object]) -> None:
    """Until a file that no route wants leads to a watch event."""
    await house.until(Picture.is_scanned)
    with trio.fail_after(PATIENCE_S):
        while not any(isinstance(message, WatchEvent) for message in messages):
            fill(house.folder / "source", {UNWANTED: b""})
            await trio.sleep(POLL_S)


async def test_a_small_file_is_delivered_in_few_messages_of_few_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, scan="1h", probe="1h", exclude=["*.tmp"])
    async with running(tmp_path) as house:
        with recorded(monkeypatch) as messages:
            await until_events_come(house, messages)
            await deliver_one(house)
            await eventually(lambda: any(isinstance(each, FilesRemoved) for each in messages))
    names = names_of(messages)
    assert len(names) <= MAX_MESSAGES, names
    assert len(set(names)) <= MAX_TYPES, names


async def test_the_removal_of_a_delivered_source_is_not_found_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, scan="1h", probe="1h", exclude=["*.tmp"])
    async with running(tmp_path) as house:
        with recorded(monkeypatch) as messages:
            await until_events_come(house, messages)
            await deliver_one(house)
            await eventually(lambda: any(map(finds_nothing, messages)))
    assert not any(isinstance(message, Gone) for message in messages)
