"""Collects values from the file, the `.env` beside it, the environment and the command line; later ones win.

Formats: TOML 1.0; for `.env` that of python-dotenv, without interpolation.
"""

import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

from agent.config.raw import ConfigError, RawConfig, RawSection, RawValue, hint, nearest
from agent.config.structure import HEADINGS, KEYS, SECTIONS, unknown_key
from agent.config.value_parsers import Text, quoted


@frozen
class NameSyntax:
    """The name of a key outside the file: `prefix` SECTION `separator` [ROUTE `separator`] KEY."""

    prefix: str
    separator: str
    normalize: Callable[[str], str]

    def is_ours(self, name: str) -> bool:
        """Other programs have variables such as AGENT_NAME; ours have a separator after the section."""
        return name.startswith(self.prefix) and self.separator in name.removeprefix(self.prefix)

    def compose(self, *parts: str) -> str:
        return self.prefix + self.separator.join(self.normalize(part) for part in parts)


VARIABLES = NameSyntax("AGENT_", "__", lambda name: re.sub("[^A-Z0-9]", "_", name.upper()))
OPTIONS = NameSyntax("", ".", str.lower)


@frozen
class Override:
    """One value from the environment, `.env` or the command line."""

    syntax: NameSyntax
    name: str
    raw: RawValue

    def parts(self) -> tuple[str, str, str]:
        """Section, route and key; the route is empty in other sections and for the only route."""
        body = self.name.removeprefix(self.syntax.prefix)
        section, _, rest = body.partition(self.syntax.separator)
        if section.lower() != "route":
            return section.lower(), "", rest.lower()
        route, _, key = rest.rpartition(self.syntax.separator)
        return "route", route, key.lower()

    def error(self, reason: str) -> str:
        return f"{self.raw.origin}: {reason}"


def gather(
    file: str, environ: Mapping[str, str], overrides: Mapping[str, str]
) -> tuple[RawConfig, list[str]]:
    """Every section with its effective values, and an error line for each value that belongs nowhere.

    Raises:
        ConfigError: the file is missing, unreadable or not TOML.
    """
    document = _document(file)
    config, reasons = _from_document(file, document)
    env_file = str(Path(file).parent / ".env")
    from_file, faults = _env_file(env_file)
    reasons += faults
    from_file = {name: text for name, text in from_file.items() if name not in environ}
    for syntax, source, values in (
        (VARIABLES, env_file, from_file),
        (VARIABLES, "environment", environ),
        (OPTIONS, "command line", overrides),
    ):
        for name, text in values.items():
            if syntax.is_ours(name):
                reasons += _apply(config, Override(syntax, name, RawValue(Text(text), f"{source} {name}")))
    if not config.routes and not document.get("route"):
        reasons.append(f"{file}: there is no [[route]], so there is nothing to do")
    return config, reasons


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


def _from_document(file: str, document: dict[str, object]) -> tuple[RawConfig, list[str]]:
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
    section = RawSection(
        f"route {quoted(name)}:" if isinstance(name, str) else f"route number {number}:", file
    )
    section.update(values, file)
    return section


def _env_file(path: str) -> tuple[dict[str, str], list[str]]:
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            from dotenv.parser import parse_stream  # noqa: PLC0415  a tenth of a verb's start, and few have the file

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


def _apply(config: RawConfig, override: Override) -> Iterator[str]:
    section, route, key = override.parts()
    if key and section in config.sections:
        config.sections[section].raw_values[key] = override.raw
    elif key and section == "route":
        candidates = _candidates(config, override, route)
        if len(candidates) == 1:
            candidates[0].raw_values[key] = override.raw
        else:
            yield override.error(_why_not_one(config, candidates, override))
    else:
        compose = override.syntax.compose
        known = [compose(name, key) for name, keys in KEYS.items() for key in keys]
        yield override.error(f"unknown{hint(nearest(override.name, known))}")


def _candidates(config: RawConfig, override: Override, route: str) -> list[RawSection]:
    normalize = override.syntax.normalize
    if route:
        return [section for section in config.routes if normalize(section.name) == normalize(route)]
    if not config.routes:
        name = RawValue("default", override.raw.origin)
        config.routes = [RawSection('route "default":', override.raw.origin, {"name": name})]
    return config.routes


def _why_not_one(config: RawConfig, candidates: list[RawSection], override: Override) -> str:
    _, route, key = override.parts()
    syntax = override.syntax
    if not candidates:
        names = [syntax.normalize(section.name) for section in config.routes]
        return f"no route is called {route}{hint(nearest(route, names))}"
    if route:
        names = [quoted(section.name) for section in candidates]
        return f"could mean each of the routes {' and '.join(names)}: rename one"
    each = " or ".join(syntax.compose("route", section.name, key) for section in candidates if section.name)
    return f"there are {len(candidates)} routes; say which one: {each}"
