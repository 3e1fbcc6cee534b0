"""Clients of the page, in a process of their own: `python -m bench.page_clients URL COUNT`.

The first client reads the updates and notes their age. The others only read. With many clients, the last one
never reads. Prints "ready" when all have their snapshot, and the figures as JSON at the end of standard
input.
"""

import json
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

from bench.report import emit

MESSAGE_BYTES = 1 << 30
MANY = 50
WINDOW = "?window=250"  # as the page asks


def _address(url: str) -> str:
    return url.replace("http://", "ws://") + "/ws"


async def first_message(url: str) -> int:
    """The length of the snapshot in characters."""
    async with open_websocket_url(_address(url), max_message_size=MESSAGE_BYTES) as socket:
        return len(await socket.get_message())


@define
class PageClients:
    """`lags_s`: for each delivered file, the age of the update about it.

    `longest_pause_s`: the longest time between two such updates; `closed`: connections that the agent closed.
    """

    url: str
    lags_s: list[float] = field(factory=list)
    longest_pause_s: float = 0.0
    closed: int = 0
    _last_at: float | None = None
    _seen: set[str] = field(factory=set)

    async def visit(self, number: int, count: int, task_status: trio.TaskStatus[None]) -> None:
        """Connect, and connect again when the agent closes the connection, as the page does."""
        never_reads = number == count - 1 and count >= MANY
        has_begun = False
        address = _address(self.url) + WINDOW
        while True:
            async with open_websocket_url(address, max_message_size=MESSAGE_BYTES) as socket:
                if never_reads:
                    task_status.started()
                    await trio.sleep_forever()
                with suppress(ConnectionClosed):
                    await socket.get_message()
                    if not has_begun:
                        task_status.started()
                        has_begun = True
                    await self._listen(socket, notes=number == 0)
                self.closed += 1

    async def _listen(self, socket: WebSocketConnection, *, notes: bool) -> None:
        while True:
            text = await socket.get_message()
            if notes:
                self._note(json.loads(text))

    def _note(self, message: dict[str, Any]) -> None:
        """Note the age of deliveries.

        Updates repeat a file while it is in the window; only the first counts.
        """
        now_at = time.time()
        files = message["changed"] if message["type"] == "update" else message["files"]
        arrived = [file for file in files if file["status"] == "Completed" and file["id"] not in self._seen]
        if not arrived:
            return
        if self._last_at is not None:
            self.longest_pause_s = max(self.longest_pause_s, now_at - self._last_at)
        self._last_at = now_at
        self._seen.update(file["id"] for file in arrived)
        self.lags_s += (now_at - datetime.fromisoformat(file["completed_at"]).timestamp() for file in arrived)


async def main(url: str, count: int) -> None:
    clients = PageClients(url)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await nursery.start(clients.visit, number, count)
        emit("ready")
        await trio.to_thread.run_sync(sys.stdin.read)
        figures = {"lags_s": clients.lags_s, "longest_pause_s": clients.longest_pause_s}
        emit(json.dumps(figures | {"closed": clients.closed}))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
