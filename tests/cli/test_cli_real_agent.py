"""The verbs and a real agent: what is typed happens, whatever a file is called."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.cli.cli_agents import ROUTE, configured, invoke, output_of, running, wait_until

LATE = "é\x1b"


@frozen
class Real:
    """A real agent: `mxf` delivers at once, `late` is paused."""

    home: Path
    config: str

    def status(self, path: str) -> str:
        """The status of a file, empty if it is not tracked."""
        result = invoke("-c", self.config, "explain", "--json", path)
        return str(json.loads(result.stdout)["status"]) if result.exit_code == 0 else ""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    home = tmp_path_factory.mktemp("real")
    for name in ("in", "out", "late", "out2"):
        (home / name).mkdir()
    (home / "token").write_text("s3cret")
    late = ROUTE | {"name": "late", "source": "late", "destination": "out2"}
    config = configured(home, ROUTE, late, head='token_file = "token"')
    with running(config):
        output_of("-c", config, "pause", "late")
        yield Real(home, config)


def test_a_real_agent_tells_what_it_did(real: Real) -> None:
    (real.home / "in" / LATE).write_bytes(b"x" * 5000)
    wait_until(lambda: real.status(LATE) == "Completed")
    shown = f"{real.home}/in/é\\x1b"
    assert f"Completed  100.0 %    4.9 KiB  {shown}\n" in output_of("-c", real.config, "files")
    assert f" delivered {shown} -> {real.home}/out/é\\x1b\n" in output_of(
        "-c", real.config, "history", "--route", "mxf"
    )
    assert "mxf: ok; 1 Completed\n" in output_of("-c", real.config, "status")
    assert set(json.loads(output_of("-c", real.config, "status", "--json"))) >= {"pendingFiles", "routes"}


def test_a_real_agent_obeys_pause_and_resume(real: Real) -> None:
    output_of("-c", real.config, "pause", "mxf")
    wait_until(lambda: "mxf: paused, ok" in output_of("-c", real.config, "status"))
    output_of("-c", real.config, "resume", "mxf")
    wait_until(lambda: "mxf: ok" in output_of("-c", real.config, "status"))
    result = invoke("-c", real.config, "pause", "nope")
    assert (result.exit_code, result.stderr) == (1, "no route is named 'nope'\n")


@pytest.mark.skipif(sys.platform == "darwin", reason="APFS takes no names that are not UTF-8")
@pytest.mark.parametrize("how", ["below", "absolute", "here"])
def test_a_file_with_any_name_can_be_cancelled_and_retried(
    how: str, real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.fsdecode(f"day {how} ".encode() + b"\xe2\x82.mxf")  # the start of a character, and then none
    (real.home / "late" / name).write_bytes(b"x")
    monkeypatch.chdir(real.home / "late" if how == "here" else "/")
    path = f"{real.home}/late/{name}" if how == "absolute" else name
    wait_until(lambda: real.status(path) == "Paused")
    output_of("-c", real.config, "cancel", path)
    wait_until(lambda: real.status(path) == "Failed")
    refused = invoke("-c", real.config, "cancel", path)
    assert refused.exit_code == 1
    assert "there is nothing to cancel" in refused.stderr
    output_of("-c", real.config, "retry", path)
    wait_until(lambda: real.status(path) == "Paused")
    refused = invoke("-c", real.config, "retry", path)
    assert refused.exit_code == 1
    assert "only a Failed file can be retried" in refused.stderr


def test_a_real_agent_retries_all_and_reloads(real: Real) -> None:
    assert output_of("-c", real.config, "retry", "--all") == "no file has failed: there is nothing to retry\n"
    assert (
        output_of("-c", real.config, "reload") == "the configuration is valid; the actors restart with it\n"
    )
