"""The state behind `watch`: built from the messages of /ws, and rendered as lines for a terminal."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field

from agent.model.text import on_one_line, size_text

BAR_CELLS = 20
MOVING = ("Copying", "Verifying")
ENDED = ("Completed", "Failed")

# ECMA-48: cursor to the first cell, erase to the end of the line, erase to the end of the screen
HOME, END_LINE, END_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

Body = Mapping[str, Any]


def fitted(text: str, columns: int) -> str:
    """As much of the text as fits; wide characters take two cells, combining ones none (UAX 11)."""
    used = 0
    for position, character in enumerate(text):
        used += _cells(character)
        if used > columns:
            return text[:position]
    return text


def redraw(lines: Iterable[str]) -> str:
    """The lines with control sequences that overwrite the previous ones without flicker."""
    return HOME + "\n".join(f"{line}{END_LINE}" for line in lines) + END_SCREEN


@define
class LiveState:
    """Files, routes and events as of the last message; `problem` says why none comes, empty if they do."""

    problem: str = "connecting"
    _seq: int = field(default=0, init=False)
    _files: dict[str, Body] = field(factory=dict, init=False)
    _routes: dict[str, Body] = field(factory=dict, init=False)
    _events: list[Body] = field(factory=list, init=False)

    def apply(self, message: Body) -> bool:
        """Apply a message. False: one before it was missed, so that a new snapshot is needed."""
        if message["type"] == "snapshot":
            self._files, self._routes, self._events = {}, {}, []
            self._merge(message["files"], message)
            return True
        if message["seq"] != self._seq + 1:
            return False
        for file_id in message["removed"]:
            self._files.pop(file_id, None)
        self._merge(message["changed"], message)
        return True

    def frame(self, columns: int, rows: int) -> Sequence[str]:
        """The view in at most `rows` lines of `columns` cells; the last one counts lines that did not fit."""
        lines = [fitted(on_one_line(line), columns) for line in self._lines()]
        if len(lines) > rows:
            lines[rows - 1 :] = [fitted(f"... and {len(lines) - rows + 1} more lines", columns)]
        return lines

    def line(self) -> str:
        """The view in one line."""
        if self.problem:
            return self.problem
        return "; ".join(map(self._summary, self._routes.values()))

    def _merge(self, files: Iterable[Body], message: Body) -> None:
        self._seq = message["seq"]
        self._files |= {file["id"]: file for file in files}
        self._routes |= {route["name"]: route for route in message["routes"]}
        self._events = [*self._events, *message["events"]][-3:]
        self.problem = ""

    def _lines(self) -> Iterator[str]:
        yield f"transfer-agent: {self.problem or 'connected'}"
        width = max(map(len, self._routes), default=0)
        for route in self._routes.values():
            yield f"{route['name']:<{width}}  {_state(route)}"
        for event in self._events:
            yield f"{_clock(event['at'])}  {event['level']}: {event['text']}"
        moving = sorted(self._files_in(MOVING), key=lambda file: str(file["started_at"]))
        ended = sorted(self._files_in(ENDED), key=lambda file: str(file["completed_at"]), reverse=True)
        if moving:
            yield ""
        yield from map(_progress, moving)
        if ended:
            yield ""
        yield from map(_outcome, ended)

    def _files_in(self, statuses: Sequence[str]) -> list[Body]:
        return [file for file in self._files.values() if file["status"] in statuses]

    def _summary(self, route: Body) -> str:
        moving = [file for file in self._files_in(MOVING) if file["route"] == route["name"]]
        percents = "".join(f", {file['path']} {_percent(file):.0f} %" for file in moving)
        return f"{route['name']}: {_state(route)}{percents}"


def _state(route: Body) -> str:
    counts, outage, free_bytes = route["counts"], route["outage"], route["destination_free_bytes"]
    moving = sum(counts.get(status, 0) for status in MOVING)
    waiting = sum(counts.values()) - moving - sum(counts.get(status, 0) for status in ENDED)
    parts = ["paused"] if route["paused"] else []
    if outage:
        parts.append(f"OUTAGE {outage['reason']} since {_clock(outage['since'])} ({outage['detail']})")
    else:
        parts.append(f"{size_text(route['rate_bytes_s'])}/s")
    if route["source_error"]:
        parts.append(f"SOURCE {route['source_error']}")
    parts += [f"{moving} moving", f"{waiting} waiting", f"{counts.get('Failed', 0)} failed"]
    if free_bytes is not None:
        parts.append(f"{size_text(free_bytes)} free")
    return ", ".join(parts)


def _progress(file: Body) -> str:
    percent = _percent(file)
    done = int(percent / 100 * BAR_CELLS)
    bar = f"[{'#' * done}{'-' * (BAR_CELLS - done)}]"
    size = size_text(file["file_size"])
    return f"{file['status']:<9} {bar} {percent:5.1f} % {size:>10}  {file['path']}"


def _percent(file: Body) -> float:
    """Percent of the current step: copied or verified bytes of the file's size."""
    if file["status"] == "Copying":
        return float(file["copy_progress"])
    return min(100.0, 100.0 * float(file["bytes_verified"]) / max(1.0, float(file["file_size"])))


def _outcome(file: Body) -> str:
    end = f": {file['error_message']}" if file["status"] == "Failed" else ""
    size = size_text(file["file_size"])
    return f"{_clock(file['completed_at'])}  {file['status']:<9} {size:>10}  {file['path']}{end}"


def _clock(moment: str) -> str:
    """The time of day of an RFC 3339 moment in UTC."""
    return f"{moment[11:19]}Z"


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
