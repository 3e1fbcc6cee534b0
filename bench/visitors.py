"""Visitors of the page, in a process of their own: `python -m bench.visitors URL COUNT`.

The first reads what it is told and notes how old it is; the others only read; the last of many never reads.
Says "ready" when all have their snapshot; at the end of standard input prints as JSON what `Visitors` holds.
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

from bench.report import say

MESSAGE_BYTES = 1 << 30
MANY = 50
WINDOW = "?window=250"  # as the page asks


def _address(url: str) -> str:
    return url.replace("http://", "ws://") + "/ws"


async def first_message(url: str) -> int:
    """The snapshot's length in characters."""
    async with open_websocket_url(_address(url), max_message_size=MESSAGE_BYTES) as socket:
        return len(await socket.get_message())


@define
class Visitors:
    """`lags_s`: for each file that was said to have arrived, how long ago that was.

    `longest_pause_s`: between two messages that say so.
    """

    url: str
    lags_s: list[float] = field(factory=list)
    longest_pause_s: float = 0.0
    closed: int = 0
    _heard_at: float | None = None
    _seen: set[str] = field(factory=set)

    async def visit(self, number: int, count: int, task_status: trio.TaskStatus[None]) -> None:
        """Comes back when it is sent away, as the page does."""
        is_deaf = number == count - 1 and count >= MANY
        has_begun = False
        address = _address(self.url) + WINDOW
        while True:
            async with open_websocket_url(address, max_message_size=MESSAGE_BYTES) as socket:
                if is_deaf:
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
            message = await socket.get_message()
            if notes:
                self._note(json.loads(message))

    def _note(self, said: dict[str, Any]) -> None:
        """The window is told of a file again and again as long as it looks at it; once counts."""
        now_at = time.time()
        files = said["changed"] if said["type"] == "update" else said["files"]
        arrived = [file for file in files if file["status"] == "Completed" and file["id"] not in self._seen]
        if not arrived:
            return
        if self._heard_at is not None:
            self.longest_pause_s = max(self.longest_pause_s, now_at - self._heard_at)
        self._heard_at = now_at
        self._seen.update(file["id"] for file in arrived)
        self.lags_s += (now_at - datetime.fromisoformat(file["completed_at"]).timestamp() for file in arrived)


async def main(url: str, count: int) -> None:
    visitors = Visitors(url)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await nursery.start(visitors.visit, number, count)
        say("ready")
        await trio.to_thread.run_sync(sys.stdin.read)
        figures = {"lags_s": visitors.lags_s, "longest_pause_s": visitors.longest_pause_s}
        say(json.dumps(figures | {"closed": visitors.closed}))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
