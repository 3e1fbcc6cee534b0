"""The exact shapes and status codes of the endpoints that monitoring reads, without and with errors."""

import socket

from tests.system.agents import Agent

STATUS_KEYS = {"pendingFilesCount", "pendingFiles", "inProgress", "recentlyCompleted", "failedFiles"}
FILE_KEYS = {
    "file_path", "status", "file_size", "last_write_time", "copy_progress", "retry_count", "error_message",
    "id", "route", "destination_path", "bytes_verified", "verified_level", "hash", "discovered_at",
    "started_at", "completed_at", "kept_because",
}  # fmt: skip


def test_a_delivered_file_shows_in_every_legacy_endpoint(agent: Agent) -> None:
    agent.start()
    (agent.source / "clip1.mxf").write_bytes(b"x" * 3000)
    done = agent.wait_for("clip1.mxf", "Completed")
    assert set(done) == FILE_KEYS
    assert done["file_path"] == str(agent.source / "clip1.mxf")
    assert done["destination_path"] == str(agent.nas / "clip1.mxf")
    assert (done["copy_progress"], done["bytes_verified"], done["verified_level"]) == (
        100.0,
        3000,
        "read_back",
    )
    status = agent.get("/api/status")
    assert set(status) == STATUS_KEYS
    assert status["pendingFilesCount"] == 0
    assert status["inProgress"] is None
    assert [set(row) for row in status["recentlyCompleted"]] == [{"file", "completedAt"}]
    assert agent.get("/") == {"status": "ok"}
    assert agent.status("/api/health") == agent.status("/readyz") == agent.status("/api/storage") == 200
    assert agent.get("/api/storage")["status"] == "OK"


def test_low_space_is_507_with_a_message_and_files_still_move(agent: Agent) -> None:
    agent.configure(low_space="100TB")
    agent.start()
    agent.wait_until(lambda: agent.status("/api/storage") == 507)
    answer = agent.get("/api/storage")
    assert answer["status"] == "WARNING"
    assert answer["message"]
    assert answer["destinationFreeGB"] >= 0
    (agent.source / "a.mxf").write_bytes(b"x")
    agent.wait_for("a.mxf", "Completed")


def test_a_missing_destination_is_503_pauses_its_files_and_ends_by_itself(agent: Agent) -> None:
    agent.nas.rmdir()
    (agent.source / "a.mxf").write_bytes(b"x")
    agent.start()
    agent.wait_for("a.mxf", "Paused")
    answer = agent.get("/api/storage")
    assert (answer["status"], answer["destinationFreeGB"]) == ("ERROR", -1)
    assert agent.status("/api/storage") == agent.status("/api/health") == agent.status("/readyz") == 503
    assert agent.status("/livez") == 200
    [route] = agent.get("/api/routes")["routes"]
    assert route["outage"]["reason"] == "unmounted"
    assert not agent.nas.exists()
    agent.nas.mkdir()
    done = agent.wait_for("a.mxf", "Completed")
    assert done["retry_count"] == 0
    assert agent.status("/api/storage") == agent.status("/api/health") == 200


def test_the_folder_under_a_mount_that_is_gone_is_never_filled(agent: Agent) -> None:
    agent.nas.rmdir()
    share = agent.home / "share"
    share.mkdir()
    (share / "here").write_text("")
    agent.nas.symlink_to(share)
    agent.configure(marker="here")
    agent.start()
    (agent.source / "a.mxf").write_bytes(b"x")
    agent.wait_for("a.mxf", "Completed")
    (share / "here").unlink()
    (agent.source / "b.mxf").write_bytes(b"x")
    agent.wait_for("b.mxf", "Paused")
    [route] = agent.get("/api/routes")["routes"]
    assert route["outage"]["reason"] == "marker_missing"
    assert not (share / "b.mxf").exists()


def test_a_check_http_like_probe_gets_its_end_of_file(agent: Agent) -> None:
    agent.start()
    host, _, port = agent.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as probe:
        probe.sendall(b"GET /api/health HTTP/1.0\r\nUser-Agent: check_http\r\n\r\n")
        answer = b""
        while data := probe.recv(65536):
            answer += data
    assert b" 200 " in answer.splitlines()[0]
    assert answer.endswith(b"OK")
