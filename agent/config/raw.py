"""The raw configuration: sections of values as they were found, each with its origin, before any check."""

import difflib
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from agent.model.text import on_one_line


class ConfigError(Exception):
    """The configuration cannot be used. `reasons`: one line for each fault, with origin, key and reason."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = tuple(map(on_one_line, reasons))
        super().__init__("\n".join(self.reasons))


@frozen
class RawValue:
    """A value as it was found; `origin` names the file, the variable or the option."""

    value: object
    origin: str


@define
class RawSection:
    """One section, or one route.

    `label` is its name in error lines; `origin` is used for keys that are missing.
    """

    label: str
    origin: str
    raw_values: dict[str, RawValue] = field(factory=dict)

    @property
    def name(self) -> str:
        """A route's name; empty if it has none."""
        return str(self.raw_values["name"].value) if "name" in self.raw_values else ""

    def update(self, values: Mapping[str, object], origin: str) -> None:
        self.raw_values |= {key: RawValue(value, origin) for key, value in values.items()}

    def values(self) -> dict[str, object]:
        return {key: raw.value for key, raw in self.raw_values.items()}

    def error(self, key: str, reason: str) -> str:
        """One error line: origin, section and key, reason."""
        origin = self.raw_values[key].origin if key in self.raw_values else self.origin
        return f"{origin}: {self.label} {key}: {reason}"


@define
class RawConfig:
    """Every section, found or not, and every route."""

    sections: dict[str, RawSection]
    routes: list[RawSection]


def nearest(word: str, words: Iterable[str]) -> str:
    """The known word most similar to `word`; empty if none is similar.

    A known word plus a suffix such as a unit comes first: "stable_seconds" means "stable", not
    "stable_closed".
    """
    known = sorted(words, key=len, reverse=True)
    prefixes = [candidate for candidate in known if word.startswith(f"{candidate}_")]
    near = prefixes or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return near[0] if near else ""


def hint(word: str) -> str:
    return f" (did you mean {word}?)" if word else ""
