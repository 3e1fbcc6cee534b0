"""A configuration that cannot work is refused at the start, in clear lines, and nothing is changed."""

import pytest

from tests.system.agents import Agent


def refusal(agent: Agent) -> tuple[int, list[str]]:
    done = agent.run_command("run")
    return done.returncode, done.stderr.strip().splitlines()


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"stabel": "3s"}, "did you mean stable"),
        ({"source": "agent.toml"}, "not a folder"),
        ({"destination": "source/inside"}, "inside"),
        ({"source": "nas/inside"}, "contains"),
        ({"workers": "many"}, "workers"),
        ({"stable": 0}, "stable"),
    ],
)
def test_a_wrong_route_is_refused_and_nothing_is_touched(
    agent: Agent, route: dict[str, object], words: str
) -> None:
    agent.configure(**route)
    before = sorted(agent.home.rglob("*"))
    code, lines = refusal(agent)
    assert code == 2
    assert any(words in line for line in lines), lines
    assert sorted(agent.home.rglob("*")) == before


def test_a_second_agent_on_the_same_state_is_refused_in_one_line(agent: Agent) -> None:
    agent.start()
    code, [line] = refusal(agent)
    assert code == 1
    assert f"pid {agent.pid}" in line


def test_two_routes_that_form_a_cycle_are_refused(agent: Agent) -> None:
    back = {"name": "back", "source": "nas", "destination": "source"}
    agent.configure(back)
    code, lines = refusal(agent)
    assert code == 2
    assert any("mxf" in line and "back" in line for line in lines), lines
