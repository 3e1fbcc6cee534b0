"""A source or destination that is swapped for a link while the agent runs: an outage, nothing is touched."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.agents import Agent
from tests.system.test_unmounted_source import source_error


def outage(agent: Agent) -> str:
    """The detail of the destination's outage; empty: none."""
    return "".join(
        str((route["outage"] or {}).get("detail", "")) for route in agent.get("/api/routes")["routes"]
    )


@contextmanager
def swapped(path: Path, target: Path) -> Iterator[None]:
    """For the time of the block this path is a link to another folder."""
    aside = path.with_name(f"{path.name} aside")
    path.rename(aside)
    path.symlink_to(target)
    yield
    path.unlink()
    aside.rename(path)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Somebody's folder, with files that have the names of ours."""
    folder = tmp_path / "foreign"
    (folder / "in").mkdir(parents=True)
    for path in (folder, folder / "in"):
        (path / "large.mxf").write_bytes(b"not ours")
        (path / "secret.mxf").write_bytes(b"not ours")
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", ["card", "card/in"])
def test_behind_a_swapped_source_nothing_is_read_or_deleted(
    agent: Agent, tmp_path: Path, foreign: Path, what: str
) -> None:
    source, before = tmp_path / "card" / "in", content_of(foreign)
    source.mkdir(parents=True)
    agent.configure(source=str(source), bandwidth="16MiB", workers=1)
    agent.start()
    content = agent.copy_large_file(source)
    with swapped(tmp_path / what, foreign):
        agent.wait_until(lambda: f"{source} leads to" in source_error(agent))
        agent.wait_for("large.mxf", "Paused")
        assert agent.file("secret.mxf") is None
        assert content_of(foreign) == before
        assert not (agent.nas / "large.mxf").exists()
    assert agent.wait_for("large.mxf", "Completed")["retry_count"] == 0
    agent.wait_until(lambda: source_error(agent) == "")
    assert content_of(agent.nas) == {"large.mxf": content}
    assert content_of(foreign) == before
    assert agent.stop(5) == 0


@pytest.mark.parametrize("what", ["share", "share/in"])
def test_behind_a_swapped_destination_nothing_is_written(
    agent: Agent, tmp_path: Path, foreign: Path, what: str
) -> None:
    nas, before = tmp_path / "share" / "in", content_of(foreign)
    nas.mkdir(parents=True)
    agent.configure(destination=str(nas), workers=1)
    agent.start()
    agent.wait_until(lambda: agent.status("/readyz") == 200)
    with swapped(tmp_path / what, foreign):
        (agent.source / "clip.mxf").write_bytes(b"clip")
        agent.wait_until(lambda: f"{nas} leads to" in outage(agent))
        agent.wait_for("clip.mxf", "Paused")
        assert content_of(foreign) == before
    agent.wait_for("clip.mxf", "Completed")
    assert content_of(nas) == {"clip.mxf": b"clip"}
    assert content_of(foreign) == before
    assert agent.stop(5) == 0


def test_a_source_and_a_destination_that_are_links_at_the_start_have_to_go_on_leading_to_the_same_folders(
    agent: Agent, tmp_path: Path, foreign: Path
) -> None:
    card, share = tmp_path / "card", tmp_path / "share"
    card.symlink_to(agent.source)
    share.symlink_to(agent.nas)
    agent.configure(source=str(card), destination=str(share))
    agent.start()
    (card / "1.mxf").write_bytes(b"1")
    agent.wait_for("1.mxf", "Completed")
    _repoint(card, foreign / "in")
    agent.wait_until(lambda: f"{card} leads to {foreign}/in" in source_error(agent))
    _repoint(card, agent.source)
    agent.wait_until(lambda: source_error(agent) == "")
    _repoint(share, foreign)
    agent.wait_until(lambda: f"{share} leads to {foreign}" in outage(agent))
    assert sorted(content_of(foreign)) == ["in/large.mxf", "in/secret.mxf", "large.mxf", "secret.mxf"]
    agent.signal(signal.SIGHUP)  # the operator means it
    (card / "2.mxf").write_bytes(b"2")
    agent.wait_for("2.mxf", "Completed")
    assert (foreign / "2.mxf").read_bytes() == b"2"
    assert agent.stop(5) == 0


def _repoint(link: Path, target: Path) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to(target)
    os.replace(fresh, link)
