"""`run` as a program and in this process: what stops it from starting, and how it ends."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli.client import Client
from agent.config.load import load
from tests.cli.cli_agents import as_program, configured, invoke, running, wait_until, workers_reaped

COPY = b"not a container\n" * 1000


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with workers_reaped(monkeypatch):
        yield


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield int(holder.getsockname()[1])


def test_a_taken_port_is_reported_in_one_line_with_what_to_do(tmp_path: Path) -> None:
    with taken_port() as port:
        ended = as_program("-c", configured(tmp_path), "run", "--bind", f"127.0.0.1:{port}")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}: another program" in ended.stderr


def test_one_run_does_not_wait_for_a_state_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    ended = as_program("-c", configured(tmp_path), "run", "--once")
    assert ended.returncode == 3
    waits = [line for line in ended.stderr.splitlines() if "nothing is done until" in line]
    assert len(waits) == 1, ended.stderr
    assert f"the state folder '{tmp_path}/state' cannot be used: Not a directory" in waits[0]


def test_a_log_file_that_cannot_be_used_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    result = invoke("-c", configured(tmp_path, head='[log]\nfile = "log"'), "run")
    assert result.exit_code == 1
    assert result.stderr == f"the log file '{tmp_path}/log' cannot be used: Is a directory\n"


def test_a_second_agent_on_the_same_state_names_the_first(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with running(config) as first:
        second = as_program("-c", config, "run")
        assert second.returncode == 1
        assert second.stderr == (
            f"the state folder '{tmp_path}/state' is in use by another agent (pid {first.process.pid})\n"
        )
        assert first.signal(signal.SIGTERM) == 0


def test_interrupt_ends_it_well(tmp_path: Path) -> None:
    with running(configured(tmp_path)) as agent:
        assert agent.signal(signal.SIGINT) == 0


def test_flags_win_over_the_environment_and_outlive_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_WEB__BIND", "nonsense")
    monkeypatch.setenv("AGENT_LOG__LEVEL", "error")
    config = configured(tmp_path)
    with running(config, "--bind", "127.0.0.1:0", "--log-level", "info") as agent:
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: agent.has_logged('"configuration reloaded"'))
        assert Client.for_config(load(config, {})).request("GET", "/livez").status == 200


def test_once_delivers_what_is_there_and_says_so_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "clip.bin").write_bytes(COPY)
    result = invoke("-c", configured(tmp_path), "run", "--once")
    assert result.exit_code == 0
    assert (tmp_path / "out" / "clip.bin").read_bytes() == COPY
    assert not (tmp_path / "in" / "clip.bin").exists()
