import re
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.raw import ConfigError
from tests.config.configs import MOV, ROUTE, config_of, reasons_of

SINGLE = {
    "[agent]\nname = ''": '[agent] name: must be a line of text, not ""',
    "[agent]\nstate_dir = ''": '[agent] state_dir: must be a folder, not ""',
    "[agent]\nnmae = 1": "[agent] nmae: unknown key (did you mean name?)",
    "[agent]\nbind = 1": "[agent] bind: unknown key here (it belongs in [web])",
    "[agent]\nxyz = 1": "[agent] xyz: unknown key (known here: name, state_dir)",
    "[web]\nbind = 8080": '[web] bind: must be an address and a port such as "127.0.0.1:8080" or',
    "[web]\nbind = '::1:80'": "[web] bind: must be an address and a port",
    "[web]\nbind = ':80'": "[web] bind: must be an address and a port",
    "[web]\nbind = 'localhost:65536'": "[web] bind: must be an address and a port",
    "[web]\nbind = '[fe80:1]:80'": '[web] bind: "fe80:1" in brackets is not an IPv6 address',
    "[web]\nbind = '0.0.0.0:80'": '[web] bind: "0.0.0.0" is open to other machines: token_file is required',
    "[web]\nbind = 'nas:80'": '[web] bind: "nas" is open to other machines: token_file is required',
    "[log]\nlevel = 'warn'": '[log] level: must be "debug", "info", "warning" or "error", not "warn"',
    "[log]\nmax_size = 1023": "[log] max_size: must be from 1024 to 9223372036854775807 bytes, not 1023",
    "[log]\nmax_size = true": '[log] max_size: must be a size such as 8000000 (bytes) or "8MB", not true',
    "[log]\nmax_size = '1 Mb'": "[log] max_size: must be a size such as 8000000 (bytes),",
    "[log]\nmax_size = '9999999TiB'": "[log] max_size: must be 2^63 - 1 bytes at the most, not",
    "[log]\nkeep = 0": "[log] keep: must be a whole number from 1 to 1000, not 0",
    "[log]\nkeep = true": "[log] keep: must be a whole number from 1 to 1000, not true",
    "[log]\nkeep = '10'": '[log] keep: must be a whole number from 1 to 1000, not "10"',
    "[log]\nkeep = 1.0": "[log] keep: must be a whole number from 1 to 1000, not 1.0",
    "[uploads]\nroots = '/a'": '[uploads] roots: must be a list of texts such as ["a", "b"], not "/a"',
    "[uploads]\nroots = [1]": '[uploads] roots: must be a list of texts such as ["a", "b"], not a list',
    "[s3]\nregion = {}": "[s3] region: must be text in quotes, not a table",
    "[s3]\npath_style = 'true'": '[s3] path_style: must be true or false, not "true"',
    "[s3]\npath_style = 1": "[s3] path_style: must be true or false, not 1",
    "[s3]\npart_size = '4MiB'": "[s3] part_size: must be from 5242880 to 5368709120 bytes",
    "[s3]\nendpoint_url = 'https://me:pw@s3'": "[s3] endpoint_url: must be a URL such as",
    "[rout]\nname = 'a'": "[rout]: unknown section (did you mean [[route]]?)",
    "[[webs]]": "[webs]: unknown section (did you mean [web]?)",
    "[zzzzzz]": "[zzzzzz]: unknown section",
    "[[web]]": "web: is a section and begins with a line [web]",
}


@pytest.mark.parametrize("text", SINGLE)
def test_a_fault_outside_the_routes_is_named_with_section_key_and_reason(tmp_path: Path, text: str) -> None:
    (reason,) = reasons_of(tmp_path, f"{text}\n{ROUTE}")
    assert reason.startswith(SINGLE[text])


IN_ROUTE = {
    "include = '*.mxf'": 'include: must be a list of texts such as ["a", "b"], not "*.mxf"',
    "include = ['/a']": 'include: a glob is matched with the path below the source, so not "/a"',
    "exclude = ['']": 'exclude: a glob is matched with the path below the source, so not ""',
    "after = 'move'": 'after: must be "delete", "keep" or "archive:FOLDER", not "move"',
    "after = 'archive'": 'after: must be "delete", "keep" or "archive:FOLDER", not "archive"',
    "after = 'keep:x'": 'after: must be "delete", "keep" or "archive:FOLDER", not "keep:x"',
    "after = 1": "after: must be text in quotes, not 1",
    "stable = 0": "stable: must be 1 millisecond at least, not 0",
    "stable = '0.1ms'": 'stable: must be 1 millisecond at least, not "0.1ms"',
    "stable = -1": 'stable: must be a duration from 0 to 366 days such as 90 (seconds) or "90s", not -1',
    "stable = nan": "stable: must be a duration from 0 to 366 days",
    "stable = true": "stable: must be a duration from 0 to 366 days",
    "stable = []": "stable: must be a duration from 0 to 366 days",
    "stable = ''": 'stable: must be a duration such as 90 (seconds), "90s", "2m", "1h30m" or "250ms", not ""',
    "stable = '2 min'": "stable: must be a duration such as 90 (seconds),",
    "stable = '367d'": 'stable: must be 366 days at the most, not "367d"',
    "stable_closed = '121s'": "stable_closed: must not be longer than stable",
    "stable_seconds = 3": "stable_seconds: unknown key (did you mean stable?)",
    "archive = 'x'": "archive: unknown key",
    "growing = 'yes'": 'growing: must be true or false, not "yes"',
    "conflict = ['fail']": 'conflict: must be "rename" or "fail", not a list',
    "verify = 2024-01-01": 'verify: must be "read_back", "hash" or "size", not 2024-01-01',
    "workers = 65": "workers: must be a whole number from 1 to 64, not 65",
    "max_attempts = 0": "max_attempts: must be a whole number from 1 to 1000, not 0",
    "marker = '/mnt/x'": 'marker: must be the name of a file in the folder, not "/mnt/x"',
    "marker = '../x'": 'marker: must be the name of a file in the folder, not "../x"',
    "bandwidth = 0": "bandwidth: must not be 0; to stop a route, pause it, not 0",
    "bandwidth = '8:00,1MB'": 'bandwidth: must be a rate such as "50MB", or a timetable such as',
    "bandwidth = '08:00,1MB 08:00,2MB'": "bandwidth: must not name the same time twice",
    "bandwidth = 1.5": "bandwidth: must be text in quotes, not 1.5",
}


