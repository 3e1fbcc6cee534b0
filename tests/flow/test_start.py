"""The start of the agent waits for nothing that it can do without."""

import socket
import threading
import types
import urllib.request
from functools import partial
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from urllib.error import HTTPError

import pytest
import trio
from attrs import evolve

from agent.runtime import supervisor
from agent.runtime.runtime import Runtime
from tests.flow.running_agents import TIMEOUT_S, config_of, eventually, no_log, running, write_config


def status_as(host: str, url: str) -> int:
    return status_of(urllib.request.Request(f"{url}/livez", headers={"Host": host}))


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


async def test_a_name_server_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server = threading.Event()

    def full_name() -> str:
        name_server.wait(TIMEOUT_S)
        return "Ingest-1.studio.example"

    monkeypatch.setattr(socket, "getfqdn", full_name)
    write_config(tmp_path)
    address = tmp_path / "state" / "address"
    async with running(tmp_path):
        await eventually(address.exists)
        ask = partial(trio.to_thread.run_sync, status_as, "ingest-1.studio.example", address.read_text())
        assert await ask() == HTTPStatus.MISDIRECTED_REQUEST
        name_server.set()
        with trio.fail_after(TIMEOUT_S):
            while await ask() != HTTPStatus.OK:  # noqa: ASYNC110  a name server sets no event
                await trio.sleep(0.01)


async def test_the_page_answers_before_the_database_and_the_actors_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load, listening = threading.Event(), trio.Event()
    monkeypatch.setattr(supervisor, "import_module", partial(load_later, may_load))
    monkeypatch.setattr(supervisor, "handle_signals", partial(no_signals, listening))
    write_config(tmp_path)
    config = config_of(tmp_path)
    port = free_port()
    config = evolve(config, web=evolve(config.web, port=port))
    runtime = Runtime.create(lambda: config, no_log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(supervisor.supervise, runtime, config, once_only=False))
        await listening.wait()
        paths = ("/livez", "/", "/api/files", "/api/history", "/uploads/", "/readyz")
        requests = [urllib.request.Request(f"http://127.0.0.1:{port}{path}") for path in paths]
        answers = [await trio.to_thread.run_sync(status_of, request) for request in requests]
        may_load.set()
        runtime.stop()
    assert answers == [200, 200, 200, 503, 503, 503]


def load_later(may_load: threading.Event, name: str) -> types.ModuleType:
    may_load.wait(TIMEOUT_S)
    return import_module(name)


async def no_signals(
    listening: trio.Event, _: Runtime, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    task_status.started()
    listening.set()
    await trio.sleep_forever()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
