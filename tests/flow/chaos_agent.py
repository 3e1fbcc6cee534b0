"""An agent in a process of its own that can be killed, controlled as operators and supervisors do."""

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
from tests.flow.agent_forks import EXIT_CODE, LOG, WORKERS, AgentForks
from tests.flow.chaos_model import ROUTE, ListedFile
from tests.flow.running_agents import POLL_S

REQUEST_TIMEOUT_S = 10.0
LOG_END_CHARACTERS = 6000
STOP_TIMEOUT_S = 10.0  # 5 s are promised on a machine of its own


@define(eq=False)
class AgentProcess:
    folder: Path
    _forks: AgentForks
    _process: int | None = field(default=None, init=False)  # a pidfd: pids are reused

    @property
    def address(self) -> Path:
        return self.folder / "state" / "address"

    @property
    def is_running(self) -> bool:
        return self._process is not None and not has_ended(self._process)

    def start(self) -> None:
        self.address.unlink(missing_ok=True)
        (self.folder / EXIT_CODE).unlink(missing_ok=True)
        self._process = os.pidfd_open(self._forks.fork_agent(self.folder))

    def crash(self) -> None:
        if self._process is not None:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            until(lambda: not self.is_running, STOP_TIMEOUT_S, "the agent is not dead")
        self._forget()

    def stop(self) -> None:
        """Send SIGTERM, as a supervisor does; the agent must exit with 0."""
        if self._process is None:
            return
        handles_signals = self.address.exists()
        signal.pidfd_send_signal(self._process, signal.SIGTERM)
        until(lambda: not self.is_running, STOP_TIMEOUT_S, "the agent does not stop")
        self._forget()
        if handles_signals:
            assert (self.folder / EXIT_CODE).read_text() == "0"

    def _forget(self) -> None:
        if self._process is not None:
            os.close(self._process)
        self._process = None

    def kill_a_worker(self, rng: random.Random) -> None:
        workers = self.workers()
        if not workers:
            return
        pid = rng.choice(workers)
        with suppress(ProcessLookupError), opened(pid) as process:
            if self._is_ours(pid):  # checked again: the pidfd now keeps the pid from being reused
                signal.pidfd_send_signal(process, signal.SIGKILL)

    def workers(self) -> list[int]:
        path = self.folder / WORKERS
        pids = map(int, path.read_text().split()) if path.exists() else ()
        return [pid for pid in pids if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        """Whether it runs in our folder; the pid may belong to another process by now."""
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", self.folder)
        except OSError:
            return False

    # HTTP requests; False and None: no answer, or an error

    def command(self, path: str) -> bool:
        return self._ask("POST", path) is not None

    def command_file(self, file: str, command: str) -> bool:
        return self.command(f"/api/files/{file_id(ROUTE, file)}/{command}")

    def listed(self) -> dict[str, ListedFile] | None:
        """The files of /api/files by id."""
        answer = self._ask("GET", "/api/files")
        return None if answer is None else {file["id"]: _listed(file) for file in answer["files"]}

    def _ask(self, method: str, path: str) -> Any:  # noqa: ANN401  JSON
        try:
            url = self.address.read_text() + path
            with urllib.request.urlopen(
                urllib.request.Request(url, method=method), timeout=REQUEST_TIMEOUT_S
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            return None  # the command is refused at the moment
        except (OSError, ValueError):
            return None

    def actor_failures(self) -> list[str]:
        """Log lines about failed actors and exceptions."""
        return [line for line in self._log().splitlines() if '"actor failed"' in line or "Traceback" in line]

    def log_end(self) -> str:
        return self._log()[-LOG_END_CHARACTERS:]

    def _log(self) -> str:
        path = self.folder / LOG
        return path.read_text() if path.exists() else ""


def _listed(file: dict[str, Any]) -> ListedFile:
    return ListedFile(file["status"], file["file_size"], file["error_message"])


@contextmanager
def opened(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def has_ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])


def until(holds: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    end_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end_s, otherwise
        time.sleep(POLL_S)
