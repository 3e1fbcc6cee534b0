"""The simulator's step log: one JSON object for each step, and a result for each file at the end."""

from datetime import UTC, datetime

from agent.simulate.content import Content
from agent.simulate.steps import Allocate, Close, Rename, Stamp, Truncate, Write, WriteStep

Line = dict[str, object]


def line(step: WriteStep, at: datetime) -> Line:
    """`time` is when the step was done (RFC 3339, UTC), `at_s` when it was due, from the start of the run."""
    entry = {"time": stamp(at), "at_s": round(step.at_s, 6), "op": _op(step), "path": step.path}
    match step:
        case Write():
            entry |= {"offset": step.offset, "length": step.content.size_bytes}
        case Allocate() | Truncate():
            entry |= {"offset": 0, "length": step.length}
        case Rename():
            entry |= {"to": step.to}
        case Stamp():
            entry |= {"age_s": step.age_s}
    return entry


def result(path: str, content: Content, at: datetime) -> Line:
    """Size and digest of a file, computed from its steps: the file itself may have been moved since."""
    return {
        "time": stamp(at),
        "op": "result",
        "path": path,
        "size": content.size_bytes,
        "sha256": content.sha256(),
    }


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _op(step: WriteStep) -> str:
    match step:
        case Allocate():
            return step.way
        case Close() if step.crashed:
            return "crash"
        case Write() if step.mapped:
            return "map"
    return type(step).__name__.lower()
