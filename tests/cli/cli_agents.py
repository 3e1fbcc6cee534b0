"""The command line as tests use it, an agent in a process of its own, and one that only acts."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import pytest
import trio
from attrs import define, field
from click.testing import CliRunner, Result

from agent.cli.base import cli
from agent.cli.client import Client, NotRunning
from agent.worker_pool import WorkerProcess

PATIENCE_S = 60.0
ROUTE = {
    "name": "mxf",
    "source": "in",
    "destination": "out",
    "stable": "300ms",
    "scan": "200ms",
    "probe": "200ms",
}


def configured(home: Path, *routes: dict[str, str], head: str = "") -> str:
    """The path of an agent.toml in `home`; one route from `in` to `out` unless others are given."""
    lines = ["[agent]", 'state_dir = "state"', "[web]", 'bind = "127.0.0.1:0"', head]
    for route in routes or (ROUTE,):
        lines += ["[[route]]", *(f"{key} = {json.dumps(value)}" for key, value in route.items())]
    path = home / "agent.toml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def invoke(*words: str, env: dict[str, str] | None = None) -> Result:
    """The command line in this process."""
    return CliRunner(catch_exceptions=False).invoke(cli, words, env=env)


def output_of(*words: str) -> str:
    """The output of a verb that succeeds."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def as_program(*words: str) -> subprocess.CompletedProcess[str]:
    """The command line as a program, to its end."""
    command = [sys.executable, "-m", "agent", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.02)


@define(eq=False)
class Started:
    """A program that runs; `lines` are the lines of its standard error so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(factory=list)

    def has_logged(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def signal(self, number: signal.Signals) -> int:
        """The exit code that the signal leads to."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(config: str, *options: str) -> Iterator[Started]:
    """`run` in a process of its own, which answers when this begins and is gone when it ends."""
    command = [sys.executable, "-m", "agent", "-c", config, "run", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        started = Started(process)
        assert process.stderr is not None
        listener = threading.Thread(target=_listen, args=(process.stderr, started.lines), daemon=True)
        listener.start()
        try:
            wait_until(lambda: process.poll() is not None or _answers(Path(config).parent))
            assert process.poll() is None, started.lines
            yield started
        finally:
            process.kill()
            process.wait()
            listener.join(PATIENCE_S)


def _answers(home: Path) -> bool:
    """Only then are signals obeyed: its address comes first."""
    try:
        url = (home / "state" / "address").read_text()
        return bool(url) and Client(url, None).request("GET", "/livez").status == 200
    except (FileNotFoundError, NotRunning):
        return False


def _listen(stream: IO[str], lines: list[str]) -> None:
    lines.extend(iter(stream.readline, ""))


@define(eq=False)
class Scripted:
    """An agent with scripted answers: `METHOD path` to status and body; `asked` are its requests.

    `token`: the one that it asks for; None: it asks for none.
    """

    answers: dict[str, tuple[int, object]]
    token: str | None = None
    asked: list[tuple[str, str | None]] = field(factory=list)
    url: str = ""

    def answer(self, visit: str) -> tuple[int, bytes]:
        path = visit.partition("?")[0]
        status, body = self.answers.get(visit, self.answers.get(path, (404, {"detail": f"no {path} here"})))
        return status, body.encode() if isinstance(body, str) else json.dumps(body).encode()


@contextmanager
def scripted(home: Path, answers: dict[str, tuple[int, object]] | None = None) -> Iterator[Scripted]:
    """A scripted agent, at the address where the configuration in `home` finds it."""
    agent = Scripted(answers or {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visit = f"{self.command} {self.path}"
            shown = self.headers["Authorization"]
            agent.asked.append((visit, shown))
            status, body = agent.answer(visit)
            if agent.token is not None and shown != f"Bearer {agent.token}":
                status, body = 401, b"{}"
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Bearer realm="transfer-agent"')
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  http.server's name

        def log_message(self, *_: object) -> None:
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    agent.url = f"http://127.0.0.1:{server.server_port}"
    state = home / "state"
    state.mkdir(exist_ok=True)
    (state / "address").write_text(agent.url)
    try:
        yield agent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def workers_reaped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The agent waits for none of the workers it kills, so this does."""
    started: list[WorkerProcess] = []
    start = WorkerProcess.start

    async def noted(lock_path: str, roots: dict[str, str]) -> WorkerProcess:
        started.append(await start(lock_path, roots))
        return started[-1]

    async def reap() -> None:
        for worker in started:
            await worker._process.wait()

    monkeypatch.setattr(WorkerProcess, "start", noted)
    yield
    trio.run(reap)


def listing(folder: Path) -> dict[str, tuple[int, ...]]:
    """Everything below the folder, with all that writing to it would change."""
    paths = [folder, *folder.rglob("*")]
    states = {str(path): os.lstat(path) for path in paths}
    return {
        path: (
            state.st_ino,
            state.st_mode,
            state.st_nlink,
            state.st_size,
            state.st_mtime_ns,
            state.st_ctime_ns,
        )
        for path, state in states.items()
    }
