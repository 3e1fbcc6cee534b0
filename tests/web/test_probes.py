from attrs import evolve

from agent.control.errors import Unavailable
from tests.web.fake_control import A_ROUTE, AN_OUTAGE, FakeControl, client_of

HUNG = evolve(A_ROUTE, name="hung", outage=AN_OUTAGE)
UNCHECKED = evolve(A_ROUTE, name="new", checked=False)


async def answer_of(control: FakeControl, path: str) -> tuple[int, str]:
    answer = await client_of(control).get(path)
    assert answer.content_type == "text/plain; charset=utf-8"
    return answer.status_code, await answer.get_data(as_text=True)


async def test_the_program_is_alive_whatever_its_actors_do() -> None:
    assert await answer_of(FakeControl(refusal=Unavailable()), "/livez") == (200, "ok")


async def test_ready_when_every_destination_is_usable() -> None:
    assert await answer_of(FakeControl(), "/readyz") == (200, "ok")


async def test_not_ready_when_one_destination_is_not() -> None:
    assert await answer_of(FakeControl(routes=(A_ROUTE, HUNG)), "/readyz") == (503, "not ready")
    assert await answer_of(FakeControl(routes=(A_ROUTE, UNCHECKED)), "/readyz") == (503, "not ready")


async def test_verbose_readiness_says_which_is_not_and_why() -> None:
    code, body = await answer_of(FakeControl(routes=(A_ROUTE, HUNG, UNCHECKED)), "/readyz?verbose")
    assert code == 503
    assert body.splitlines() == [
        "not ready",
        "mxf: ok",
        "hung: hung: no answer in 10 s (since 2026-01-01T00:00:00.000Z)",
        "new: not yet checked",
    ]


async def test_not_ready_and_not_well_while_the_journal_cannot_be_written() -> None:
    control = FakeControl(journal_error="disk is full")
    assert await answer_of(control, "/readyz") == (503, "not ready: journal: disk is full")
    assert await answer_of(control, "/readyz?verbose") == (503, "not ready: journal: disk is full\nmxf: ok")
    assert await answer_of(control, "/api/health") == (503, "ERROR")
    assert await answer_of(control, "/livez") == (200, "ok")


async def test_verbose_readiness_shows_any_detail() -> None:
    odd = evolve(HUNG, outage=evolve(AN_OUTAGE, detail="no \udcff"))
    assert "no \ufffd" in (await answer_of(FakeControl(routes=(odd,)), "/readyz?verbose"))[1]


async def test_an_agent_that_does_not_answer_is_not_ready() -> None:
    assert await answer_of(FakeControl(refusal=Unavailable()), "/readyz") == (
        503,
        "not ready: the agent is busy",
    )


async def test_health_is_ok_until_a_destination_is_in_an_outage() -> None:
    assert await answer_of(FakeControl(routes=(A_ROUTE, UNCHECKED)), "/api/health") == (200, "OK")
    assert await answer_of(FakeControl(routes=(A_ROUTE, HUNG)), "/api/health") == (503, "ERROR")


async def test_health_of_an_agent_that_does_not_answer_is_an_error() -> None:
    assert await answer_of(FakeControl(refusal=Unavailable()), "/api/health") == (503, "ERROR")


async def test_metrics_are_in_the_prometheus_text_format() -> None:
    answer = await client_of(FakeControl()).get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert await answer.get_data() == b"transfer_agent_websocket_clients 0.0\n"