@pytest.mark.parametrize("line", IN_ROUTE)
def test_a_fault_in_a_route_is_named_with_route_key_and_reason(tmp_path: Path, line: str) -> None:
    (reason,) = reasons_of(tmp_path, f"{ROUTE}{line}")
    assert reason.startswith(f'route "mxf": {IN_ROUTE[line]}')


PLACES = {
    ("source", "s3://bucket"): "must be a folder (mount it first), not",
    ("source", r"a\u0000b"): "must be a folder, not",
    ("source", "~nobody-here/in"): "names no known home folder",
    ("destination", "smb://nas/in"): 'must be a folder (mount it first), not "smb://nas/in"',
    ("destination", "s3://B/x"): 'must be "s3://bucket/prefix" with a valid bucket name, not "s3://B/x"',
    ("destination", "in"): "is the source itself",
    ("destination", "in/../in/x"): "lies inside the source: what arrives there would be picked up again",
    ("destination", "."): "contains the source: what arrives there could be picked up again",
    ("name", "a b"): 'must be letters, digits, "_", "." and "-", beginning with a letter or digit, not "a b"',
}


@pytest.mark.parametrize(("key", "value"), PLACES)
def test_a_path_or_url_that_cannot_be_used_is_refused(tmp_path: Path, key: str, value: str) -> None:
    reasons = reasons_of(
        tmp_path,
        "[agent]\nstate_dir = '/elsewhere'\n"
        + re.sub(f'{key} = ".*"', lambda _: f'{key} = "{value}"', ROUTE),
    )
    assert f" {key}: " in reasons[0]
    assert PLACES[key, value] in reasons[0]


def test_every_fault_of_a_file_is_reported_in_one_pass(tmp_path: Path) -> None:
    log = '[log]\nkeep = 0\nlevel = "x"\n'
    text = f'bind = "x"\n{log}{ROUTE}workers = 0\nscan = 0\narchive = 1\n{MOV}priority = "1"'
    assert [re.split(": (?:must|unknown)", reason)[0] for reason in reasons_of(tmp_path, text)] == [
        "bind",
        "[log] level",
        "[log] keep",
        'route "mxf": scan',
        'route "mxf": workers',
        'route "mxf": archive',
        'route "mov": priority',
    ]


def test_a_long_value_is_shortened_and_a_strange_key_stays_on_one_line(tmp_path: Path) -> None:
    (reason,) = reasons_of(tmp_path, f'{ROUTE}"a\\nb" = 1')
    assert reason.startswith('route "mxf": a\\nb: unknown key')
    (reason,) = reasons_of(tmp_path, f"{ROUTE}after = '{'x' * 100}'")
    assert reason.endswith(f'not "{"x" * 59}…')


def test_the_sections_of_a_route_need_double_brackets(tmp_path: Path) -> None:
    assert "route: each route begins with a line [[route]], in double brackets" in reasons_of(
        tmp_path, '[route]\nname = "a"'
    )


@pytest.mark.parametrize("text", ["", "route = []", "[agent]"])
def test_a_file_without_a_route_is_refused(tmp_path: Path, text: str) -> None:
    assert reasons_of(tmp_path, text) == ["there is no [[route]], so there is nothing to do"]


def test_a_missing_key_of_a_route_is_named(tmp_path: Path) -> None:
    reasons = reasons_of(tmp_path, '[[route]]\nname = 1\n[[route]]\nsource = "in"')
    assert reasons == [
        "route number 1: name: must be text in quotes, not 1",
        "route number 1: source: is missing",
        "route number 1: destination: is missing",
        "route number 2: name: is missing",
        "route number 2: destination: is missing",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[agent\n", "not valid TOML: "),
        (b'[agent]\nname = "a\n', "line 2"),
        (b"[agent]\n\n# caf\xe9", "line 3 is not UTF-8 text"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_its_line(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(str(file))) as caught:
        load(str(file), {})
    assert reason in caught.value.reasons[0]


def test_a_file_that_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; --config names another"):
        load(str(tmp_path / "none.toml"), {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(str(tmp_path), {})


def test_an_editors_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"\xef\xbb\xbf" + ROUTE.replace("\n", "\r\n").encode())
    assert load(str(file), {}).routes[0].name == "mxf"


def test_a_relative_configuration_path_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, ROUTE)
    monkeypatch.chdir(tmp_path)
    assert load("./agent.toml", {}) == config
