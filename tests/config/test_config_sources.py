from pathlib import Path

import pytest

from agent.model.storage import BandwidthStep
from tests.config.configs import MOV, ROUTE, config_of, reasons_of


def test_command_line_beats_environment_beats_env_file_beats_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "export AGENT_LOG__KEEP='2'\nAGENT_WEB__BIND=127.0.0.1:2 # two\nOTHER=x\nLONE\n"
    )
    text = f'[log]\nkeep = 1\n[web]\nbind = "127.0.0.1:1"\n{ROUTE}'
    assert (config_of(tmp_path, text).log.keep, config_of(tmp_path, text).web.port) == (2, 2)
    environ = {"AGENT_LOG__KEEP": "3", "PATH": "/bin"}
    config = config_of(tmp_path, text, environ)
    assert (config.log.keep, config.web.port) == (3, 2)
    config = config_of(tmp_path, text, environ, {"log.keep": "4", "web.bind": "127.0.0.1:4"})
    assert (config.log.keep, config.web.port) == (4, 4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("A=1\nAGENT_LOG__KEEP\n", "{}: line 2: must be NAME=value"),
        ("\nA='1\n", "{}: line 2: must be NAME=value"),
        (
            "AGENT_LOG__KEEP=x",
            '{} AGENT_LOG__KEEP: [log] keep: must be a whole number from 1 to 1000, not "x"',
        ),
    ],
)
def test_a_fault_in_the_env_file_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / ".env").write_text(content)
    assert reasons_of(tmp_path, ROUTE) == [reason.format(tmp_path / ".env")]


def test_an_unreadable_env_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (reason,) = reasons_of(tmp_path, ROUTE)
    assert reason.startswith(f"{tmp_path}/.env: cannot be read: ")


VALUES = [
    ("STABLE", "90", "stable_s", 90.0),
    ("STABLE", "1m", "stable_s", 60.0),
    ("STABLE_CLOSED", "", "stable_closed_s", None),
    ("LOW_SPACE", "1024", "low_space_bytes", 1024),
    ("WORKERS", "3", "workers", 3),
    ("PRIORITY", "-3", "priority", -3),
    ("GROWING", "true", "growing", True),
    ("GROWING", "false", "growing", False),
    ("INCLUDE", "", "include", ()),
    ("INCLUDE", "*.mxf, *.mov,", "include", ("*.mxf", "*.mov")),
    ("INCLUDE", "[ab]*,[c]", "include", ("[ab]*", "[c]")),
    ("INCLUDE", "*.{mxf,mov}, a", "include", ("*.{mxf,mov}", "a")),
    ("INCLUDE", "[]", "include", ()),
    ("INCLUDE", '["a,b", "\\ud83c\\udfac"]', "include", ("a,b", "🎬")),
    ("INCLUDE", "[ 'a', \"b\", ]", "include", ("a", "b")),
    ("BANDWIDTH", "50MB", "bandwidth", (BandwidthStep(0, 50_000_000),)),
    ("VERIFY", "size", "verify", "size"),
]


@pytest.mark.parametrize(("key", "text", "attribute", "value"), VALUES)
def test_a_variable_is_read_as_its_key_needs_it(
    tmp_path: Path, key: str, text: str, attribute: str, value: object
) -> None:
    (route,) = config_of(tmp_path, ROUTE, {f"AGENT_ROUTE__MXF__{key}": text}).routes
    assert getattr(route, attribute) == value
    assert type(getattr(route, attribute)) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("GROWING", "yes", 'must be true or false, not "yes"'),
        ("WORKERS", "1.5", 'must be a whole number from 1 to 64, not "1.5"'),
        ("INCLUDE", '["a", b]', "must be a list of texts"),
        ("INCLUDE", '["a", 1]', "must be a list of texts"),
        ("SATBLE", "1", "unknown key (did you mean stable?)"),
    ],
)
def test_a_fault_in_a_variable_is_named_with_the_variable(
    tmp_path: Path, key: str, text: str, reason: str
) -> None:
    (found,) = reasons_of(tmp_path, ROUTE, {f"AGENT_ROUTE__MXF__{key}": text})
    assert found.startswith(f'environment AGENT_ROUTE__MXF__{key}: route "mxf": {key.lower()}: {reason}')


