import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.configs import MOV, ROUTE, config_of, reasons_of, routes


def test_two_routes_may_not_share_a_name_in_any_case(tmp_path: Path) -> None:
    assert reasons_of(tmp_path, ROUTE + MOV.replace("mov", "MXF")) == [
        'route "MXF": name: another route has this name (upper and lower case count as the same)'
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (routes(("x", "y"), ("y", "x")), '"a" and "b"'),
        (routes(("x", "y/1"), ("y", "z"), ("z/2", "x/3")), '"a" and "b" and "c"'),
        (routes(("q", "x"), ("x", "y"), ("y", "z"), ("z", "x")), '"b" and "c" and "d"'),
        (
            routes(("x", "y"), ("y", "z")).replace('"y"\n', '"y"\nafter = "keep"\n', 1)
            + 'after = "archive:x"',
            '"a" and "b"',
        ),
    ],
)
def test_routes_that_feed_each_other_in_a_cycle_are_refused(tmp_path: Path, text: str, names: str) -> None:
    (reason,) = reasons_of(tmp_path, text)
    assert f"routes {names} form a cycle: the next one picks up what one delivers" in reason


def test_routes_may_form_a_chain_a_fan_and_a_diamond(tmp_path: Path) -> None:
    text = routes(("x", "y"), ("y", "z"), ("y", "w"), ("z", "v"), ("w", "v"))
    for fanned in "zw":
        text = text.replace(f'destination = "{fanned}"', f'destination = "{fanned}"\nafter = "keep"')
    assert len(config_of(tmp_path, text).routes) == 5


def two_routes(first: str, second: str, below: str = "") -> str:
    return f"{ROUTE}{first}\n{MOV.replace('in2', f'in{below}')}{second}\n"


@pytest.mark.parametrize(
    ("first", "second", "below"),
    [
        ("", "", ""),
        ("", "", "/cards"),
        ("include = ['*.mxf']", "", ""),
        ("include = ['*.mxf', '*.xml']", "include = ['*.MXF']", ""),
        ("include = ['*.{mxf,mov}']", "include = ['day1/**/*.mov']", ""),
        ("include = ['day1/*.mxf']", "include = ['day1/*.mxf']", ""),
        ("include = ['day1/*.mxf']", "include = ['day2/*.mxf']", "/day1"),
        ("include = ['temp/']", "include = ['*.mxf']", ""),
        ("after = 'keep'", "", ""),
        ("exclude = ['*.mov']", "include = ['*.mov', '*.wav']", ""),
        ("exclude = ['card/']", "", "/cards"),
    ],
)
def test_routes_that_take_files_from_each_other_are_refused_in_one_line(
    first: str, second: str, below: str, tmp_path: Path
) -> None:
    (reason,) = reasons_of(tmp_path, two_routes(first, second, below))
    assert reason.startswith(
        f'route "mov": source: "{tmp_path}/in{below}" overlaps the source of route "mxf"'
    )
    assert "each would get some of the files" in reason


@pytest.mark.parametrize(
    ("first", "second", "below"),
    [
        ("include = ['*.mxf']", "include = ['*.mov']", ""),
        ("include = ['*.{mxf,xml}']", "include = ['*.MOV', 'b.wav']", "/cards"),
        ("include = ['day1/**']", "include = ['day2/**']", ""),
        ("after = 'keep'", "after = 'keep'", ""),
        ("exclude = ['*.mov', '*.wav']", "include = ['*.mov']", ""),
        ("exclude = ['cards/']", "", "/cards"),
    ],
)
def test_routes_may_share_a_source_where_they_plainly_take_different_files_or_keep_all(
    first: str, second: str, below: str, tmp_path: Path
) -> None:
    assert len(config_of(tmp_path, two_routes(first, second, below)).routes) == 2


def test_a_shared_source_is_seen_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in2").symlink_to("in")
    (reason,) = reasons_of(tmp_path, ROUTE + MOV)
    assert "overlaps the source of route" in reason


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("in/done", "lies inside the source"),
        ("in", "is the source itself"),
        ("out/done", "lies inside the destination"),
        ("out", "lies inside the destination"),
    ],
)
def test_an_archive_inside_source_or_destination_is_refused(tmp_path: Path, folder: str, reason: str) -> None:
    (found,) = reasons_of(tmp_path, f'{ROUTE}after = "archive:{folder}"')
    assert found.startswith('route "mxf": after: ')
    assert reason in found


def test_an_archive_that_leads_into_the_source_by_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    (found,) = reasons_of(tmp_path, f'{ROUTE}after = "archive:link/done"')
    assert found.startswith('route "mxf": after: ')
    assert "lies inside the source" in found


@pytest.mark.parametrize("folder", ["taken", "taken/by/month"])
def test_an_archive_whose_place_is_taken_by_a_file_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "taken").touch()
    assert reasons_of(tmp_path, f'{ROUTE}after = "archive:{folder}"') == [
        f'route "mxf": after: "{tmp_path}/taken" exists and is not a folder'
    ]


