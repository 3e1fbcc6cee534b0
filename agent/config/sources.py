"""Where values come from: the file, the `.env` beside it, the environment, the command line; later ones win.

Formats: TOML 1.0; for `.env` that of python-dotenv, without interpolation.
"""

import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import frozen
from dotenv.parser import parse_stream

from agent.config.raw import ConfigError, RawConfig, RawSection, RawValue, hint, nearest
from agent.config.structure import HEADINGS, KEYS, SECTIONS, unknown_key
from agent.config.value_parsers import Text, quoted


@frozen
class Dialect:
    """How a key is named outside the file: `prefix` SECTION `separator` [ROUTE `separator`] KEY."""

    prefix: str
    separator: str
    spell: Callable[[str], str]

    def compose(self, *parts: str) -> str:
        return self.prefix + self.separator.join(self.spell(part) for part in parts)


VARIABLES = Dialect("AGENT_", "__", lambda name: re.sub("[^A-Z0-9]", "_", name.upper()))
OPTIONS = Dialect("", ".", str.lower)


@frozen
class Setting:
    """One value from outside the file; `route` is empty in a section and for the only route."""

    dialect: Dialect
    name: str
    given: RawValue

    def parts(self) -> tuple[str, str, str]:
        """Section, route and key, empty where there is none."""
        body = self.name.removeprefix(self.dialect.prefix)
        section, _, rest = body.partition(self.dialect.separator)
        if section.lower() != "route":
            return section.lower(), "", rest.lower()
        route, _, key = rest.rpartition(self.dialect.separator)
        return "route", route, key.lower()

    def complaint(self, reason: str) -> str:
        return f"{self.given.origin}: {reason}"


def gather(
    file: str, environ: Mapping[str, str], overrides: Mapping[str, str]
) -> tuple[RawConfig, list[str]]:
    """Every table with the values that count, and a reason for each that could not be placed.

    Raises:
        ConfigError: the file is missing, unreadable or not TOML.
    """
    document = _document(file)
    tables, reasons = _tables(file, document)
    env_file = str(Path(file).parent / ".env")
    beside, faults = _env_file(env_file)
    reasons += faults
    hidden = {name: text for name, text in beside.items() if name not in environ}
    for dialect, source, values in (
        (VARIABLES, env_file, hidden),
        (VARIABLES, "environment", environ),
        (OPTIONS, "command line", overrides),
    ):
        for name, text in values.items():
            if name.startswith(dialect.prefix):
                reasons += _place(tables, Setting(dialect, name, RawValue(Text(text), f"{source} {name}")))
    if not tables.routes and not document.get("route"):
        reasons.append(f"{file}: there is no [[route]], so there is nothing to do")
    return tables, reasons


def _document(file: str) -> dict[str, object]:
    try:
        content = Path(file).read_bytes()
    except FileNotFoundError:
        raise ConfigError((f"{file}: there is no such file; --config names another",)) from None
    except OSError as error:
        raise ConfigError((f"{file}: cannot be read: {error.strerror}",)) from None
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError((f"{file}: line {line} is not UTF-8 text",)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{file}: not valid TOML: {error}",)) from None


def _tables(file: str, document: dict[str, object]) -> tuple[RawConfig, list[str]]:
    found = RawConfig({name: RawSection(HEADINGS[name], file) for name in SECTIONS}, [])
    reasons = []
    defaults: dict[str, object] = {"name": socket.gethostname(), "state_dir": "var/state"}
    found.sections["agent"].update(defaults, file)
    for name, content in document.items():
        match content:
            case dict() if name in SECTIONS:
                found.sections[name].update(content, file)
            case list() if name == "route" and all(isinstance(route, dict) for route in content):
                found.routes = [_route(file, number, route) for number, route in enumerate(content, start=1)]
            case _ if name == "route":
                reasons.append(f"{file}: route: each route begins with a line [[route]], in double brackets")
            case _ if name in SECTIONS:
                reasons.append(f"{file}: {name}: is a section and begins with a line [{name}]")
            case dict() | list():
                reasons.append(
                    f"{file}: [{name}]: unknown section{hint(HEADINGS.get(nearest(name, KEYS), ''))}"
                )
            case _:
                reasons.append(f"{file}: {name}: {unknown_key(name, HEADINGS.values())}")
    return found, reasons


def _route(file: str, number: int, values: dict[str, object]) -> RawSection:
    name = values.get("name")
    table = RawSection(f"route {quoted(name)}:" if isinstance(name, str) else f"route number {number}:", file)
    table.update(values, file)
    return table


def _env_file(path: str) -> tuple[dict[str, str], list[str]]:
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{path}: cannot be read: {error}"]
    values = {}
    reasons = []
    for binding in bindings:
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
        elif binding.error or (binding.key or "").startswith(VARIABLES.prefix):
            found = binding.original.string
            line = binding.original.line + found.count("\n", 0, len(found) - len(found.lstrip()))
            reasons.append(f"{path}: line {line}: must be NAME=value")
    return values, reasons


def _place(tables: RawConfig, setting: Setting) -> Iterator[str]:
    section, route, key = setting.parts()
    if key and section in tables.sections:
        tables.sections[section].given[key] = setting.given
    elif key and section == "route":
        candidates = _candidates(tables, setting, route)
        if len(candidates) == 1:
            candidates[0].given[key] = setting.given
        else:
            yield setting.complaint(_undecided(tables, candidates, setting))
    else:
        compose = setting.dialect.compose
        known = [compose(name, key) for name, keys in KEYS.items() for key in keys]
        yield setting.complaint(f"unknown{hint(nearest(setting.name, known))}")


def _candidates(tables: RawConfig, setting: Setting, route: str) -> list[RawSection]:
    spell = setting.dialect.spell
    if route:
        return [table for table in tables.routes if spell(table.name) == spell(route)]
    if not tables.routes:
        name = RawValue("default", setting.given.origin)
        tables.routes = [RawSection('route "default":', setting.given.origin, {"name": name})]
    return tables.routes


def _undecided(tables: RawConfig, candidates: list[RawSection], setting: Setting) -> str:
    _, route, key = setting.parts()
    dialect = setting.dialect
    if not candidates:
        names = [dialect.spell(table.name) for table in tables.routes]
        return f"no route is called {route}{hint(nearest(route, names))}"
    if route:
        names = [quoted(table.name) for table in candidates]
        return f"could mean each of the routes {' and '.join(names)}: rename one"
    each = " or ".join(dialect.compose("route", table.name, key) for table in candidates if table.name)
    return f"there are {len(candidates)} routes; say which one: {each}"
