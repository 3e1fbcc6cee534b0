import logging
import resource
from contextlib import suppress

import pytest
import trio
import trio.testing
from wsproto.connection import Connection as ClientProtocol
from wsproto.connection import ConnectionType
from wsproto.events import Ping, TextMessage

from tests.web.harness import (
    BIG,
    SOON_S,
    SampleApp,
    ask,
    connect,
    is_alive,
    leave,
    open_websocket,
    read_to_the_end,
    read_until,
    running,
)
from tests.web.hostile import FRAMES, MASK, REQUESTS, get, upgrade
from web import hardening, server
from web.server import PortTaken, serve

FLOODS = [b"/ws", b"/ready"]


@pytest.fixture
def sample() -> SampleApp:
    return SampleApp()


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server met without being prepared for it."""
    return [r.message for r in caplog.records if r.name == "web" and r.levelno >= logging.ERROR]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("IDLE_S", "RECEIVE_S", "LINGER_S"):
        monkeypatch.setattr(hardening, limit, 0.25)  # long enough for a busy machine to answer in


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ends because of a timer."""
    for limit in ("IDLE_S", "RECEIVE_S", "SEND_S", "LINGER_S"):
        monkeypatch.setattr(hardening, limit, 1000.0)
    monkeypatch.setattr(server, "GRACE_S", 1000.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ending", ["FIN", "RST", "nothing"])
@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS)
async def test_no_request_ends_or_hangs_the_server(
    sample: SampleApp, sent: bytes, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(sample.app) as address:
        await leave(await connect(address), sent, ending)
        assert await is_alive(address)
    assert errors_in(caplog) == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ending", ["FIN", "RST", "nothing"])
@pytest.mark.parametrize("path", [b"/ws", b"/quiet"])
@pytest.mark.parametrize("sent", FRAMES.values(), ids=FRAMES)
async def test_no_websocket_frame_ends_or_hangs_the_server(
    sample: SampleApp, sent: bytes, path: bytes, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(sample.app) as address:
        await leave(await open_websocket(address, path), sent, ending)
        assert await is_alive(address)
    assert errors_in(caplog) == []


async def test_an_error_ends_its_connection_alone_and_is_logged(
    sample: SampleApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(sample.app) as address, await open_websocket(address, b"/quiet") as other:
        with monkeypatch.context() as patch:
            patch.delattr(hardening, "_refusal")
            assert await ask(address, get()) == b""
        assert await is_alive(address)
        await other.send_all(b"\x89\x80" + MASK)
        await read_until(other, b"\x8a\x00")
    assert errors_in(caplog) == ["a connection was closed because of an error"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "sent",
    [get(version=b"1.0"), get(b"Connection: close"), get(target=b"/nowhere", version=b"1.0")],
    ids=["HTTP/1.0", "close", "not found"],
)
async def test_a_client_that_waits_for_the_end_of_the_connection_gets_it(
    sample: SampleApp, sent: bytes
) -> None:
    async with running(sample.app) as address:
        assert (await ask(address, sent)).startswith(b"HTTP/1.1 ")


@pytest.mark.usefixtures("patient")
async def test_a_connection_serves_several_requests_and_is_closed_when_idle(
    sample: SampleApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "IDLE_S", 0.05)
    async with running(sample.app) as address:
        assert (await ask(address, get() + get())).count(b"HTTP/1.1 200") == 2


@pytest.mark.usefixtures("impatient")
async def test_a_request_head_that_comes_in_drips_is_cut_off(sample: SampleApp) -> None:
    async with running(sample.app) as address, await connect(address) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nX: ")
        with trio.fail_after(SOON_S), suppress(trio.BrokenResourceError):
            while True:  # until the server does not want any more
                await stream.send_all(b"a")
                await trio.sleep(0.01)


async def test_a_big_answer_arrives_whole(sample: SampleApp) -> None:
    async with running(sample.app) as address:
        answer = await ask(address, get(b"Connection: close", target=b"/big"))
    assert answer.partition(b"\r\n\r\n")[2] == BIG


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get(version=b"2.0"), b"505"),
        (upgrade() + b"\x81\x82" + MASK + b"hi", b"400"),
        (upgrade(b"Sec-WebSocket-Protocol: \xff"), b"400"),
        (upgrade(b"Connection: \xff"), b"400"),
        (get(b"X-Name: " + b"a" * 200_000), b"431"),
    ],
    ids=["HTTP/2", "frame before the handshake", "non-ASCII protocol", "non-ASCII connection", "huge header"],
)
async def test_a_refused_request_gets_a_status(sample: SampleApp, sent: bytes, status: bytes) -> None:
    async with running(sample.app) as address:
        assert (await ask(address, sent)).startswith(b"HTTP/1.1 " + status)


