"""Recordings by the real ffmpeg."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.model.source_file import ContainerState
from agent.simulate.ffmpeg import CONTAINERS
from tests.cli.cli_agents import PATIENCE_S, invoke, output_of
from tests.simulate.played import container_state

QUICK = ("--rate", "unlimited", "--duration", "200ms")


def recorded(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output_of("simulate", *words).splitlines()]


@pytest.mark.parametrize("container", CONTAINERS)
def test_ffmpeg_records_every_container_it_is_asked_for(container: str, tmp_path: Path) -> None:
    created, closed, result = recorded(str(tmp_path), "--container", f"ffmpeg:{container}", *QUICK)
    (file,) = tmp_path.iterdir()
    assert [line["op"] for line in (created, closed, result)] == ["create", "close", "result"]
    assert {line["path"] for line in (created, closed, result)} == {file.name}
    assert result["size"] == file.stat().st_size
    assert result["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert container_state(file) is (ContainerState.UNKNOWN if container == "ts" else ContainerState.CLOSED)


def test_it_records_several_in_real_time(tmp_path: Path) -> None:
    begin_s = time.monotonic()
    words = (
        "--container",
        "ffmpeg:wav",
        "--rate",
        "1MB",
        "--duration",
        "1s",
        "--count",
        "2",
        "--every",
        "500ms",
    )
    lines = recorded(str(tmp_path), *words)
    assert time.monotonic() - begin_s >= 1.3
    assert sorted(line["path"] for line in lines if line["op"] == "result") == [
        "clip-0001.wav",
        "clip-0002.wav",
    ]


def test_a_missing_ffmpeg_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke("simulate", str(tmp_path), "--container", "ffmpeg:mxf", *QUICK)
    assert result.exit_code == 1
    assert "ffmpeg is not installed, and ffmpeg:mxf needs it: install it, or choose one of" in result.stderr


def test_it_reports_why_ffmpeg_failed_and_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    (tmp_path / "clip.mxf").write_bytes(b"footage")
    result = invoke("simulate", str(tmp_path), "--container", "ffmpeg:mxf", *QUICK)
    assert result.exit_code == 1
    assert "ffmpeg failed on clip.mxf" in result.stderr
    assert "exists" in result.stderr
    assert (tmp_path / "clip.mxf").read_bytes() == b"footage"


def test_ffmpeg_that_writes_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke("simulate", str(tmp_path), "--container", "ffmpeg:mxf", *QUICK)
    assert (result.exit_code, result.stderr) == (1, "ffmpeg failed on clip.mxf: it wrote no file\n")


def test_when_interrupted_ffmpeg_closes_its_file_and_is_gone(tmp_path: Path) -> None:
    words = ("--container", "ffmpeg:mov", "--duration", "10m")
    command = [sys.executable, "-m", "agent", "simulate", str(tmp_path), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline_s = time.monotonic() + PATIENCE_S
        while not [file for file in tmp_path.iterdir() if file.stat().st_size]:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert json.loads(stdout.splitlines()[-1])["op"] == "interrupted"
    assert container_state(tmp_path / "clip.mov") is ContainerState.CLOSED
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mentions(path, str(tmp_path))]


def mentions(cmdline: Path, words: str) -> bool:
    try:
        return words.encode() in cmdline.read_bytes()
    except OSError:
        return False
