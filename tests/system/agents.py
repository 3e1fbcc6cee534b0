"""A real agent in a process of its own, on folders of its own, used as a user would."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import define, field

from tests.forks import ForkedProgram

TIMEOUT_S = 60.0
POLL_S = 0.05  # each question costs the agent and the test some milliseconds of processor time
MIB = 1 << 20
LARGE_MIB = 48
ROUTE: dict[str, object] = {
    "name": "mxf",
    "source": "source",
    "destination": "nas",
    "stable": "600ms",
    "scan": "200ms",
    "probe": "200ms",
    "retry_delay": "200ms",
    "low_space": "1MiB",
}


def _toml(value: object) -> str:
    return json.dumps(value)  # strings, numbers, booleans and lists of them look the same in TOML


@define(eq=False)
class Agent:
    """An agent process. `home` holds agent.toml, source, nas and the state folder.

    `started_by`: a command, with its options, that runs the agent's own, such as setpriv.
    """

    home: Path
    started_by: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | ForkedProgram | None = field(default=None, init=False)

    def configure(self, *others: Mapping[str, object], **route: object) -> None:
        """Write agent.toml with one route, `route` over the defaults of these tests, and `others`."""
        lines = [
            "[web]",
            'bind = "127.0.0.1:0"',
            "[log]",
            'format = "json"',
            "[agent]",
            'state_dir = "state"',
        ]
        for each in ({**ROUTE, **route}, *others):
            lines += ["[[route]]", *(f"{key} = {_toml(value)}" for key, value in each.items())]
        (self.home / "agent.toml").write_text("\n".join(lines) + "\n")

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def nas(self) -> Path:
        return self.home / "nas"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return (self.home / "state" / "address").read_text()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "agent", "-c", str(self.home / "agent.toml"), *words]

    def start(self, *options: str) -> None:
        """Start, and wait until the web server answers."""
        address = self.home / "state" / "address"
        address.unlink(missing_ok=True)
        self._process = self._started([*self.started_by, *self.command("run", *options)])
        # The file is created a moment before the address is written to it.
        self.wait_until(lambda: address.exists() and bool(self.url) and self.status("/livez") == 200)

    def _started(self, command: list[str]) -> "subprocess.Popen[bytes] | ForkedProgram":
        """Forked, unless another program starts it."""
        if command[0] == sys.executable:
            return ForkedProgram.start(command, self.home / "log")
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(command, stderr=log, start_new_session=True)

    def run_command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another verb of the command line to its end."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait until the process has ended. Returns the exit code."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    def stop(self, timeout_s: float = TIMEOUT_S) -> int:
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, as if the machine had crashed."""
        self.signal(signal.SIGKILL)
        self.wait()

    def clean_up(self) -> None:
        """End the process if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=TIMEOUT_S) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def text(self, path: str) -> str:
        """The text at this path, whatever the status."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=TIMEOUT_S) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def get(self, path: str) -> Any:  # noqa: ANN401  JSON
        """The JSON at this path, whatever the status."""
        request = urllib.request.Request(self.url + path, headers={"Accept": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def file(self, name: str) -> dict[str, Any] | None:
        """The file with this name in /api/files; None: it is not on the list."""
        for file in self.get(f"/api/files?search={quote(name)}")["files"]:
            if file["file_path"].endswith(f"/{name}"):
                return dict(file)
        return None

    def is_in(self, name: str, status: str) -> bool:
        file = self.file(name)
        return file is not None and file["status"] == status

    def wait_for(self, name: str, status: str) -> dict[str, Any]:
        self.wait_until(lambda: self.is_in(name, status))
        file = self.file(name)
        assert file is not None
        return file

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Poll until it holds; after `timeout_s` fail with the end of the log."""
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline_s:
                raise AssertionError("the condition never held; the log ends:\n" + self.log()[-4000:])
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError("the agent has ended; the log ends:\n" + self.log()[-4000:])
            time.sleep(POLL_S)

    def copy_large_file(self, folder: Path | None = None) -> bytes:
        """Write large.mxf to the source (or this folder) and wait until a part is verified; its content."""
        content = os.urandom(MIB) * LARGE_MIB
        ((folder or self.source) / "large.mxf").write_bytes(content)
        self.wait_until(lambda: (self.file("large.mxf") or {}).get("bytes_verified", 0) > 0)
        return content

    def log(self) -> str:
        return (self.home / "log").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines with this event, parsed."""
        whole, _, _ = self.log().rpartition("\n")  # the last line may be half written
        lines = [json.loads(line) for line in whole.split("\n") if line]
        return [line for line in lines if line["event"] == name]

    def partials(self) -> list[Path]:
        """Those of files; a probe's comes and goes at any time."""
        found = (path for path in self.nas.rglob("*.partial"))
        return [path for path in found if not path.name.startswith(".transfer-agent.")]
