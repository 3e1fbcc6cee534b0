"""The effective configuration as text: TOML with the keys of the file, secrets masked."""

import attrs

from agent.config.sections import Config, Route, WebSection
from agent.config.structure import SECTIONS, key_of
from agent.config.units import format_bandwidth, format_duration, format_size
from agent.config.value_parsers import quoted
from agent.model.built_in_excludes import BUILT_IN_EXCLUDES

MASK = "********"


def masked(config: Config) -> str:
    """The effective configuration. Without a token, loading the text gives the same configuration."""
    sections = [f"[{name}]\n{_lines(getattr(config, name))}" for name in SECTIONS]
    routes = [f"[[route]]\n{_lines(route)}" for route in config.routes]
    built_in = f"# Excluded on every route: {' '.join(map(quoted, BUILT_IN_EXCLUDES))}"
    return "\n\n".join([f"# {quoted(config.path)}", *sections, *routes, built_in]) + "\n"


def _lines(section: attrs.AttrsInstance) -> str:
    texts = {}
    for attribute in attrs.fields(type(section)):
        texts[key_of(attribute)] = _toml(attribute.name, getattr(section, attribute.name))
    texts |= _combined_keys(section)
    return "\n".join(f"{key} = {text}" for key, text in texts.items())


def _combined_keys(section: attrs.AttrsInstance) -> dict[str, str]:
    """The keys that are made of several attributes."""
    match section:
        case WebSection(host=host, port=port, token=token):
            bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return {"bind": quoted(bind), "token_file": quoted(MASK if token else "")}
        case Route(after=after, archive=archive):
            return {"after": quoted(f"{after}:{archive}" if archive else after)}
        case _:
            return {}


def _toml(name: str, value: object) -> str:
    match value:
        case tuple() if name == "bandwidth":
            return quoted(format_bandwidth(value))
        case tuple():
            return f"[{', '.join(map(quoted, value))}]"
        case float():
            return quoted(format_duration(value))
        case int() if name.endswith("_bytes"):
            return quoted(format_size(value))
        case int():
            return str(value).lower()  # a bool is an int
        case _:
            return quoted(str(value or ""))
