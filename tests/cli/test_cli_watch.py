"""`watch` as a verb: what it writes on a terminal and elsewhere, and its exit codes."""

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli import live_view
from agent.cli.live_state import LiveState
from agent.cli.live_view import LINE_EVERY_S, Draw, Locate
from tests.cli.cli_agents import PATIENCE_S, configured, invoke, running

Follow = Callable[[Draw, float], str | None]


def following(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of an agent, this function draws and returns why it ends."""

    def run(*, locate: Locate, token: str | None, draw: Draw, every_s: float) -> str | None:
        assert locate() == "http://127.0.0.1:0"
        assert token is None
        return follow(draw, every_s)

    monkeypatch.setattr(live_view, "run", run)


def test_without_a_terminal_it_prints_a_line_for_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(draw: Draw, every_s: float) -> None:
        assert every_s == LINE_EVERY_S
        for trouble in ("one", "one", "t\x1bwo", "one"):
            draw(LiveState(trouble))

    following(follow, monkeypatch)
    result = invoke("-c", configured(tmp_path), "watch")
    assert (result.exit_code, result.stdout) == (0, "one\nt\\x1bwo\none\n")


def test_an_agent_that_refuses_the_connection_is_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(lambda _paint, _every_s: "refused with status 401", monkeypatch)
    result = invoke("-c", configured(tmp_path), "watch")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "refused with status 401\n")


class Screen:
    """A terminal with a program on it."""

    def __init__(self, config: str, term: str) -> None:
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (5, 60))
        environ = os.environ | {"TERM": term}
        environ.pop("COLUMNS", None)
        environ.pop("LINES", None)
        command = [sys.executable, "-m", "agent", "-c", config, "watch"]
        self.process = subprocess.Popen(
            command, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        self.written = b""

    def shows(self, words: bytes) -> None:
        while words not in self.written:
            self.written += os.read(self.ours, 1 << 16)

    def ends(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of an agent that runs and has nothing to do."""
    home = tmp_path_factory.mktemp("watched")
    (home / "out").mkdir()
    made = configured(home)
    with running(made):
        yield made


def test_on_a_terminal_it_redraws_the_screen_until_interrupted(config: str) -> None:
    screen = Screen(config, "xterm")
    try:
        screen.shows(b"\x1b[Htransfer-agent: connected\x1b[K\r\nmxf  0 B/s, 0 moving, 0 waiting, 0 failed")
        assert screen.ends(signal.SIGINT) == 0
    finally:
        screen.close()


def test_a_terminal_that_cannot_redraw_gets_lines(config: str) -> None:
    screen = Screen(config, "dumb")
    try:
        screen.shows(b"connecting\r\nmxf: 0 B/s, 0 moving, 0 waiting, 0 failed")
        assert screen.ends(signal.SIGTERM) == 0
        assert b"\x1b" not in screen.written
    finally:
        screen.close()


def test_it_waits_for_an_agent_that_is_not_running_yet(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    config = configured(tmp_path)
    screen = Screen(config, "xterm")
    try:
        screen.shows(b"no connection to http://127.0.0.1:0 (")
        with running(config):
            screen.shows(b"transfer-agent: connected")
        screen.shows(b"no connection to http://127.0.0.1:")
        assert screen.ends(signal.SIGINT) == 0
    finally:
        screen.close()


def test_an_output_that_closes_ends_it_without_a_message(config: str) -> None:
    command = [sys.executable, "-m", "agent", "-c", config, "watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr.read() == b""
