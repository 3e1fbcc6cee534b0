"""`health`: the report for a Nagios-compatible monitor.

Format: Monitoring Plugins Development Guidelines, sections "Plugin Output for Nagios" (one line) and
"Performance data" ('label'=value[UOM];warn;crit;min;max, U where the value is not known).
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from agent.model.text import on_one_line

NOT_WAITING = ("Completed", "Failed")


class NagiosState(enum.Enum):
    """The values are the plugin's exit codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_WORST_FIRST = (NagiosState.CRITICAL, NagiosState.WARNING, NagiosState.UNKNOWN, NagiosState.OK)


@frozen
class NagiosReport:
    """`str` of it is the plugin's line."""

    state: NagiosState
    text: str
    data: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = on_one_line(self.text.replace("|", "/"))  # a bar separates the performance data
        return f"{self.state.name} - {text}" + (f" | {' '.join(self.data)}" if self.data else "")


def nagios_report(
    readiness: str, storage: Iterable[Mapping[str, Any]], routes: Iterable[Mapping[str, Any]]
) -> NagiosReport:
    """The worst problem decides the state; the text names all of them.

    `readiness` is the text of /readyz, `storage` the routes of /api/storage, `routes` those of /api/routes.
    An outage is critical. Low space, a source that cannot be read, failed and held files are warnings. A
    destination that was not checked yet is unknown. Upload jobs do not count.
    """
    verdicts = {verdict["name"]: verdict for verdict in storage}
    routes = [route for route in routes if not route.get("upload_id")]
    found = [_state(route, verdicts.get(route["name"])) for route in routes]
    state = min((each for each, _ in found), key=_WORST_FIRST.index, default=NagiosState.UNKNOWN)
    if not readiness.startswith("ok") and state in (NagiosState.OK, NagiosState.WARNING):
        found.append((NagiosState.CRITICAL, readiness.partition("\n")[0]))
        state = NagiosState.CRITICAL
    problems = [text for each, text in sorted(found, key=_severity) if each is not NagiosState.OK]
    data = tuple(item for route in routes for item in _data(route))
    return NagiosReport(state, "; ".join(problems or [_summary(routes)]), data)


def _severity(found: tuple[NagiosState, str]) -> int:
    return _WORST_FIRST.index(found[0])


def _state(route: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> tuple[NagiosState, str]:
    name, failed = route["name"], route["counts"].get("Failed", 0)
    concerns = [verdict["message"]] if verdict and verdict["message"] else []
    if failed:
        concerns.append(_count(failed, "failed file"))
    concerns += [f"{_count(each['files'], 'held file')}: {each['why']}" for each in route["held"]]
    text = f"{name}: {'; '.join(concerns)}"
    if route["outage"] is not None:
        return NagiosState.CRITICAL, text
    if failed or route["held"] or (verdict and verdict["status"] == "WARNING"):
        return NagiosState.WARNING, text
    if verdict is None or verdict["status"] != "OK":
        return NagiosState.UNKNOWN, text if concerns else f"{name}: nothing is known of its storage"
    return NagiosState.OK, text


def _summary(routes: list[Mapping[str, Any]]) -> str:
    if not routes:
        return "no route is running"
    waiting = sum(map(_waiting, routes))
    paused = [f", {route['name']} paused" for route in routes if route["paused"]]
    return f"{_count(len(routes), 'route')}, {_count(waiting, 'file')} waiting{''.join(paused)}"


def _data(route: Mapping[str, Any]) -> Iterable[str]:
    name, free, total = route["name"], route["destination_free_bytes"], route["destination_total_bytes"]
    yield f"{name}_free={'U' if free is None else f'{free}B'};;;0;{'' if total is None else total}"
    yield f"{name}_queue={_waiting(route)};;;0;"
    yield f"{name}_failed={route['counts'].get('Failed', 0)};;;0;"


def _waiting(route: Mapping[str, Any]) -> int:
    return sum(count for status, count in route["counts"].items() if status not in NOT_WAITING)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