@pytest.mark.parametrize("folder", ["in2", "in2/done"])
def test_an_archive_in_the_source_of_a_route_that_would_take_its_files_away_is_refused(
    tmp_path: Path, folder: str
) -> None:
    text = f'{ROUTE}after = "archive:{folder}"\n{MOV}'
    assert reasons_of(tmp_path, text) == [
        f'route "mxf": after: "{tmp_path}/{folder}" lies inside the source of route "mov", which empties it'
    ]
    assert len(config_of(tmp_path, f'{text}\nafter = "keep"').routes) == 2


EMPTYING = ROUTE + "remove_empty_folders = true\n"


@pytest.mark.parametrize(
    ("folders", "key"),
    [
        ('source = "in/sub"\ndestination = "out2"\nafter = "keep"\ninclude = ["*.mov"]\n', "source"),
        ('source = "in2"\ndestination = "in/sub"\n', "destination"),
    ],
)
def test_a_folder_of_another_route_is_not_one_that_may_be_removed_when_it_is_empty(
    tmp_path: Path, folders: str, key: str
) -> None:
    other = f'[[route]]\nname = "mov"\n{folders}'
    emptying = EMPTYING.replace('name = "mxf"', 'name = "mxf"\ninclude = ["*.mxf"]')
    reason = f'the {key} of route "mov" lies in the source, and would be removed when empty'
    assert reasons_of(tmp_path, emptying + other) == [f'route "mxf": remove_empty_folders: {reason}']
    assert len(config_of(tmp_path, emptying.replace("true", "false") + other).routes) == 2


def test_routes_with_one_source_or_in_a_chain_may_remove_empty_folders(tmp_path: Path) -> None:
    chain = EMPTYING + '[[route]]\nname = "next"\nsource = "out"\ndestination = "end"\n'
    assert len(config_of(tmp_path, chain + "remove_empty_folders = true\n").routes) == 2


def test_a_source_behind_a_symbolic_link_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "in").symlink_to("real")
    (reason,) = reasons_of(tmp_path, ROUTE.replace('"out"', '"real/out"'))
    assert "lies inside the source" in reason
    (reason,) = reasons_of(tmp_path, ROUTE.replace('"out"', '"in/out"'))
    assert "lies inside the source" in reason


def test_a_source_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    assert reasons_of(tmp_path, ROUTE) == [f'route "mxf": source: "{tmp_path}/in" exists and is not a folder']


def test_a_destination_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("stat", "lstat", "open", "readlink", "scandir"):
        real: Callable[..., Any] = getattr(os, name)

        def spy(path: object, *args: Any, real: Callable[..., Any] = real, **more: Any) -> Any:  # noqa: ANN401
            asked.append(str(path))
            return real(path, *args, **more)

        monkeypatch.setattr(os, name, spy)
    config_of(tmp_path, ROUTE.replace('"out"', '"/mnt/nas/out"') + MOV)
    assert asked
    assert not [path for path in asked if path.startswith("/mnt")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "[agent]\nstate_dir = 'in/state'",
            '[agent] state_dir: "{}/in/state" lies inside the source of route "mxf"',
        ),
        (
            "[agent]\nstate_dir = 'out'",
            '[agent] state_dir: "{}/out" lies inside the destination of route "mxf"',
        ),
        (
            "[log]\nfile = 'in/agent.log'",
            '[log] file: "{}/in/agent.log" lies inside the source of route "mxf": it would be delivered',
        ),
    ],
)
def test_the_agents_own_files_are_kept_out_of_the_media(tmp_path: Path, text: str, reason: str) -> None:
    assert reasons_of(tmp_path, f"{text}\n{ROUTE}") == [reason.format(tmp_path)]


def test_the_configuration_file_must_not_be_inside_a_source(tmp_path: Path) -> None:
    (reason,) = reasons_of(tmp_path, "[agent]\nstate_dir = '/elsewhere'\n" + routes((".", "/nas")))
    where = f'"{tmp_path}/agent.toml" lies inside the source of route "a"'
    assert reason == f'route "a": source: {where}: it would be delivered'


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost", "LOCALHOST"])
def test_the_loopback_needs_no_token(tmp_path: Path, host: str) -> None:
    assert config_of(tmp_path, f'[web]\nbind = "{host}:80"\n{ROUTE}').web.loopback


def test_an_open_address_is_fine_with_a_token(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  " + "t" * 4096 + "\n")
    web = config_of(tmp_path, f'[web]\nbind = "nas.example.com:80"\ntoken_file = "secret"\n{ROUTE}').web
    assert (web.loopback, web.token) == (False, "t" * 4096)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "holds nothing"),
        (" \n", "holds nothing"),
        ("two words", "holds other than one word of ASCII, 4096 characters at most"),
        ("schlüssel", "holds other than one word of ASCII, 4096 characters at most"),
        ("t" * 4097, "holds other than one word of ASCII, 4096 characters at most"),
    ],
)
def test_a_token_file_without_a_token_is_refused_and_its_content_not_shown(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    reasons = reasons_of(tmp_path, f'[web]\nbind = "0.0.0.0:80"\ntoken_file = "secret"\n{ROUTE}')
    assert reasons == [f"[web] token_file: names a file that {reason}"]


def test_a_token_file_that_is_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "secret")
    assert reasons_of(tmp_path, f'[web]\ntoken_file = "secret"\n{ROUTE}') == [
        "[web] token_file: must name a file"
    ]
