"""The start of the agent waits for nothing that it can do without."""

import socket
import threading
import urllib.request
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

import pytest
import trio

from tests.flow.running_agents import TIMEOUT_S, eventually, running, write_config


def status_as(host: str, url: str) -> int:
    request = urllib.request.Request(f"{url}/livez", headers={"Host": host})
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
