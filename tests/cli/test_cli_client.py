"""The way to the running agent: its address, its token, what counts as an answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli import client
from agent.cli.client import Client, CommandRefused, NotRunning, url_segment
from agent.config.load import load
from agent.model.text import as_unicode
from tests.cli.cli_agents import configured, invoke, output_of, scripted

NO_FILES: tuple[int, object] = (200, {"files": []})


@contextmanager
def saying(said: bytes) -> Iterator[str]:
    """The URL of a peer that sends this to its first client, and closes."""

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = threading.Thread(target=serve)
        host.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        host.join()


def test_an_agent_on_a_free_port_is_found_through_its_address_file(tmp_path: Path) -> None:
    with scripted(tmp_path, {"GET /api/files": NO_FILES}) as agent:
        assert output_of("-c", configured(tmp_path), "files") == ""
        assert agent.asked == [("GET /api/files", None)]


@pytest.mark.parametrize(
    ("bind", "url"), [("127.0.0.1:8080", "http://127.0.0.1:8080"), ("[::1]:8081", "http://[::1]:8081")]
)
def test_without_an_address_file_the_configured_address_is_asked(bind: str, url: str, tmp_path: Path) -> None:
    config = load(configured(tmp_path), {"AGENT_WEB__BIND": bind})
    assert Client.for_config(config).url == url


def test_an_address_file_that_is_just_being_written_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "address").touch()
    assert Client.for_config(load(configured(tmp_path), {})).url == "http://127.0.0.1:0"


@pytest.mark.parametrize(
    "verb", ["status", "files", "history", "explain x", "pause x", "retry --all", "reload"]
)
def test_an_agent_that_is_not_running_is_reported_in_one_line(verb: str, tmp_path: Path) -> None:
    result = invoke("-c", configured(tmp_path), *verb.split())
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == ("no agent answers at http://127.0.0.1:0 (Connection refused): is it running?\n")


def test_the_token_is_shown_to_an_agent_that_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    with scripted(tmp_path, {"GET /api/files": NO_FILES}) as agent:
        agent.token = "s3cret"  # noqa: S105  a test's
        output_of("-c", configured(tmp_path, head='token_file = "token"'), "files")
        assert agent.asked == [("GET /api/files", None), ("GET /api/files", "Bearer s3cret")]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="router"\r\nContent-Length: 2\r\n\r\n{}',
        b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="x"\r\nContent-Length: 2\r\n\r\n{}',
    ],
)
def test_the_token_goes_to_nobody_who_has_not_asked_for_it(answer: bytes) -> None:
    """Another program may listen where a killed agent did; one that sends the token needs a second visit."""
    with saying(answer) as url:
        found = Client(url, "s3cret").request("POST", "/api/reload")
    assert found.body == "{}"


def test_the_token_goes_to_the_agent_and_to_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with scripted(tmp_path, {"GET /api/files": NO_FILES}):
        assert output_of("-c", configured(tmp_path), "files", "--json") == '{"files": []}\n'


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            401,
            {"title": "Unauthorized", "detail": "this needs the agent's token"},
            "this needs the agent's token",
        ),
        (503, {"title": "Service Unavailable", "detail": ""}, "Service Unavailable"),
        (500, {}, "500"),
        (422, {"detail": "both", "reasons": ["first", "sec\x1bond"]}, "first\nsec\\x1bond"),
    ],
)
def test_a_refusal_is_printed_with_its_reasons(
    status: int, body: object, reason: str, tmp_path: Path
) -> None:
    with scripted(tmp_path, {"GET /api/files": (status, body)}):
        result = invoke("-c", configured(tmp_path), "files")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{reason}\n")


@pytest.mark.parametrize(("status", "body"), [(200, "<html>hello</html>"), (404, "gone"), (200, "[1]")])
def test_something_else_at_the_address_is_not_taken_for_an_agent(
    status: int, body: str, tmp_path: Path
) -> None:
    with scripted(tmp_path, {"GET /api/files": (status, body)}) as other:
        result = invoke("-c", configured(tmp_path), "files")
    assert result.exit_code == 1
    assert result.stderr == f"what answers at {other.url} is not an agent ({status})\n"


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"]
)
def test_something_that_does_not_speak_http_is_no_agent(said: bytes) -> None:
    with saying(said) as url, pytest.raises(NotRunning, match="no agent answers at"):
        Client(url, None).request("GET", "/")


def test_an_agent_that_does_not_answer_in_time_is_not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", None)
        with pytest.raises(NotRunning, match="timed out"):
            silent.request("GET", "/")


def test_each_byte_that_is_not_utf_8_is_shown_as_the_agent_shows_it() -> None:
    assert as_unicode("a\udce2\udc82b") == "a\ufffd\ufffdb"  # the start of a character, in two bytes
    assert url_segment("../a b\udcff") == "..%2Fa%20b%EF%BF%BD"


TWO_ROUTES = (200, {"routes": [{"source": "/one"}, {"source": "/two"}]})


def found_by(path: str, tracked: list[str], tmp_path: Path) -> str:
    """The tracked file that a path means, when `tmp_path` is the current folder."""
    answers: dict[str, tuple[int, object]] = {"GET /api/routes": TWO_ROUTES}
    for place in tracked:
        asked = place.replace("/", "%2F").replace(" ", "+")
        answers[f"GET /api/explain?path={asked}"] = (200, {"file_path": place})
    with scripted(tmp_path, answers) as agent:
        return str(Client(agent.url, None).find_file(path)["file_path"])


@pytest.mark.parametrize("path", ["day 1/a.mxf", "./day 1/a.mxf", "/two/day 1/a.mxf", "day 1//a.mxf"])
def test_a_file_is_found_by_its_path_below_a_source_or_absolute(path: str, tmp_path: Path) -> None:
    assert found_by(path, ["/two/day 1/a.mxf", "/two/a.mxf"], tmp_path) == "/two/day 1/a.mxf"


def test_a_file_is_found_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found_by("a.mxf", [f"{tmp_path}/a.mxf"], tmp_path) == f"{tmp_path}/a.mxf"


def test_a_path_that_could_mean_two_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match=r"^a.mxf could be /one/a.mxf or /two/a.mxf: name one of them$"):
        found_by("a.mxf", ["/one/a.mxf", "/two/a.mxf"], tmp_path)


def test_a_name_at_the_end_of_another_path_is_not_that_file(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match=r"^a.mxf is not tracked$"):
        found_by("a.mxf", ["/one/day 1/a.mxf"], tmp_path)


def test_a_refusal_while_searching_for_a_file_is_not_taken_for_its_absence(tmp_path: Path) -> None:
    answers: dict[str, tuple[int, object]] = {
        "GET /api/routes": TWO_ROUTES,
        "GET /api/explain": (503, {"detail": "busy"}),
    }
    with scripted(tmp_path, answers) as agent, pytest.raises(CommandRefused, match=r"^busy$"):
        Client(agent.url, None).find_file("a.mxf")
