"""A source that is not mounted is an outage of its route: nothing has vanished, nothing is made there."""

from pathlib import Path

from tests.mounts.mounts import FaultMount, bind, bind_mount, unmount
from tests.system.agents import Agent


def source_error(agent: Agent) -> str:
    """Empty: none, or the route is not known yet."""
    return "".join(str(route["source_error"] or "") for route in agent.get("/api/routes")["routes"])


def test_a_copy_whose_source_is_not_mounted_at_the_next_start_resumes_when_it_is(
    agent: Agent, mount: FaultMount
) -> None:
    agent.configure(source=str(mount.path), bandwidth="16MiB", workers=1)
    agent.start()
    content = agent.copy_large_file(mount.backing)
    assert agent.stop(5) == 0
    mount.unmount()
    [partial] = agent.partials()
    agent.start()
    agent.wait_until(lambda: f"{mount.path} is not mounted" in source_error(agent))
    agent.wait_until(lambda: bool(agent.events("recovered")))
    assert agent.partials() == [partial]
    assert list(mount.path.iterdir()) == []
    mount.remount()
    agent.wait_for("large.mxf", "Completed")
    assert (agent.nas / "large.mxf").read_bytes() == content
    assert [line["resumed_bytes"] > 0 for line in agent.events("copied")] == [True]
    agent.wait_until(lambda: source_error(agent) == "")
    assert agent.stop(5) == 0


def test_files_that_wait_are_still_there_when_their_source_comes_back(agent: Agent, tmp_path: Path) -> None:
    disk, card = tmp_path / "disk", tmp_path / "card"
    disk.mkdir()
    with bind_mount(disk, card):
        (disk / "clip.mxf").write_bytes(b"clip")
        agent.configure(source=str(card), stable="4s")
        agent.start()
        agent.wait_for("clip.mxf", "Discovered")
        unmount(card)
        (card / "of the folder underneath.mxf").write_bytes(b"other")
        agent.wait_until(lambda: f"{card} is not mounted" in source_error(agent))
        assert agent.file("clip.mxf") is not None
        bind(disk, card)
        agent.wait_for("clip.mxf", "Completed")
        assert [path.name for path in agent.nas.iterdir()] == ["clip.mxf"]
        assert agent.stop(5) == 0
    assert [path.name for path in card.iterdir()] == ["of the folder underneath.mxf"]


def test_a_source_with_a_marker_is_taken_from_only_while_the_marker_is_there(agent: Agent) -> None:
    (agent.source / "clip.mxf").write_bytes(b"clip")
    agent.configure(source_marker="card.id")
    agent.start()
    agent.wait_until(lambda: "the marker 'card.id' is not in" in source_error(agent))
    assert agent.file("clip.mxf") is None
    (agent.source / "card.id").write_bytes(b"7")
    agent.wait_for("clip.mxf", "Completed")
    assert [path.name for path in agent.source.iterdir()] == ["card.id"]
    assert agent.stop(5) == 0


def test_a_missing_source_is_made_at_the_very_first_start_alone_and_that_is_logged(agent: Agent) -> None:
    agent.source.rmdir()
    agent.start()
    agent.wait_until(lambda: bool(agent.events("source folder was missing and is created")))
    (agent.source / "clip.mxf").write_bytes(b"clip")
    agent.wait_for("clip.mxf", "Completed")
    assert agent.stop(5) == 0
    agent.source.rmdir()
    agent.start()
    agent.wait_until(lambda: "does not exist: mount it, or make the folder" in source_error(agent))
    assert not agent.source.exists()
    assert agent.stop(5) == 0
