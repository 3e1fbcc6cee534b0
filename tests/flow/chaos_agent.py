"""A whole agent in a process of its own that can really be killed, as operator and supervisor meet it."""

import json
import os
import random
import select
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from agent.model.names import file_id
from tests.flow.agent_forks import EXIT_CODE, LOG, WORKERS, Zygote
from tests.flow.chaos_model import ROUTE, Shown
from tests.flow.running_agents import POLL_S

ANSWER_S = 10.0
LOG_END_CHARACTERS = 6000
END_S = 10.0  # 5 s are promised on a machine of its own


@define(eq=False)
class House:
    folder: Path
    _zygote: Zygote
    _process: int | None = field(default=None, init=False)  # a descriptor: numbers are given out again

    @property
    def address(self) -> Path:
        return self.folder / "state" / "address"

    @property
    def lives(self) -> bool:
        return self._process is not None and not has_ended(self._process)

    def start(self) -> None:
        self.address.unlink(missing_ok=True)
        (self.folder / EXIT_CODE).unlink(missing_ok=True)
        self._process = os.pidfd_open(self._zygote.house(self.folder))

    def crash(self) -> None:
        if self._process is not None:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            until(lambda: not self.lives, END_S, "the house is not dead")
        self._forget()

    def stop(self) -> None:
        """As a supervisor does it."""
        if self._process is None:
            return
        listened = self.address.exists()  # before that nobody obeys signals
        signal.pidfd_send_signal(self._process, signal.SIGTERM)
        until(lambda: not self.lives, END_S, "the house does not stop")
        self._forget()
        if listened:
            assert (self.folder / EXIT_CODE).read_text() == "0"

    def _forget(self) -> None:
        if self._process is not None:
            os.close(self._process)
        self._process = None

    def kill_a_worker(self, lot: random.Random) -> None:
        workers = self.workers()
        if not workers:
            return
        pid = lot.choice(workers)
        with suppress(ProcessLookupError), opened(pid) as process:
            if self._is_ours(pid):  # still, now that the descriptor holds on to it
                signal.pidfd_send_signal(process, signal.SIGKILL)

    def workers(self) -> list[int]:
        path = self.folder / WORKERS
        pids = map(int, path.read_text().split()) if path.exists() else ()
        return [pid for pid in pids if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        """Whether it lives and works in our folder; its number may be a stranger's by now."""
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", self.folder)
        except OSError:
            return False

    # As an operator meets it; False and None: nobody there just now

    def order(self, path: str) -> bool:
        return self._ask("POST", path) is not None

    def order_for(self, file: str, order: str) -> bool:
        return self.order(f"/api/files/{file_id(ROUTE, file)}/{order}")

    def shown(self) -> dict[str, Shown] | None:
        """What is on the list, by file id."""
        answer = self._ask("GET", "/api/files")
        return None if answer is None else {file["id"]: _shown(file) for file in answer["files"]}

    def _ask(self, method: str, path: str) -> Any:  # noqa: ANN401  JSON
        try:
            url = self.address.read_text() + path
            with urllib.request.urlopen(
                urllib.request.Request(url, method=method), timeout=ANSWER_S
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            return None  # not possible just now, which is an answer too
        except (OSError, ValueError):
            return None

    def falls(self) -> list[str]:
        """Bugs that were survived."""
        return [line for line in self._log().splitlines() if '"actor failed"' in line or "Traceback" in line]

    def log_end(self) -> str:
        return self._log()[-LOG_END_CHARACTERS:]

    def _log(self) -> str:
        path = self.folder / LOG
        return path.read_text() if path.exists() else ""


def _shown(file: dict[str, Any]) -> Shown:
    return Shown(file["status"], file["file_size"], file["error_message"])


@contextmanager
def opened(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def has_ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])


def until(is_so: Callable[[], bool], deadline_s: float, otherwise: str) -> None:
    end_s = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end_s, otherwise
        time.sleep(POLL_S)