def test_a_route_is_named_in_upper_case_with_underscores(tmp_path: Path) -> None:
    environ = {"AGENT_ROUTE__STUDIO_1__X__WORKERS": "7", "AGENT_ROUTE__MOV__WORKERS": "8"}
    text = ROUTE.replace('"mxf"', '"Studio-1.-x"') + MOV
    config = config_of(tmp_path, text, environ, {"route.studio-1.-x.priority": "9"})
    assert [(route.workers, route.priority) for route in config.routes] == [(7, 9), (8, 0)]


def test_the_only_route_needs_no_name(tmp_path: Path) -> None:
    (route,) = config_of(tmp_path, ROUTE, {"AGENT_ROUTE__WORKERS": "7"}, {"route.priority": "9"}).routes
    assert (route.name, route.workers, route.priority) == ("mxf", 7, 9)


def test_a_route_can_come_from_the_environment_alone(tmp_path: Path) -> None:
    environ = {
        "AGENT_ROUTE__SOURCE": "in",
        "AGENT_ROUTE__DESTINATION": "/nas",
        "AGENT_ROUTE__DEFAULT__SCAN": "1",
    }
    (route,) = config_of(tmp_path, "", environ).routes
    assert (route.name, route.source, route.destination, route.scan_s) == (
        "default",
        f"{tmp_path}/in",
        "/nas",
        1.0,
    )


UNPLACED = {
    "AGENT_WEP__BIND": "unknown (did you mean AGENT_WEB__BIND?)",
    "AGENT_ROUTE__MFX__SCAN": "no route is called MFX (did you mean MXF?)",
    "AGENT_ROUTE__QQ__SCAN": "no route is called QQ",
    "AGENT_ROUTE__A_B__SCAN": 'could mean each of the routes "a-b" and "a_b": rename one',
    "AGENT_ROUTE__SCAN": "there are 3 routes; say which one: "
    "AGENT_ROUTE__MXF__SCAN or AGENT_ROUTE__A_B__SCAN or AGENT_ROUTE__A_B__SCAN",
}


@pytest.mark.parametrize("variable", UNPLACED)
def test_a_variable_that_belongs_nowhere_is_refused(tmp_path: Path, variable: str) -> None:
    text = ROUTE + MOV.replace("mov", "a-b") + MOV.replace("mov", "a_b").replace("in2", "in3")
    (reason,) = reasons_of(tmp_path, text, {variable: "1"})
    assert reason.startswith(f"environment {variable}: {UNPLACED[variable]}")


def test_an_option_that_belongs_nowhere_is_refused(tmp_path: Path) -> None:
    assert reasons_of(tmp_path, ROUTE, {}, {"web.prot": "1", "wbe.bind": "1", "route.mfx.scan": "1"}) == [
        "command line wbe.bind: unknown (did you mean web.bind?)",
        "command line route.mfx.scan: no route is called mfx (did you mean mxf?)",
        "command line web.prot: [web] prot: unknown key (known here: bind, token_file)",
    ]


@pytest.mark.parametrize("name", ["AGENT_NAME", "AGENT_WEB", "AGENT_WEB_BIND", "AGENT_TOOLS", "AGENT_"])
def test_variables_of_other_programs_are_ignored(name: str, tmp_path: Path) -> None:
    """Build agents have such ones; ours have two underscores after the section."""
    (tmp_path / ".env").write_text(f"{name}=x\n")
    assert config_of(tmp_path, ROUTE, {name: "x"}) == config_of(tmp_path, ROUTE)
