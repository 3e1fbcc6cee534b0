"""`transfer-agent simulate`: what it prints, what it refuses, how it is stopped."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.simulate.profiles import PROFILES
from tests.cli.cli_agents import PATIENCE_S, invoke, output_of

QUICK = ("--rate", "unlimited", "--size", "500kB", "--seed", "7")
ROOT = Path(__file__).parents[2]


def step_log(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output_of("simulate", *words).splitlines()]


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "agent", "simulate", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_it_prints_its_steps_and_the_expected_files(tmp_path: Path) -> None:
    lines = step_log(str(tmp_path), "--profile", "mov", *QUICK)
    assert [lines[0]["op"], lines[-2]["op"], lines[-1]["op"]] == ["create", "close", "result"]
    data = (tmp_path / "clip.mov").read_bytes()
    result = lines[-1]
    assert (result["path"], result["size"]) == ("clip.mov", len(data) == 500_000 and 500_000)
    assert result["sha256"] == hashlib.sha256(data).hexdigest()
    writes = [line for line in lines if line["op"] == "write"]
    assert sum(line["length"] for line in writes if line["offset"] != 32) == 500_000
    assert writes[-2] | {"time": ""} == {
        "time": "",
        "at_s": writes[-2]["at_s"],
        "op": "write",
        "path": "clip.mov",
        "offset": 32,
        "length": 4,
    }
    assert all(line["time"].endswith("Z") and "T" in line["time"] for line in lines)


@pytest.mark.parametrize(
    ("profile", "ops"),
    [
        ("smb-eof-first", {"create", "truncate", "stamp", "write", "close", "result"}),
        ("fallocate", {"create", "fallocate", "write", "close", "result"}),
        ("rsync-preallocate", {"create", "keep-size", "write", "stamp", "close", "result"}),
        ("rsync", {"create", "write", "stamp", "close", "rename", "result"}),
        ("crash", {"create", "write", "crash", "result"}),
        ("mmap", {"create", "truncate", "map", "close", "result"}),
        ("patch-slots", {"create", "write", "sync", "close", "result"}),
        ("restart-new", {"create", "write", "close", "remove", "result"}),
        ("ftp-resume", {"create", "write", "close", "open", "result"}),
    ],
)
def test_the_step_log_names_every_operation(profile: str, ops: set[str], tmp_path: Path) -> None:
    assert {line["op"] for line in step_log(str(tmp_path), "--profile", profile, *QUICK)} == ops


def test_the_same_options_write_the_same_bytes(tmp_path: Path) -> None:
    digests: list[list[str]] = []
    for seed in ("7", "7", "8"):
        folder = tmp_path / str(len(digests))
        folder.mkdir()
        lines = step_log(str(folder), *QUICK, "--count", "2", "--seed", seed, "--quiet")
        digests.append([line["sha256"] for line in lines if line["op"] == "result"])
    assert digests[0] == digests[1]
    assert len({*digests[0], *digests[2]}) == 4


def test_quiet_leaves_the_writes_out(tmp_path: Path) -> None:
    ops = [line["op"] for line in step_log(str(tmp_path), *QUICK, "--quiet", "--count", "2")]
    assert ops == ["create", "create", "close", "close", "result", "result"]


def test_a_duration_is_as_good_as_a_size(tmp_path: Path) -> None:
    lines = step_log(
        str(tmp_path), "--profile", "append", "--duration", "500ms", "--rate", "800kB", "--quiet"
    )
    assert lines[-1]["size"] == 400_000


def test_a_rate_is_kept(tmp_path: Path) -> None:
    begin_s = time.monotonic()
    step_log(str(tmp_path), "--profile", "append", "--size", "300kB", "--rate", "1MB")
    assert time.monotonic() - begin_s >= 0.29


def test_container_and_options_can_be_changed(tmp_path: Path) -> None:
    words = ("--profile", "ftp-resume", "--container", "wav", "--set", "pause-at=10%,90%", "--name", "a/b")
    lines = step_log(str(tmp_path), *words, *QUICK)
    assert [line["op"] for line in lines].count("open") == 2
    assert (tmp_path / "a" / "b.wav").stat().st_size == 500_000


def test_it_lists_the_profiles_the_containers_and_the_settings() -> None:
    lines = output_of("simulate", "--list").splitlines()
    assert [line.split()[0] for line in lines[: len(PROFILES)]] == list(PROFILES)
    assert all(len(line.split()) > 2 for line in lines[: len(PROFILES)])
    assert "ffmpeg:mxf" in lines[-1]
    assert "pause-at" in output_of("simulate", "--list-settings")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "name the FOLDER to write into"),
        (("{}/nowhere",), "nowhere; create it first"),
        (("{}", "--profile", "mxff"), "unknown profile 'mxff'; --list shows them"),
        (("{}", "--container", "mxff"), "unknown container 'mxff'; --list shows them"),
        (("{}", "--rate", "fast"), "'fast': must be a size"),
        (("{}", "--duration", "long"), "'long': must be a duration"),
        (("{}", "--size", "1MB", "--duration", "1s"), "give --size or --duration, not both"),
        (("{}", "--size", "1kB"), "raise --size"),
        (("{}", "--set", "holdd=1s"), "did you mean 'hold'?"),
        (("{}", "--set", "order=random"), "add copies=yes"),
        (("{}", "--name", "../clip"), "must stay inside FOLDER"),
        (("{}", "--name", "/clip"), "must stay inside FOLDER"),
        (("{}", "--name", "clips/"), "must stay inside FOLDER"),
        (("{}", "--container", "ffmpeg:mxf", "--set", "hold=1s"), "leave --set out"),
    ],
)
def test_a_usage_error_names_the_way_out(words: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    result = invoke("simulate", *(word.format(tmp_path) for word in words))
    assert result.exit_code == 2
    assert reason in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("profile", ["mxf-op1a", "rename-at-end", "opatom-group"])
def test_an_existing_file_is_left_alone_and_nothing_begins(profile: str, tmp_path: Path) -> None:
    taken = tmp_path / ("clip_a2.mxf" if profile == "opatom-group" else "clip.mxf")
    taken.write_bytes(b"footage")
    result = invoke("simulate", str(tmp_path), "--profile", profile, *QUICK)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{taken} exists, and is left alone: choose another --name\n"
    assert taken.read_bytes() == b"footage"
    assert list(tmp_path.iterdir()) == [taken]


def test_a_file_that_is_deleted_too_early_is_named(tmp_path: Path) -> None:
    words = ("--profile", "ftp-resume", "--size", "100kB", "--rate", "1MB", "--set", "pause=1s")
    with started(str(tmp_path), *words) as process:
        assert process.stdout
        while '"close"' not in process.stdout.readline():
            pass
        (tmp_path / "clip.mxf").unlink()
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert stderr == f"{tmp_path}/clip.mxf was moved or deleted before its writer had finished\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    result = invoke("simulate", str(tmp_path), "--name", "x" * 300, *QUICK)
    assert result.exit_code == 1
    assert f"cannot write {tmp_path}/{'x' * 300}.mxf: File name too long" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_on_a_signal_and_leaves_the_file_as_it_is(number: int, tmp_path: Path) -> None:
    with started(str(tmp_path), "--profile", "mov", "--rate", "100kB", "--set", "write=1kB") as process:
        assert process.stdout
        while '"write"' not in process.stdout.readline():
            pass
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert json.loads(stdout.splitlines()[-1])["op"] == "interrupted"
    assert stderr == f"interrupted: files in {tmp_path} are unfinished\n"
    assert 0 < (tmp_path / "clip.mov").stat().st_size < 1_000_000


def test_it_ends_quietly_when_nobody_reads_its_step_log_any_more(tmp_path: Path) -> None:
    with started(str(tmp_path), "--rate", "1MB", "--size", "2MB", "--set", "write=1kB") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr.read() == ""


def test_it_needs_no_configuration(tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert step_log(".", *QUICK)[-1]["op"] == "result"
    finally:
        os.chdir(before)
