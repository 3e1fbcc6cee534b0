"""Visitors of the page, in a process of their own: `python -m bench.visitors URL COUNT`.

The first reads what it is told and notes how old it is; the others only read; the last of many never reads.
Says "ready" when all have their snapshot; at the end of standard input prints the ages as JSON, in seconds.
"""

import json
import sys
import time
from datetime import datetime

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
    """`lags_s`: for each file that was said to have arrived, how long ago that was."""

    url: str
    lags_s: list[float] = field(factory=list)
    closed: int = 0

    async def visit(self, number: int, count: int, task_status: trio.TaskStatus[None]) -> None:
        async with open_websocket_url(_address(self.url) + WINDOW, max_message_size=MESSAGE_BYTES) as socket:
            is_deaf = number == count - 1 and count >= MANY
            if not is_deaf:
                await socket.get_message()
            task_status.started()
            if is_deaf:
                await trio.sleep_forever()
            try:
                await self._listen(socket, notes=number == 0)
            except ConnectionClosed:
                self.closed += 1

    async def _listen(self, socket: WebSocketConnection, *, notes: bool) -> None:
        seen = set[str]()
        while True:
            message = await socket.get_message()
            if not notes:
                continue
            now_at, said = time.time(), json.loads(message)
            for file in said["changed"] if said["type"] == "update" else said["files"]:
                if file["status"] == "Completed" and file["id"] not in seen:
                    seen.add(file["id"])
                    self.lags_s.append(now_at - datetime.fromisoformat(file["completed_at"]).timestamp())


async def main(url: str, count: int) -> None:
    visitors = Visitors(url)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await nursery.start(visitors.visit, number, count)
        say("ready")
        await trio.to_thread.run_sync(sys.stdin.read)
        say(json.dumps({"lags_s": visitors.lags_s, "closed": visitors.closed}))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]))
