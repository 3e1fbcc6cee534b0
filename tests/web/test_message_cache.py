"""A message of the live feed is encoded once for all its receivers, as a WebSocket frame."""

import gc
import json
from typing import Any

import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from agent.control.errors import Unavailable
from agent.model.views import Feed, FileView, Snapshot, Update
from tests.web.fake_control import A_FILE, A_ROUTE
from web.encoded_frames import encode_frame
from web.message_cache import MANY_FILES, EncodedMessage, MessageCache


def some_files(count: int) -> tuple[FileView, ...]:
    return tuple(evolve(A_FILE, id=f"f{number}") for number in range(count))


def an_update(files: int, removed: int = 0) -> Update:
    return Update(2, some_files(files), ("gone",) * removed, (A_ROUTE,), ())


def a_snapshot(files: int) -> Snapshot:
    return Snapshot(7, some_files(files), (A_ROUTE,), ())


class Snapshots:
    """Answers unless it is unavailable."""

    def __init__(self) -> None:
        self.taken = 0
        self.is_unavailable = False

    async def snapshot(self) -> Snapshot:
        self.taken += 1
        await trio.lowlevel.checkpoint()
        if self.is_unavailable:
            raise Unavailable
        return a_snapshot(9)


def body(message: EncodedMessage) -> dict[str, Any]:
    """The frame as a client reads it."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(message.frame.data)
    text = "".join(event.data for event in client.events() if isinstance(event, TextMessage))
    assert text == message.frame.text
    return dict(json.loads(text))


async def for_all(cache: MessageCache, item: Feed, *limits: int | None) -> list[EncodedMessage]:
    """The messages for subscribers with these windows, which ask at the same time."""
    got: dict[int, EncodedMessage] = {}

    async def subscribe(number: int, limit: int | None) -> None:
        got[number] = await cache.encoded(item, limit)

    async with trio.open_nursery() as subscribers:
        for number, limit in enumerate(limits):
            subscribers.start_soon(subscribe, number, limit)
    return [got[number] for number in range(len(limits))]


@given(st.lists(st.text(alphabet="aé漢😀", max_size=300), max_size=4))
def test_a_frame_is_what_a_client_reads_as_the_text(parts: list[str]) -> None:
    frame = encode_frame([part.encode() for part in parts])
    assert body(EncodedMessage(1, encode_frame([json.dumps({"text": parts}).encode()]))) == {"text": parts}
    assert frame.text == "".join(parts)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536, 1_000_000])
def test_a_frame_of_any_length_is_whole(length: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(encode_frame([b"x" * length]).data)
    [event] = client.events()
    assert isinstance(event, TextMessage)
    assert (event.data, event.message_finished) == ("x" * length, True)


@pytest.mark.parametrize(
    "item", [an_update(1), an_update(MANY_FILES + 1), a_snapshot(3)], ids=["few", "many", "all"]
)
async def test_a_message_is_encoded_once_for_all_subscribers_however_long_it_takes(item: Feed) -> None:
    cache = MessageCache(Snapshots().snapshot)
    messages = await for_all(cache, item, None, None, None)
    assert len({id(each) for each in messages}) == 1
    assert body(messages[0])["seq"] == messages[0].seq == item.seq
    assert await cache.encoded(item, None) is messages[0]
    assert await cache.encoded(an_update(1), None) is not messages[0]


async def test_a_message_that_no_subscriber_waits_for_is_dropped() -> None:
    cache = MessageCache(Snapshots().snapshot)
    for make in (lambda: an_update(1), lambda: a_snapshot(1)):
        await cache.encoded(make(), 5)
    gc.collect()
    assert len(cache._entries) == 0


async def test_a_window_shows_some_of_the_files_and_their_total() -> None:
    cache, item = MessageCache(Snapshots().snapshot), a_snapshot(9)
    whole, some, same, fewer = await for_all(cache, item, None, 5, 5, 2)
    assert some is same
    assert [len(body(each)["files"]) for each in (whole, some, fewer)] == [9, 5, 2]
    assert [body(each).get("total") for each in (whole, some, fewer)] == [None, 9, 9]


@pytest.mark.parametrize("update", [an_update(6), an_update(0, removed=51)], ids=["changed", "removed"])
async def test_in_place_of_an_update_that_overflows_a_window_there_is_one_snapshot_for_all(
    update: Update,
) -> None:
    snapshots = Snapshots()
    cache = MessageCache(snapshots.snapshot)
    whole, some, same = await for_all(cache, update, None, 5, 5)
    assert some is same
    assert snapshots.taken == 1
    assert (body(whole)["type"], whole.seq) == ("update", 2)
    assert (body(some)["type"], some.seq, len(body(some)["files"])) == ("snapshot", 7, 5)


async def test_an_update_that_fits_is_the_same_with_and_without_a_window() -> None:
    cache = MessageCache(Snapshots().snapshot)
    assert len({id(each) for each in await for_all(cache, an_update(5), None, 5, 9)}) == 1


async def test_after_a_failure_the_next_subscriber_tries_again() -> None:
    snapshots, update = Snapshots(), an_update(6)
    cache = MessageCache(snapshots.snapshot)
    snapshots.is_unavailable = True
    with pytest.raises(Unavailable):
        await cache.encoded(update, 5)
    snapshots.is_unavailable = False
    assert (await cache.encoded(update, 5)).seq == 7
