"""The control channel: a JSON line asks {"do": NAME, ...}, a JSON line answers {...} or {"error": "..."}.

It has threads of its own, so it answers also while every operation of the file system hangs.
"""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.mounts.faults import Faults
from tests.mounts.memory import Memory

Words = dict[str, Any]  # JSON


def obey(words: Words, faults: Faults, storage: Memory | None) -> Words:
    """Carry out one command.

    Raises:
        KeyError, TypeError: no such command, or a word of it is missing.
    """
    match words.pop("do"):
        case "sync" if storage is not None:
            storage.sync_all()
        case "keep" if storage is not None:
            storage.keep(**words)
        case "lose" | "show" as name if storage is not None:
            getattr(storage, name)(**words)
            faults.restore_power()
        case "state":
            return {"mutations": faults.mutations, "waiting": faults.waiting, "is_cut": faults.is_cut}
        case (
            "error"
            | "hang"
            | "release"
            | "flip"
            | "short"
            | "full"
            | "read_only"
            | "slow"
            | "latency"
            | "name_max" as name
        ):
            getattr(faults, name)(**words)
        case "cut_after" | "await_cut" | "clear" as name:
            getattr(faults, name)(**words)
        case other:
            raise KeyError(other)
    return {}


@contextmanager
def serving(path: str, faults: Faults, storage: Memory | None) -> Iterator[None]:
    """Listen on this socket while the block runs."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):  # whoever waited for a cut may have gone
                for line in self.rfile:
                    try:
                        answer = obey(json.loads(line), faults, storage)
                    except (KeyError, TypeError, ValueError) as error:
                        answer = {"error": f"{type(error).__name__}: {error}"}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False

    with Server(path, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
