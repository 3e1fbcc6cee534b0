"""News are written once for all who get them, as the frames that go over the wire."""

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


class Desk:
    """Answers as long as it is not busy."""

    def __init__(self) -> None:
        self.looks = 0
        self.is_busy = False

    async def snapshot(self) -> Snapshot:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        if self.is_busy:
            raise Unavailable
        return a_snapshot(9)


def body(printed: EncodedMessage) -> dict[str, Any]:
    """What a client makes of the frame."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(printed.message.frame)
    text = "".join(event.data for event in client.events() if isinstance(event, TextMessage))
    assert text == printed.message.text
    return dict(json.loads(text))


async def for_all(press: MessageCache, news: Feed, *limits: int | None) -> list[EncodedMessage]:
    """What visitors with these windows get who ask at the same time."""
    got: dict[int, EncodedMessage] = {}

    async def visit(number: int, limit: int | None) -> None:
        got[number] = await press.printed(news, limit)

    async with trio.open_nursery() as visitors:
        for number, limit in enumerate(limits):
            visitors.start_soon(visit, number, limit)
    return [got[number] for number in range(len(limits))]


@given(st.lists(st.text(alphabet="aé漢😀", max_size=300), max_size=4))
def test_a_frame_is_what_a_client_reads_as_the_text(parts: list[str]) -> None:
    message = encode_frame([part.encode() for part in parts])
    assert body(EncodedMessage(1, encode_frame([json.dumps({"said": parts}).encode()]))) == {"said": parts}
    assert message.text == "".join(parts)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536, 1_000_000])
def test_a_frame_of_any_length_is_whole(length: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(encode_frame([b"x" * length]).frame)
    [event] = client.events()
    assert isinstance(event, TextMessage)
    assert (event.data, event.message_finished) == ("x" * length, True)


@pytest.mark.parametrize(
    "news", [an_update(1), an_update(MANY_FILES + 1), a_snapshot(3)], ids=["few", "many", "all"]
)
async def test_news_are_written_once_for_all_visitors_however_long_it_takes(news: Feed) -> None:
    press = MessageCache(Desk().snapshot)
    printed = await for_all(press, news, None, None, None)
    assert len({id(each) for each in printed}) == 1
    assert body(printed[0])["seq"] == printed[0].seq == news.seq
    assert await press.printed(news, None) is printed[0]
    assert await press.printed(an_update(1), None) is not printed[0]


async def test_what_nobody_waits_for_any_more_is_forgotten() -> None:
    press = MessageCache(Desk().snapshot)
    for make in (lambda: an_update(1), lambda: a_snapshot(1)):
        await press.printed(make(), 5)
    gc.collect()
    assert len(press._sheets) == 0


async def test_a_window_shows_some_of_the_files_and_tells_how_many_there_are() -> None:
    press, news = MessageCache(Desk().snapshot), a_snapshot(9)
    whole, some, same, fewer = await for_all(press, news, None, 5, 5, 2)
    assert some is same
    assert [len(body(each)["files"]) for each in (whole, some, fewer)] == [9, 5, 2]
    assert [body(each).get("total") for each in (whole, some, fewer)] == [None, 9, 9]


@pytest.mark.parametrize("update", [an_update(6), an_update(0, removed=51)], ids=["changed", "removed"])
async def test_in_place_of_an_update_that_overflows_a_window_there_is_one_snapshot_for_all(
    update: Update,
) -> None:
    control = Desk()
    press = MessageCache(control.snapshot)
    whole, some, same = await for_all(press, update, None, 5, 5)
    assert some is same
    assert control.looks == 1
    assert (body(whole)["type"], whole.seq) == ("update", 2)
    assert (body(some)["type"], some.seq, len(body(some)["files"])) == ("snapshot", 7, 5)


async def test_an_update_that_fits_is_the_same_with_and_without_a_window() -> None:
    press = MessageCache(Desk().snapshot)
    assert len({id(each) for each in await for_all(press, an_update(5), None, 5, 9)}) == 1


async def test_after_a_failure_the_next_visitor_tries_again() -> None:
    control, update = Desk(), an_update(6)
    press = MessageCache(control.snapshot)
    control.is_busy = True
    with pytest.raises(Unavailable):
        await press.printed(update, 5)
    control.is_busy = False
    assert (await press.printed(update, 5)).seq == 7
