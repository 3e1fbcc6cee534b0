"""Which rule keeps a path from being taken: a built-in exclude, or a key of its route."""

from collections.abc import Iterable, Sequence
from typing import cast

from attrs import frozen

from agent.model.built_in_excludes import excludes_path
from agent.model.names import compile_globs
from agent.model.text import as_unicode, is_inside
from agent.model.views import RouteView


@frozen
class Exclusion:
    """`route` does not take the file at this absolute path because of this rule, in words."""

    route: str
    file_path: str
    rule: str


def excluding_rule(
    path: str, include: Iterable[str], exclude: Iterable[str], source_marker: str | None
) -> str | None:
    """Return the rule, in words, by which a route does not take this relative path; None: it takes it."""
    if (built_in := excludes_path(path)) is not None:
        return f'the built-in exclude "{built_in}", which no include overrules'
    if path == source_marker:
        return "it is the source_marker of the route"
    if (glob := next((glob for glob in exclude if compile_globs((glob,))(path)), None)) is not None:
        return f'exclude "{glob}"'
    if (include := tuple(include)) and not compile_globs(include)(path):
        globs = ", ".join(f'"{glob}"' for glob in include)
        return f"no include matches it, of {globs}"
    return None


def exclusions(path: str, routes: Sequence[RouteView]) -> list[Exclusion]:
    """Return for each route that does not take this path by which rule; relative ones are of every source.

    U+FFFD stands for bytes that are not UTF-8, as on the page.
    """
    found = []
    for route in routes:
        source = as_unicode(route.source).rstrip("/")
        below = path
        if path.startswith("/"):
            if not is_inside(path, source):
                continue
            below = path.removeprefix(source)[1:]
        if below and (rule := _rule_of(route, below)) is not None:
            found.append(Exclusion(route.name, f"{source}/{below}", rule))
    return found


def _rule_of(route: RouteView, path: str) -> str | None:
    include, exclude = (cast("Iterable[str]", route.rules.get(key, ())) for key in ("include", "exclude"))
    return excluding_rule(path, include, exclude, cast("str | None", route.rules.get("source_marker")))
