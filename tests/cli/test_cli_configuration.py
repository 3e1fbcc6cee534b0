"""The command line before any agent is asked: usage, configuration, version."""

import io
import runpy
import sys
from pathlib import Path

import pytest

from agent import __version__
from agent.cli import main
from tests.cli.cli_agents import as_program, configured, invoke, output_of


@pytest.mark.parametrize(
    "words", [["bogus"], ["run", "--bogus"], ["explain"], ["cancel"], ["pause"], [], ["retry", "-x"]]
)
def test_a_mistyped_command_line_is_a_usage_error(words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["run", "-h"], ["health", "--help"]])
def test_help_is_no_error_and_needs_no_configuration(words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    "verb", ["run", "check-config", "status", "files", "history", "watch", "pause x", "cancel x"]
)
def test_without_a_configuration_file_every_verb_says_so_in_a_line(verb: str, tmp_path: Path) -> None:
    result = invoke("-c", str(tmp_path / "none.toml"), *verb.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"{tmp_path}/none.toml: there is no such file; --config names another\n"


def test_a_bad_key_is_named_with_its_file_reason_and_nearest_match(tmp_path: Path) -> None:
    route = {"name": "mxf", "source": "in", "destination": "out", "stabel": "3s"}
    result = invoke("-c", configured(tmp_path, route), "check-config")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f'{tmp_path}/agent.toml: route "mxf": stabel: unknown key (did you mean stable?)\n'
    )


def test_every_bad_value_has_a_line_of_its_own(tmp_path: Path) -> None:
    config = configured(
        tmp_path, {"name": "mxf", "source": "in", "destination": "out", "scan": "soon", "verify": "no"}
    )
    lines = invoke("-c", config, "run").stderr.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["scan", "verify"]


def test_check_config_prints_what_takes_effect_and_masks_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    config = configured(tmp_path, head='token_file = "token"')
    shown = output_of("-c", config, "check-config")
    assert 'source = "' + str(tmp_path / "in") in shown
    assert 'token_file = "********"' in shown
    assert "s3cret" not in shown
    assert sorted(tmp_path.iterdir()) == [tmp_path / "agent.toml", tmp_path / "token"]


def test_check_config_cannot_drive_the_terminal(tmp_path: Path) -> None:
    route = {"name": "mxf", "source": "in\x9b31m", "destination": "out"}
    assert "in\\x9b31m" in output_of("-c", configured(tmp_path, route), "check-config")


def test_the_configuration_may_be_named_before_the_verb_or_after_it(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert output_of("-c", config, "check-config") == output_of("check-config", "--config", config)
    assert output_of("-c", "elsewhere", "check-config", "-c", config) == output_of(
        "check-config", "-c", config
    )


def test_the_default_is_agent_toml_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert output_of("check-config").startswith(f'# "{tmp_path}/agent.toml"')


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    result = invoke("-c", configured(tmp_path), "check-config", env={"AGENT_LOG__LEVEL": "debug"})
    assert 'level = "debug"' in result.stdout


@pytest.mark.parametrize(("flag", "bad"), [("--bind", "nowhere"), ("--log-level", "loud")])
def test_a_flag_is_checked_like_the_key_it_stands_for(flag: str, bad: str, tmp_path: Path) -> None:
    result = invoke("-c", configured(tmp_path), "run", flag, bad)
    assert result.exit_code == 2
    assert result.stderr.startswith("command line ")
    assert f'not "{bad}"' in result.stderr


def test_version_names_the_program() -> None:
    assert output_of("--version") == f"transfer-agent, version {__version__}\n"


def test_the_module_is_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["transfer-agent", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("agent", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"transfer-agent, version {__version__}\n"


def test_a_terminal_that_lacks_a_character_shows_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.BytesIO()
    config = configured(tmp_path, {"name": "mxf", "source": "\u03b1", "destination": "out"})
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="latin-1"))
    monkeypatch.setattr(sys, "argv", ["transfer-agent", "-c", config, "check-config"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert b"\\u03b1" in screen.getvalue()


def test_standard_output_may_be_anything_that_takes_text(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "argv", ["transfer-agent", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert __version__ in screen.getvalue()


def test_as_a_program_reasons_go_to_standard_error_and_the_code_to_the_shell(tmp_path: Path) -> None:
    ended = as_program("-c", str(tmp_path / "none.toml"), "run")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
