"""How an outage is brought about on a real mount, and what visitors of the agent must see of it."""

import errno
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.mounts.mounts import FaultMount, LoopMount
from tests.system.agents import PATIENCE_S, Agent

# Where a test waits for the verdict "hung". Shorter, and a busy machine would look like a dead mount.
IMPATIENT: Mapping[str, object] = {"probe_timeout": "2s", "stall_timeout": "2s"}
MARKER = "here"
MIB = 1 << 20


def configure(agent: Agent, destination: Path, well: str = "well-nas", /, **route: object) -> None:
    """The route `mxf` leads to a destination that may be ill, the route `well` to a healthy one."""
    for folder in ("well-source", well):
        (agent.home / folder).mkdir(exist_ok=True)
    other = {
        "name": "well",
        "source": "well-source",
        "destination": well,
        "stable": "300ms",
        "scan": "200ms",
        "low_space": "1MiB",
    }
    agent.configure(other, **{"destination": str(destination), "stable": "300ms", **route})


def waits_for_space(agent: Agent, name: str) -> bool:
    file = agent.file(name)
    why = str(agent.get(f"/api/explain?path={name}"))
    return (
        file is not None and file["status"] in {"Paused", "InQueue"} and ("not fit" in why or "full" in why)
    )


@frozen
class Illness:
    """A way to make the destination at `path` unusable, and to make it well again."""

    reason: str
    path: Path
    mount: FaultMount | LoopMount

    def begin(self) -> None:
        match self.reason, self.mount:
            case "read_only", LoopMount():
                self.mount.remount(read_only=True)
            case "unmounted", _:
                self.mount.unmount()
            case "marker_missing", _:
                (self.path / MARKER).unlink()
            case reason, FaultMount():
                self._begin_fault(reason, self.mount)

    def end(self) -> None:
        match self.reason, self.mount:
            case "read_only", LoopMount():
                self.mount.remount(read_only=False)
            case "unmounted" | "unreachable", FaultMount():
                self.mount.remount()
            case "marker_missing", _:
                (self.path / MARKER).touch()
            case _, FaultMount():
                self.mount.clear()

    @staticmethod
    def _begin_fault(reason: str, mount: FaultMount) -> None:
        match reason:
            case "unreachable":
                mount.vanish()
            case "hung":
                mount.hang()
            case "full":  # a quota: statfs still tells of space
                mount.error("write", "create", "mkdir", errno=errno.EDQUOT)
            case "denied":
                mount.error("access", "create", "mkdir", errno=errno.EACCES)
            case "io_error":
                mount.error("write", "fsync", "create", errno=errno.EIO)
            case other:
                raise ValueError(other)


@contextmanager
def a_destination(home: Path, kind: str) -> Iterator[tuple[Path, FaultMount | LoopMount]]:
    path = home / "mount"
    if kind == "ext4":
        with LoopMount.at(path, home / "image", 32) as disk:
            yield path, disk
    else:
        with FaultMount.at(path, home / "backing") as share:
            yield path, share


def text(agent: Agent, path: str) -> str:
    """What stands at this path, whatever the status."""
    try:
        with urllib.request.urlopen(agent.url + path, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def outage(agent: Agent, route: str = "mxf") -> dict[str, Any] | None:
    """As the page shows it: reason, since, detail."""
    for each in agent.get("/api/routes")["routes"]:
        if each["name"] == route:
            found: dict[str, Any] | None = each["outage"]
            return found
    return None


def reason(agent: Agent) -> str | None:
    shown = outage(agent)
    return None if shown is None else str(shown["reason"])


def metric(agent: Agent, name: str, **labels: str) -> float | None:
    """The value of the sample that has these labels."""
    for line in text(agent, "/metrics").splitlines():
        head, _, value = line.rpartition(" ")
        if head.startswith(f"transfer_agent_{name}{{") and all(
            f'{k}="{v}"' in head for k, v in labels.items()
        ):
            return float(value)
    return None


def check_shown_everywhere(agent: Agent, expected: str, begun_at: datetime) -> None:
    """`expected` is the reason of an outage of the route `mxf`, and the route `well` has none."""
    shown = outage(agent)
    assert shown is not None
    assert shown["reason"] == expected
    assert shown["detail"]
    since = datetime.fromisoformat(shown["since"])
    assert begun_at <= since <= datetime.now(UTC)
    [sick, well] = text(agent, "/readyz?verbose").splitlines()[1:]
    assert sick.startswith(f"mxf: {expected}: ")
    assert shown["since"] in sick
    assert well == "well: ok"
    assert agent.status("/readyz") == agent.status("/api/health") == 503
    assert agent.status("/livez") == 200
    storage = agent.get("/api/storage")
    assert agent.status("/api/storage") == 503
    assert (storage["status"], storage["destinationFreeGB"]) == ("ERROR", -1)
    assert expected in storage["message"]
    assert metric(agent, "destination_up", route="mxf") == 0
    assert metric(agent, "destination_outage", route="mxf", reason=expected) == 1
    assert metric(agent, "destination_up", route="well") == 1
    [line, *_] = [line for line in agent.events("outage") if line["reason"] == expected]
    assert line["level"] == "warning"
    assert line["destination"].endswith("/mount")


def check_over_everywhere(agent: Agent, ended: str) -> None:
    assert outage(agent) is None
    assert agent.status("/readyz") == agent.status("/api/health") == agent.status("/api/storage") == 200
    assert metric(agent, "destination_up", route="mxf") == 1
    assert not metric(agent, "destination_outage", route="mxf", reason=ended)
    assert agent.events("outage over")
