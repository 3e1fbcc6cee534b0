"""How many messages between actors one small file takes, from the first scan to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.messages.broadcaster import Recovered, StatusChanged
from agent.messages.channels import GetSnapshot, Subscribe
from agent.messages.dispatcher import Gone
from agent.messages.stability_tracker import FilesRemoved, ScanResult
from agent.messages.watcher import WatchEvent
from agent.model.transfer import Status
from tests.flow.running_agents import (
    POLL_S,
    TIMEOUT_S,
    ClientView,
    RunningAgent,
    eventually,
    running,
    write_config,
    write_files,
)

MAX_MESSAGES = 14
MAX_TYPES = 12
UNWANTED = "unwanted.bak"


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every message that one actor sends to another, once for each receiver."""
    messages: list[object] = []
    waiting: list[tuple[object, object]] = []
    send, send_nowait = trio.MemorySendChannel.send, trio.MemorySendChannel.send_nowait

    def record(message: object) -> None:
        is_client = isinstance(message, Subscribe | GetSnapshot)
        if type(message).__module__.startswith("agent.messages.") and not is_client:
            messages.append(message)

    async def recorded_send(channel: trio.MemorySendChannel[Any], message: object) -> None:
        record(message)
        waiting.append((channel, message))
        try:
            await send(channel, message)
        finally:
            waiting.remove((channel, message))

    def recorded_send_nowait(channel: trio.MemorySendChannel[Any], message: object) -> None:
        send_nowait(channel, message)
        if (channel, message) not in waiting:  # `send` begins with `send_nowait`
            record(message)

    with monkeypatch.context() as patched:
        patched.setattr(trio.MemorySendChannel, "send", recorded_send)
        patched.setattr(trio.MemorySendChannel, "send_nowait", recorded_send_nowait)
        yield messages


def is_end(message: object) -> bool:
    """Whether the page or the tracker learns from it that the file has ended."""
    is_completed = isinstance(message, StatusChanged) and message.status is Status.COMPLETED
    return is_completed or isinstance(message, FilesRemoved)


def finds_nothing(message: object) -> bool:
    """Whether an examination did not find the file."""
    return isinstance(message, ScanResult) and "clip.mxf" in (message.examined or ()) and not message.entries


def is_echo(message: object) -> bool:
    """Whether it is what the kernel tells of our own removal, which may be heard before its end is known."""
    is_removal = isinstance(message, WatchEvent) and message.paths == ("clip.mxf",) and not message.closed
    return is_removal or finds_nothing(message)


def names_of(messages: list[object]) -> list[str]:
    """The types of the messages about the file, up to the last one that reports its end."""
    done = max(number for number, message in enumerate(messages, 1) if is_end(message))
    first = next(number for number, message in enumerate(messages) if "clip.mxf" in str(message))
    about = [message for message in messages[first:done] if not is_echo(message)]
    return [type(message).__name__ for message in about if UNWANTED not in str(message)]


async def deliver_one(agent: RunningAgent) -> None:
    write_files(agent.folder / "source", {"clip.mxf": b"content"})
    await agent.until_file("clip.mxf", Status.COMPLETED)


async def until_events_arrive(agent: RunningAgent, messages: list[object]) -> None:
    """Wait until the destination is in use and a file that no route wants causes a watch event."""
    await agent.until(ClientView.is_scanned)
    await eventually(lambda: any(isinstance(message, Recovered) for message in messages))
    with trio.fail_after(TIMEOUT_S):
        while not any(isinstance(message, WatchEvent) for message in messages):
            write_files(agent.folder / "source", {UNWANTED: b""})
            await trio.sleep(POLL_S)


async def test_a_small_file_is_delivered_in_few_messages_of_few_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, scan="1h", probe="1h", exclude=["*.bak"])
    async with running(tmp_path) as agent:
        with recorded(monkeypatch) as messages:
            await until_events_arrive(agent, messages)
            await deliver_one(agent)
            await eventually(lambda: any(isinstance(each, FilesRemoved) for each in messages))
    names = names_of(messages)
    assert len(names) <= MAX_MESSAGES, names
    assert len(set(names)) <= MAX_TYPES, names


async def test_the_removal_of_a_delivered_source_is_not_found_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, scan="1h", probe="1h", exclude=["*.bak"])
    async with running(tmp_path) as agent:
        with recorded(monkeypatch) as messages:
            await until_events_arrive(agent, messages)
            await deliver_one(agent)
            await eventually(lambda: any(map(finds_nothing, messages)))
    assert not any(isinstance(message, Gone) for message in messages)
