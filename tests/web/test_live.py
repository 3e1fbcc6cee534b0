from typing import Any

import pytest
import trio
from quart.testing.connections import WebsocketDisconnectError, WebsocketResponseError

from agent.control.errors import Unavailable
from agent.model.views import Update
from tests.samples import shown_as
from tests.web.fake_control import A_FILE, A_ROUTE, AN_UPDATE, FakeControl, client_of
from web.live import MAX_CLIENT_MESSAGES


async def test_a_client_gets_a_snapshot_and_then_what_changes() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws") as client:
        first = await client.receive_json()
        await control.subscribers[0].send(AN_UPDATE)
        second = await client.receive_json()
    assert (first["type"], first["seq"], len(first["files"])) == ("snapshot", 1, 2)
    assert (second["type"], second["seq"], second["removed"]) == ("update", 2, ["f9"])


async def messages_of(control: FakeControl, offered: list[str]) -> list[dict[str, Any]]:
    """All ASGI messages to a client whose feed ends after the snapshot."""
    sent: list[dict[str, Any]] = []

    async def record(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "websocket.send":
            control.subscribers[0].close()

    test_client = client_of(control)
    connection: Any = test_client.websocket("/ws", scope_base={"subprotocols": offered})
    app: Any = test_client.app
    await app(connection.scope, trio.sleep_forever, record)
    return sent


@pytest.mark.parametrize(
    ("offered", "chosen"), [([], None), (["transfer-agent", "bearer.x"], "transfer-agent"), (["other"], None)]
)
async def test_our_subprotocol_is_chosen_when_offered(offered: list[str], chosen: str | None) -> None:
    assert (await messages_of(FakeControl(), offered))[0]["subprotocol"] == chosen


async def test_a_feed_that_ends_closes_with_try_again_later() -> None:
    sent = await messages_of(FakeControl(), [])
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[-1]["code"] == 1013


async def test_a_client_that_disconnects_is_unsubscribed() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws") as client:
        await client.receive()
    assert control.feed_closed.is_set()
    with pytest.raises(trio.BrokenResourceError):
        await control.subscribers[0].send(AN_UPDATE)


async def test_messages_of_clients_are_ignored_up_to_a_limit() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws") as client:
        await client.receive()
        for _ in range(MAX_CLIENT_MESSAGES - 1):
            await client.send("hello")
        await control.subscribers[0].send(AN_UPDATE)
        assert (await client.receive_json())["type"] == "update"
        await client.send("hello")
        with pytest.raises(WebsocketDisconnectError, match="1008"):
            await client.receive()


async def test_an_unavailable_agent_asks_clients_to_come_back() -> None:
    async with client_of(FakeControl(refusal=Unavailable())).websocket("/ws") as client:
        with pytest.raises(WebsocketResponseError) as refusal:
            await client.receive()
    assert refusal.value.response.status_code == 503
    assert refusal.value.response.headers["Retry-After"] == "1"


def an_update(seq: int, files: int) -> Update:
    changed = tuple(shown_as(A_FILE, id=f"f{number}") for number in range(files))
    return Update(seq, changed, (), (A_ROUTE,), ())


async def test_with_a_window_no_message_holds_more_files() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws?window=1") as client:
        first = await client.receive_json()
        await control.subscribers[0].send(an_update(2, 1))
        second = await client.receive_json()
    assert (first["type"], len(first["files"]), first["total"]) == ("snapshot", 1, 2)
    assert (second["type"], len(second["changed"])) == ("update", 1)


async def test_updates_that_a_replacing_snapshot_contains_are_skipped() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws?window=1") as client:
        await client.receive()
        control.seq = 4
        for seq in (2, 3, 4, 5):
            await control.subscribers[0].send(an_update(seq, 2 if seq == 2 else 1))
        assert [(await client.receive_json())["seq"] for _ in range(2)] == [4, 5]
        await control.subscribers[0].send(await control.snapshot())  # of a new generation: always sent
        assert (await client.receive_json())["type"] == "snapshot"


async def test_a_client_whose_snapshot_is_not_answered_comes_back() -> None:
    control = FakeControl()
    async with client_of(control).websocket("/ws?window=1") as client:
        await client.receive()
        control.refusal = Unavailable()
        await control.subscribers[0].send(an_update(2, 2))
        with pytest.raises(WebsocketDisconnectError, match="1013"):
            await client.receive()


@pytest.mark.parametrize("window", ["", "0", "1001", "all"])
async def test_a_window_of_another_size_is_refused_by_name(window: str) -> None:
    async with client_of(FakeControl()).websocket(f"/ws?window={window}") as client:
        with pytest.raises(WebsocketResponseError) as refusal:
            await client.receive()
    assert refusal.value.response.status_code == 400
    assert b"window: must be a number from 1 to 1000" in await refusal.value.response.get_data(as_text=False)
