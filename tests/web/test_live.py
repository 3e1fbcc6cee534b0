from typing import Any

import pytest
import trio
from quart.testing.connections import WebsocketDisconnectError, WebsocketResponseError

from agent.control.errors import Unavailable
from agent.model.views import Update
from tests.samples import shown_as
from tests.web.fake_control import A_FILE, A_ROUTE, AN_UPDATE, FakeControl, client_of
from web.live import MESSAGES_BORNE


async def test_a_visitor_gets_a_snapshot_and_then_what_changes() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws") as visitor:
        first = await visitor.receive_json()
        await control.subscribers[0].send(AN_UPDATE)
        second = await visitor.receive_json()
    assert (first["type"], first["seq"], len(first["files"])) == ("snapshot", 1, 2)
    assert (second["type"], second["seq"], second["removed"]) == ("update", 2, ["f9"])


async def attend(control: FakeControl, offered: list[str]) -> list[dict[str, Any]]:
    """All that is said to a visitor whose feed ends after the snapshot."""
    said: list[dict[str, Any]] = []

    async def hear(message: dict[str, Any]) -> None:
        said.append(message)
        if message["type"] == "websocket.send":
            control.subscribers[0].close()

    client = client_of(control)
    visit: Any = client.websocket("/ws", scope_base={"subprotocols": offered})
    app: Any = client.app
    await app(visit.scope, trio.sleep_forever, hear)
    return said


@pytest.mark.parametrize(
    ("offered", "chosen"), [([], None), (["transfer-agent", "bearer.x"], "transfer-agent"), (["other"], None)]
)
async def test_our_subprotocol_is_chosen_when_offered(offered: list[str], chosen: str | None) -> None:
    assert (await attend(FakeControl(), offered))[0]["subprotocol"] == chosen


async def test_a_feed_that_ends_sends_the_visitor_away_to_come_back() -> None:
    said = await attend(FakeControl(), [])
    assert [message["type"] for message in said] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert said[-1]["code"] == 1013


async def test_a_visitor_who_leaves_is_forgotten() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws") as visitor:
        await visitor.receive()
    assert control.feed_closed.is_set()
    with pytest.raises(trio.BrokenResourceError):
        await control.subscribers[0].send(AN_UPDATE)


async def test_what_visitors_say_is_ignored_up_to_a_limit() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws") as visitor:
        await visitor.receive()
        for _ in range(MESSAGES_BORNE - 1):
            await visitor.send("hello")
        await control.subscribers[0].send(AN_UPDATE)
        assert (await visitor.receive_json())["type"] == "update"
        await visitor.send("hello")
        with pytest.raises(WebsocketDisconnectError, match="1008"):
            await visitor.receive()


async def test_a_busy_house_asks_to_come_back() -> None:
    async with client_of(FakeControl(refusal=Unavailable())).websocket("/ws") as visitor:
        with pytest.raises(WebsocketResponseError) as refusal:
            await visitor.receive()
    assert refusal.value.response.status_code == 503
    assert refusal.value.response.headers["Retry-After"] == "1"


def an_update(seq: int, files: int) -> Update:
    changed = tuple(shown_as(A_FILE, id=f"f{number}") for number in range(files))
    return Update(seq, changed, (), (A_ROUTE,), ())


async def test_with_a_window_no_message_holds_more_files() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws?window=1") as visitor:
        first = await visitor.receive_json()
        await control.subscribers[0].send(an_update(2, 1))
        second = await visitor.receive_json()
    assert (first["type"], len(first["files"]), first["total"]) == ("snapshot", 1, 2)
    assert (second["type"], len(second["changed"])) == ("update", 1)


async def test_after_a_snapshot_in_place_of_an_update_what_it_has_told_is_not_told_again() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws?window=1") as visitor:
        await visitor.receive()
        control.seq = 4
        for seq in (2, 3, 4, 5):
            await control.subscribers[0].send(an_update(seq, 2 if seq == 2 else 1))
        assert [(await visitor.receive_json())["seq"] for _ in range(2)] == [4, 5]
        await control.subscribers[0].send(await control.snapshot())  # of a new generation: always told
        assert (await visitor.receive_json())["type"] == "snapshot"


async def test_a_visitor_for_whom_nobody_answers_comes_back() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws?window=1") as visitor:
        await visitor.receive()
        control.refusal = Unavailable()
        await control.subscribers[0].send(an_update(2, 2))
        with pytest.raises(WebsocketDisconnectError, match="1013"):
            await visitor.receive()


@pytest.mark.parametrize("window", ["", "0", "1001", "all"])
async def test_a_window_of_another_size_is_refused_by_name(window: str) -> None:
    async with client_of(FakeControl()).websocket(f"/ws?window={window}") as visitor:
        with pytest.raises(WebsocketResponseError) as refusal:
            await visitor.receive()
    assert refusal.value.response.status_code == 400
    assert b"window: must be a number from 1 to 1000" in await refusal.value.response.get_data(as_text=False)