async def test_a_frame_that_comes_before_the_handler_accepts_is_refused(sample: SampleApp) -> None:
    async with running(sample.app) as address, await connect(address) as stream:
        await stream.send_all(upgrade().replace(b"/ws", b"/late"))
        with trio.fail_after(SOON_S):
            await sample.arrived.wait()
        await stream.send_all(b"\x81\x82" + MASK + b"hi")
        assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 400")


async def test_an_upgrade_to_http2_is_answered_in_http1(sample: SampleApp) -> None:
    sent = get(b"Connection: close, Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with running(sample.app) as address:
        assert (await ask(address, sent)).startswith(b"HTTP/1.1 200")


async def test_compression_is_not_agreed_to(sample: SampleApp) -> None:
    async with running(sample.app) as address, await connect(address) as stream:
        await stream.send_all(upgrade(b"Sec-WebSocket-Extensions: permessage-deflate"))
        head = await read_until(stream, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert b"permessage-deflate" not in head


async def test_a_handler_that_ends_closes_its_websocket_in_order(sample: SampleApp) -> None:
    async with running(sample.app) as address, await open_websocket(address, b"/quiet") as stream:
        await stream.send_all(b"\x81\x83" + MASK + b"bye")
        assert (await read_to_the_end(stream)).endswith(b"\x88\x02\x03\xe8")  # 1000


@pytest.mark.usefixtures("patient")
async def test_a_handler_that_never_listened_closes_its_websocket_too(sample: SampleApp) -> None:
    async with running(sample.app) as address, await open_websocket(address, b"/deaf") as stream:
        await stream.send_all(FRAMES["a thousand messages"])
        await trio.testing.wait_all_tasks_blocked()
        sample.go_on.set()
        assert (await read_to_the_end(stream)).endswith(b"\x88\x02\x03\xe8")


@pytest.mark.usefixtures("patient")
async def test_a_message_too_long_ends_its_connection(sample: SampleApp) -> None:
    async with running(sample.app) as address, await open_websocket(address, b"/quiet") as stream:
        await stream.send_all(FRAMES["message too large"][: server.MESSAGE_BYTES * 2])
        assert (await read_to_the_end(stream)).endswith(b"\x88\x02\x03\xf1")  # 1009


async def test_a_websocket_is_pinged(sample: SampleApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PING_S", 0.01)
    async with running(sample.app) as address, await open_websocket(address, b"/quiet") as stream:
        await read_until(stream, b"\x89\x00" * 3)


@pytest.mark.parametrize("path", FLOODS)
async def test_a_websocket_that_does_not_read_is_given_up(
    sample: SampleApp, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "SEND_S", 0.05)
    async with running(sample.app) as address, await open_websocket(address, path):
        with trio.fail_after(SOON_S):
            await sample.flood_ended.wait()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("path", FLOODS)
async def test_a_message_cut_short_ends_its_connection(sample: SampleApp, path: bytes) -> None:
    sample.flood_s = 0.05
    async with running(sample.app) as address, await open_websocket(address, path):
        with trio.fail_after(SOON_S):
            await sample.flood_ended.wait()


async def test_frames_made_once_arrive_whole_and_in_order_between_others(
    sample: SampleApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PING_S", 0.0001)
    client, texts, pings = ClientProtocol(ConnectionType.CLIENT), [""], 0
    async with running(sample.app) as address, await open_websocket(address, b"/ready") as stream:
        await read_until(stream, b"\r\n\r\n")
        while len(texts) < 400:
            client.receive_data(bytes(await stream.receive_some(4096)))
            for event in client.events():
                if isinstance(event, TextMessage):
                    texts[-1] += event.data
                    texts += [""] if event.message_finished else []
                pings += isinstance(event, Ping)
    expected = [f"{number} {'x' * 7 ** (number % 8)}" for number in range(1, len(texts))]
    assert texts[:-1] == expected
    assert pings > 1


async def test_a_reader_of_frames_that_is_suddenly_gone_is_no_error(
    sample: SampleApp, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(sample.app) as address:
        await leave(await open_websocket(address, b"/ready"), b"", "RST")
        with trio.fail_after(SOON_S):
            await sample.flood_ended.wait()
        assert await is_alive(address)
    assert errors_in(caplog) == []


@pytest.mark.parametrize("sent", [upgrade(), get(target=b"/big")], ids=["WebSocket", "big answer"])
async def test_a_client_that_does_not_read_hardly_delays_a_stop(sample: SampleApp, sent: bytes) -> None:
    async with running(sample.app, within_s=2.0) as address:
        stream = await connect(address)
        await stream.send_all(sent)
        await read_until(stream, b"HTTP/1.1")
    await stream.aclose()


@pytest.mark.usefixtures("patient")
async def test_idle_connections_do_not_delay_a_stop(sample: SampleApp) -> None:
    async with running(sample.app) as address:
        unused, used = await connect(address), await connect(address)
        await used.send_all(get())
        await read_until(used, b"}\n")
    async with unused, used:
        assert await read_to_the_end(unused) + await read_to_the_end(used) == b""


@pytest.mark.usefixtures("patient")
async def test_a_request_under_way_is_answered_after_the_stop(sample: SampleApp) -> None:
    async def answer_when_the_stop_has_begun() -> None:
        async with idle:
            await read_to_the_end(idle)
        sample.go_on.set()

    async def read_the_answer() -> None:
        async with waiting:
            assert (await read_to_the_end(waiting)).endswith(b"at last")

    async with trio.open_nursery() as nursery, running(sample.app) as address:
        idle, waiting = await connect(address), await connect(address)
        await waiting.send_all(get(target=b"/slow"))
        await sample.arrived.wait()
        nursery.start_soon(answer_when_the_stop_has_begun)
        nursery.start_soon(read_the_answer)


async def test_a_free_port_is_picked_and_reported(sample: SampleApp) -> None:
    async with running(sample.app, "127.0.0.1:0") as address:
        host, port = address.split(":")
        assert (host, port != "0", await is_alive(address)) == ("127.0.0.1", True, True)


async def test_it_listens_on_ipv6(sample: SampleApp) -> None:
    async with running(sample.app, "[::1]:0") as address:
        assert address.startswith("[::1]:")
        assert await is_alive(address)


async def test_the_port_is_free_again_after_a_stop(sample: SampleApp) -> None:
    async with running(sample.app) as address:
        assert await is_alive(address)
    async with running(SampleApp().app, address) as again:
        assert (again, await is_alive(again)) == (address, True)


async def test_a_taken_port_is_named_with_the_way_out_and_nothing_has_started(sample: SampleApp) -> None:
    started = trio.Event()
    second = SampleApp().app
    second.before_serving(started.set)
    async with running(sample.app) as address:
        with pytest.raises(PortTaken, match=rf"{address}.*\[web\] bind") as raised:
            await serve(second, address, stop=trio.Event(), task_status=trio.TASK_STATUS_IGNORED)
    assert (raised.value.bind, started.is_set()) == (address, False)


@pytest.mark.parametrize(
    ("bind", "error"),
    [("192.0.2.1:0", OSError), ("localhost", ValueError)],
)
async def test_an_address_that_cannot_be_used_is_an_error(
    sample: SampleApp, bind: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await serve(sample.app, bind, stop=trio.Event(), task_status=trio.TASK_STATUS_IGNORED)


@pytest.mark.usefixtures("patient")
async def test_further_connections_than_descriptors_allow_are_refused_and_the_others_go_on(
    sample: SampleApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    async with running(sample.app) as address:
        first = [await open_websocket(address, b"/quiet") for _ in range(3)]
        for _ in range(5):
            further = await connect(address)
            with suppress(trio.BrokenResourceError):
                assert await read_to_the_end(further) == b""
            await further.aclose()
        for stream in first:
            await trio.aclose_forcefully(stream)
        assert await is_alive(address)
    refusals = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert refusals == ["3 connections are open, further ones are refused"]


@pytest.mark.parametrize(("allowed", "most"), [(64, 32), (100_000, 1000), (resource.RLIM_INFINITY, 1000)])
def test_half_of_the_open_files_stay_for_everything_else(
    allowed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    assert server._max_connections() == most
