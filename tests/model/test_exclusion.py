"""Which rule keeps a path from being taken."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.model.built_in_excludes import excludes_path
from agent.model.exclusion import Exclusion, excluding_rule, exclusions
from agent.model.names import file_filter
from tests.samples import FILE_NAMES, a_route_view

GLOBS = st.lists(st.sampled_from(["*.mxf", "*.{mov,wav}", "proxy/", "day1/**", "a*"]), max_size=3)
PATHS = st.lists(
    FILE_NAMES | st.sampled_from(["a.mxf", "b.MOV", "proxy", "day1", ".nfs1", "x.tmp"]), min_size=1
)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("day/a.mxf.TMP", 'the built-in exclude "*.tmp", which no include overrules'),
        (".Trashes/501/a.mxf", 'the built-in exclude ".Trashes", which no include overrules'),
        ("proxy/a.mxf", 'exclude "proxy/"'),
        ("a.mov", 'no include matches it, of "*.mxf", "*.{wav,aif}"'),
        ("card.mxf", "it is the source_marker of the route"),
        ("a.mxf", None),
    ],
)
def test_the_rule_is_named_in_words(path: str, rule: str | None) -> None:
    assert excluding_rule(path, ("*.mxf", "*.{wav,aif}"), ("*.bak", "proxy/"), "card.mxf") == rule


@given(PATHS.map("/".join), GLOBS, GLOBS)
def test_a_rule_is_named_for_exactly_what_scans_leave_out(
    path: str, include: list[str], exclude: list[str]
) -> None:
    taken = file_filter(include, exclude)(path) and not excludes_path(path)
    assert (excluding_rule(path, include, exclude, None) is None) is taken


def test_a_path_is_looked_for_in_every_source_that_it_may_be_in() -> None:
    routes = (
        evolve(a_route_view("mxf"), source="/one", rules={"include": ("*.mxf",)}),
        evolve(a_route_view("all"), source="/one/two"),
    )
    rule = 'the built-in exclude "*.tmp", which no include overrules'
    assert exclusions("/one/two/a.tmp", routes) == [
        Exclusion("mxf", "/one/two/a.tmp", rule),
        Exclusion("all", "/one/two/a.tmp", rule),
    ]
    assert exclusions("a.mov", routes) == [
        Exclusion("mxf", "/one/a.mov", 'no include matches it, of "*.mxf"')
    ]
    for elsewhere in ("/elsewhere/a.tmp", "/one", "/onea.tmp"):
        assert exclusions(elsewhere, routes) == []
