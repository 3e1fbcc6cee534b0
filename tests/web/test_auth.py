from collections.abc import Mapping

import pytest
from quart.testing.connections import WebsocketResponseError

from tests.web.fake_control import FOREIGN_PEER, FakeControl, client_of
from web.auth import SECURITY_HEADERS, Access

TOKEN = "sesame"  # noqa: S105  it opens nothing but this test
LOOPBACK = Access(loopback=True, hosts=frozenset({"Ingest-1"}))
LOOPBACK_WITH_TOKEN = Access(loopback=True, token=TOKEN)
PUBLIC = Access(loopback=False, token=TOKEN, hosts=frozenset({"ingest-1"}))
BEARER = {"Authorization": "Bearer sesame"}


async def code_of(
    access: Access,
    path: str = "/api/status",
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    scope: Mapping[str, object] | None = None,
) -> int:
    answer = await client_of(FakeControl(), access).open(
        path, method=method, headers=dict(headers or {}), scope_base=dict(scope or FOREIGN_PEER)
    )
    return answer.status_code


async def live_code_of(
    access: Access, headers: Mapping[str, str], subprotocols: list[str] | None = None
) -> int:
    """The status of a refusal, or 101 when the client is accepted."""
    scope = FOREIGN_PEER | {"subprotocols": subprotocols or []}
    connecting = client_of(FakeControl(), access).websocket("/ws", headers=dict(headers), scope_base=scope)
    async with connecting as connection:
        try:
            await connection.receive()
        except WebsocketResponseError as refusal:
            return refusal.response.status_code
    return 101


def test_a_server_reachable_from_outside_needs_a_token() -> None:
    with pytest.raises(ValueError, match="needs a token"):
        Access(loopback=False, token=None)


@pytest.mark.parametrize("loopback", [True, False])
def test_a_token_is_never_empty(loopback: bool) -> None:
    with pytest.raises(ValueError, match="never empty"):
        Access(loopback=loopback, token="")


def test_the_token_does_not_show_when_access_is_printed() -> None:
    assert "sesame" not in repr(PUBLIC)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "10.1.2.3:8080",
        "[::1]",
        "[fe80::1]:80",
        "ingest-1:8080",
        "INGEST-1",
    ],
)
async def test_addresses_and_known_names_are_answered(host: str) -> None:
    assert await code_of(LOOPBACK, headers={"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example@localhost",
        "localhost/evil",
        "",
        "[localhost]",
        ":80",
        "localhost:8o",
    ],
)
async def test_foreign_names_are_misdirected(host: str) -> None:
    assert await code_of(LOOPBACK, headers={"Host": host}) == 421


async def test_an_old_client_need_not_name_a_host() -> None:
    old = {"http_version": "1.0", "headers": []}
    assert await code_of(LOOPBACK, scope=old) == 200
    assert await code_of(LOOPBACK, scope={"http_version": "1.1", "headers": []}) == 421


async def test_the_live_feed_is_not_for_foreign_hosts() -> None:
    assert await live_code_of(LOOPBACK, {"Host": "evil.example"}) == 421


@pytest.mark.parametrize("origin", ["http://ingest-1:8080", "https://INGEST-1:8080"])
async def test_our_own_page_may_command_and_watch(origin: str) -> None:
    headers = {"Host": "ingest-1:8080", "Origin": origin}
    assert await code_of(LOOPBACK, "/api/retry", headers, "POST") == 202
    assert await live_code_of(LOOPBACK, headers) == 101


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://ingest-1", "file://ingest-1:8080", "ingest-1:8080"]
)
async def test_other_pages_may_neither_command_nor_watch(origin: str) -> None:
    headers = {"Host": "ingest-1:8080", "Origin": origin}
    assert await code_of(LOOPBACK, "/api/retry", headers, "POST") == 403
    assert await live_code_of(LOOPBACK, headers) == 403


async def test_an_origin_without_a_site_never_equals_an_absent_host() -> None:
    old = {"http_version": "1.0", "headers": [(b"origin", b"null")]}
    assert await code_of(LOOPBACK, "/api/retry", method="POST", scope=old) == 403


