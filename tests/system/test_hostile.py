"""Whatever clients send to the web server, it answers the next one, and the running transfer goes on."""

import socket
import struct

from tests.system.agents import Agent
from tests.web.hostile import FRAMES, REQUESTS, upgrade

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


def send(address: tuple[str, int], data: bytes, *, abruptly: bool) -> None:
    with socket.create_connection(address, timeout=10) as client:
        try:
            client.sendall(data)
        except OSError:
            return  # the server was faster
        if abruptly:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def test_hostile_clients_harm_neither_the_server_nor_a_running_transfer(agent: Agent) -> None:
    agent.configure(bandwidth="8MiB", workers=1)
    agent.start()
    content = bytes(range(256)) * (96 * 1024)
    (agent.source / "under-fire.mxf").write_bytes(content)
    agent.wait_for("under-fire.mxf", "Copying")
    host, _, port = agent.url.removeprefix("http://").rpartition(":")
    inputs = [*REQUESTS.values(), *(upgrade() + frames for frames in FRAMES.values())]
    assert len(inputs) >= 50
    for data in inputs:
        for abruptly in (False, True):
            send((host, int(port)), data, abruptly=abruptly)
            assert agent.status("/livez") == 200
    agent.wait_for("under-fire.mxf", "Completed")
    assert (agent.nas / "under-fire.mxf").read_bytes() == content
    assert agent.events("actor failed") == []
    assert agent.file("under-fire.mxf")["retry_count"] == 0  # type: ignore[index]
    assert agent.stop(timeout_s=5) == 0