async def test_reading_is_no_matter_of_origin() -> None:
    assert await code_of(LOOPBACK, headers={"Origin": "http://evil.example"}) == 200


async def test_without_a_token_commands_are_free() -> None:
    assert await code_of(LOOPBACK, "/api/retry", method="POST") == 202


@pytest.mark.parametrize("path", ["/", "/api/retry", "/livez"])
async def test_with_a_token_commands_need_it_even_from_this_machine(path: str) -> None:
    assert await code_of(LOOPBACK_WITH_TOKEN, path, method="POST") == 401


async def test_the_token_opens_the_commands() -> None:
    assert await code_of(LOOPBACK_WITH_TOKEN, "/api/retry", BEARER, "POST") == 202
    assert (
        await code_of(LOOPBACK_WITH_TOKEN, "/api/retry", {"Authorization": "bearer  sesame"}, "POST") == 202
    )


@pytest.mark.parametrize("given", ["Bearer Sesame", "Bearer", "Basic sesame", "sesame", "Bearer sésame"])
async def test_anything_else_does_not(given: str) -> None:
    assert await code_of(LOOPBACK_WITH_TOKEN, "/api/retry", {"Authorization": given}, "POST") == 401


async def test_a_refusal_says_how_to_send_the_token() -> None:
    answer = await client_of(FakeControl(), LOOPBACK_WITH_TOKEN).post("/api/retry")
    assert answer.headers["WWW-Authenticate"].lower().startswith("bearer ")
    assert answer.content_type == "application/problem+json"


async def test_reading_from_afar_needs_the_token() -> None:
    assert await code_of(PUBLIC) == 401
    assert await code_of(PUBLIC, "/metrics") == 401
    assert await code_of(PUBLIC, headers=BEARER) == 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_reading_on_this_machine_does_not(peer: str) -> None:
    assert await code_of(PUBLIC, scope={"client": (peer, 1)}) == 200


@pytest.mark.parametrize("client", [None, ("::ffff:203.0.113.9", 1), ("<local>", 1)])
async def test_a_client_of_unknown_address_counts_as_remote(client: object) -> None:
    assert await code_of(PUBLIC, scope={"client": client}) == 401


@pytest.mark.parametrize(
    ("path", "code"),
    [("/livez", 200), ("/readyz", 200), ("/static/none.js", 404), ("/static/../api/status", 404)],
)
async def test_the_page_and_the_probes_load_without_a_token(path: str, code: int) -> None:
    assert await code_of(PUBLIC, path) == code


async def test_the_way_in_loads_without_a_token() -> None:
    assert await code_of(PUBLIC, "/", {"Accept": "application/json"}) == 200


async def test_the_live_feed_from_afar_needs_the_token() -> None:
    host = {"Host": "ingest-1"}
    assert await live_code_of(PUBLIC, host) == 401
    assert await live_code_of(PUBLIC, host, ["transfer-agent", "bearer.wrong"]) == 401
    assert await live_code_of(PUBLIC, host | BEARER) == 101
    assert await live_code_of(PUBLIC, host, ["transfer-agent", "bearer.sesame"]) == 101


@pytest.mark.parametrize(
    ("path", "code"),
    [("/livez", 200), ("/nowhere", 404), ("/api/files?limit=0", 400), ("/static/none.js", 404)],
)
async def test_every_answer_binds_the_browser(path: str, code: int) -> None:
    answer = await client_of(FakeControl()).get(path)
    assert answer.status_code == code
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


async def test_a_refused_live_feed_has_security_headers_too() -> None:
    async with client_of(FakeControl()).websocket("/ws", headers={"Origin": "null"}) as connection:
        with pytest.raises(WebsocketResponseError) as refusal:
            await connection.receive()
    assert refusal.value.response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/status", "/api/health", "/api/nowhere"])
async def test_answers_of_the_api_are_not_cached(path: str) -> None:
    assert (await client_of(FakeControl()).get(path)).headers["Cache-Control"] == "no-store"
